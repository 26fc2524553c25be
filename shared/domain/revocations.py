"""What one process knows of certificates that are revoked, and how old that knowledge may be."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from shared.domain.errors import NotAuthenticated, PlaygroundError, StoreUnavailable
from shared.domain.holders import Holder
from shared.domain.identity import Principal
from shared.domain.policy import CLOCK_SKEW, DAY
from shared.ports.clock import Clock

FRESH = 10.0  # seconds; older knowledge is read anew, aside
STALE = 25.0  # what is older than this waits for it: read within 5 s, a revocation holds everywhere within 30 s
BLIND = 60.0  # without news for so long, nothing but beats is served
BEAT = 1.0  # seconds that a beat waits for news at most
OVERLAP = 2 * CLOCK_SKEW + 60.0  # by how much earlier than the last read the next begins: two clocks, and a slow write
WHOLE = DAY  # after which all is read anew, so that what has ended is forgotten

log = logging.getLogger("playground.revocations")

type _Serial = tuple[str, str, str]  # tenant, name and serial: nobody can end what is another tenant's


class Revocations:
    """Refuses revoked certificates. Nothing runs in between: whoever asks has it read again when it is old.

    `read(since)` is `Holders.revoked`.
    """

    def __init__(self, read: Callable[[float], Awaitable[Sequence[Holder]]], clock: Clock):
        self._read, self._clock = read, clock
        self._known: set[_Serial] = set()
        self._read_at = float("-inf")  # monotonic: when the last read that succeeded began
        self._whole_at = float("-inf")
        self._since = 0.0
        self._trouble: Exception | None = None
        self._reading: asyncio.Task[None] | None = None

    async def check(self, caller: Principal, *, beat: bool = False) -> None:
        """Raises NotAuthenticated if its certificate is revoked, StoreUnavailable if that is not to be known.

        A `beat` is let through where it is not to be known. Raises PlaygroundError where it is our own fault.
        """
        age = self.age
        if age >= FRESH:
            reading = self._refresh()
            if age >= STALE and not (beat and self._trouble):
                await asyncio.wait([reading], timeout=BEAT if beat else None)
            if not beat and self.age >= BLIND:
                kind = StoreUnavailable if isinstance(self._trouble, StoreUnavailable) else PlaygroundError
                raise kind(f"which certificates are revoked cannot be read: {self._trouble}", retry_after=5)
        if (caller.tenant, caller.name, caller.serial) in self._known:
            raise NotAuthenticated("the certificate is revoked")

    async def close(self) -> None:
        """End the read that is under way."""
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])

    @property
    def age(self) -> float:
        """Seconds since what is known was read; infinite before anything was."""
        return self._clock.monotonic() - self._read_at

    def _refresh(self) -> asyncio.Task[None]:
        """The read that is under way: at most one is."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._learn())
        return self._reading

    async def _learn(self) -> None:
        began, now = self._clock.monotonic(), self._clock.now()
        whole = began - self._whole_at >= WHOLE
        try:
            found = await self._read(0.0 if whole else self._since)
        except Exception as error:
            if not self._trouble:
                expected = isinstance(error, StoreUnavailable)
                log.warning("which certificates are revoked cannot be read: %s", error, exc_info=not expected)
            self._trouble = error
            return
        if whole:
            self._known, self._whole_at = set(), began
        for holder in found:
            for each in holder.certificates:
                if each.revoked_at is not None and now < each.until + CLOCK_SKEW:
                    self._known.add((holder.owner.tenant, holder.owner.user, each.serial))
        self._read_at, self._since, self._trouble = began, now - OVERLAP, None
