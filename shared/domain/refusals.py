"""What was refused, counted by reason, caller and minute: an audit trail of successes only shows no attack."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass

from shared.domain.errors import StoreUnavailable
from shared.domain.instants import iso
from shared.domain.leases import Event, Owner
from shared.domain.policy import MINUTE
from shared.ports.clock import Clock

log = logging.getLogger("playground.audit")

TENANT = "-audit"  # no tenant can be called so
MOST = 200  # kinds of refusal that are told apart in a minute; the rest is counted together
KEPT = 10  # minutes that wait for a store that cannot be reached


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was asked (a function's name), why it was refused (a problem's name), and of whom.

    `by` is the caller's URI ("": not known), `digest` the SHA-256 of what it showed ("": nothing).
    """

    action: str
    reason: str
    by: str = ""
    digest: str = ""


OTHERS = Refusal("others", "too many kinds to tell apart")


class Refusals:
    """Counts in this process and writes once a minute; what was counted is lost if it dies before.

    `add` is `Audit.add`.
    """

    def __init__(self, add: Callable[[Sequence[Event]], Awaitable[None]], clock: Clock):
        self._add, self._clock = add, clock
        self._counts: dict[float, dict[Refusal, tuple[int, str]]] = {}
        self._instance = secrets.token_hex(4)
        self._writing: asyncio.Task[None] | None = None
        self._flushing = asyncio.Lock()

    def count(self, refusal: Refusal, trace: str = "") -> None:
        """One more; `trace` is kept of the first in its minute."""
        minute = self._clock.now() // MINUTE * MINUTE
        counts = self._counts.setdefault(minute, {})
        if len(counts) >= MOST and refusal not in counts:
            refusal = OTHERS
        times, first = counts.get(refusal, (0, trace))
        counts[refusal] = times + 1, first
        if self._writing is None or self._writing.done():
            # In a context of its own: or its lines in the log would bear the trace of who was refused first.
            self._writing = asyncio.create_task(self._write_later(), context=Context())

    async def flush(self) -> None:
        """Write what was counted so far. Raises StoreUnavailable; it is kept for the next time then."""
        async with self._flushing:
            for minute in sorted(self._counts):
                counts = self._counts.pop(minute)
                try:
                    await self._add([self._event(minute, *each, n) for n, each in enumerate(counts.items())])
                except StoreUnavailable:
                    if len(self._counts) < KEPT:
                        self._keep(minute, counts)
                    raise

    def _keep(self, minute: float, counts: dict[Refusal, tuple[int, str]]) -> None:
        """Have them counted together with those that came while they could not be written."""
        for refusal, (times, first) in self._counts.pop(minute, {}).items():
            before, trace = counts.get(refusal, (0, first))
            counts[refusal] = before + times, trace
        self._counts[minute] = counts

    async def close(self) -> None:
        """Write what is left."""
        if self._writing is not None and not self._writing.done():
            async with self._flushing:  # or what is being written would be counted nowhere
                self._writing.cancel()
            await asyncio.wait([self._writing])
        await self.flush()

    async def _write_later(self) -> None:
        while self._counts:
            await asyncio.sleep(MINUTE)
            try:
                await self.flush()
            except StoreUnavailable as error:
                log.warning("refusals are not written yet: %s", error)
            except Exception:
                log.exception("refusals are not written")

    def _event(self, minute: float, refusal: Refusal, counted: tuple[int, str], number: int) -> Event:
        times, trace = counted
        day, name = iso(minute)[:10], f"{self._instance}-{minute:.0f}-{secrets.token_hex(3)}"
        return Event(
            Owner(TENANT, day), refusal.action, name, number, minute, "", "refused", f"{refusal.reason}, {times} x",
            "", by=refusal.by, serial=refusal.digest, trace=trace,
        )  # fmt: skip
