"""Which trace a request is of: the caller's, where it says one that can be read; otherwise a new one."""

import logging
import re

import azure.functions as func
import pytest

from shared.edge import observing, tracing

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{ID}-{SPAN}-01"


def test_the_callers_trace_is_taken() -> None:
    assert tracing.received(GIVEN) == tracing.Trace(ID, SPAN)
    assert tracing.received(f"42-{ID}-{SPAN}-00-of-a-later-version") == tracing.Trace(ID, SPAN)


@pytest.mark.parametrize(
    "malformed",
    [
        None, "", "00", f"{GIVEN} ", f"{GIVEN}-more", GIVEN.upper(), f"ff-{ID}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{ID}-{'0' * 16}-01", f"00-{ID}-{SPAN}", f"00-{ID[1:]}-{SPAN}-01", f"{GIVEN},{GIVEN}", f"{GIVEN}\n",
    ],
)  # fmt: skip
def test_what_is_malformed_is_ignored_and_a_new_one_begun(malformed: str | None) -> None:
    begun, other = tracing.received(malformed), tracing.received(malformed)
    assert re.fullmatch("[0-9a-f]{32}", begun.id) and begun.id != ID and not begun.span
    assert begun.id != other.id


def test_a_trace_lasts_as_long_as_what_it_is_of() -> None:
    assert tracing.current_id() == tracing.traceparent() == ""
    with tracing.entered(GIVEN):
        assert tracing.current_id() == ID
        assert tracing.traceparent() == GIVEN
        with tracing.entered():
            assert tracing.current_id() not in ("", ID)
            assert tracing.received(tracing.traceparent()).id == tracing.current_id()
        with tracing.joined(None):
            assert tracing.current_id() == ID
    assert tracing.current_id() == ""


def test_a_line_of_the_log_ends_with_the_trace_it_was_written_in() -> None:
    formatter = tracing.Formatter("%(levelname)s %(message)s")
    record = logging.LogRecord("playground", logging.WARNING, "", 0, "%s is down", ("it",), None)
    assert formatter.format(record) == "WARNING it is down"
    with tracing.entered(GIVEN):
        assert formatter.format(record) == f"WARNING it is down trace={ID}"


async def test_a_message_goes_on_with_the_trace_that_it_carries() -> None:
    seen: list[str] = []

    @observing.fired
    async def look_at_lease(message: func.QueueMessage) -> None:
        seen.append(tracing.current_id())

    body = f'{{"owner": "default/alice", "lease": "database", "traceparent": "{GIVEN}", "posted_at": 1.0}}'
    await look_at_lease(message=func.QueueMessage(body=body.encode()))
    await look_at_lease(message=func.QueueMessage(body=b'{"owner": "default/alice", "lease": "database"}'))
    assert seen[0] == ID and seen[1] not in ("", ID)
