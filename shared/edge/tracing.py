"""The trace that what is under way belongs to: told by the caller's `traceparent`, or begun here.

https://www.w3.org/TR/trace-context/. It costs a request some microseconds, so there always is one.
"""

import logging
import random
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple

HEADER = "traceparent"
_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class Trace(NamedTuple):
    """`id` is 32 hex digits; `span`, 16 of them, is the part that what comes next belongs to ("": none)."""

    id: str
    span: str = ""


current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def received(traceparent: str | None) -> Trace:
    """The caller's trace; a new one where it says none, or nothing that can be read."""
    found = _FORM.fullmatch(traceparent) if traceparent else None
    if found is None or (found[1] == "00" and found[4]):
        return Trace(f"{random.getrandbits(128) or 1:032x}")
    return Trace(found[2], found[3])


@contextmanager
def entered(traceparent: str | None = None) -> Iterator[Trace]:
    """What happens inside belongs to the caller's trace, or to a new one."""
    trace = received(traceparent)
    token = current.set(trace)
    try:
        yield trace
    finally:
        current.reset(token)


def joined(traceparent: str | None) -> AbstractContextManager[Trace]:
    """The same, where nothing was entered: a front of ours has done it before its function does."""
    trace = current.get()
    return nullcontext(trace) if trace else entered(traceparent)


def current_id() -> str:
    """The id of the trace that we are in, "" outside of any."""
    trace = current.get()
    return trace.id if trace else ""


def traceparent() -> str:
    """What to hand on to whoever goes on with this, "" outside of any trace."""
    trace = current.get()
    return f"00-{trace.id}-{trace.span or f'{random.getrandbits(64) or 1:016x}'}-01" if trace else ""


class Formatter(logging.Formatter):
    """As ever; a line that was written inside of a trace ends with its id."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        id = current_id()
        return super().formatMessage(record) + (f" trace={id}" if id else "")
