"""The revocation list that anybody may fetch: who checks certificates of ours elsewhere reads it."""

import asyncio
import logging

from shared.domain.errors import AuthorityUnavailable, StoreUnavailable
from shared.domain.policy import CLOCK_SKEW, DAY, MINUTE
from shared.ports.authority import Authority
from shared.ports.clock import Clock
from shared.ports.holders import Holders

REMADE = 10 * MINUTE  # a revocation is on the list by then; signing it for whoever asks would be cheap to abuse
GOOD = DAY  # from a list to its nextUpdate
AGAIN = 10.0  # seconds after a list that could not be made; who asks meanwhile does not try for itself

log = logging.getLogger("playground.revocations")


class RevocationList:
    """The list of one process; all who ask at once share one signature, or the failure to make one."""

    def __init__(self, holders: Holders, authority: Authority, clock: Clock):
        self._holders, self._authority, self._clock = holders, authority, clock
        self._der = b""
        self._made_at = self._again_at = float("-inf")  # monotonic
        self._trouble: StoreUnavailable | AuthorityUnavailable | None = None
        self._making = asyncio.Lock()

    async def current(self) -> bytes:
        """The list (DER). An old one serves until its end where no new one can be made.

        Raises StoreUnavailable, AuthorityUnavailable.
        """
        async with self._making:
            now = self._clock.monotonic()
            if now - self._made_at >= REMADE and now >= self._again_at:
                await self._renew()
            if self._trouble is not None and self._clock.monotonic() - self._made_at >= GOOD - CLOCK_SKEW:
                raise self._trouble.with_traceback(None)  # or each caller's would be added to the last one's
            return self._der

    async def _renew(self) -> None:
        try:
            self._der = await self._make()
        except (StoreUnavailable, AuthorityUnavailable) as error:
            log.warning("the revocation list is not made anew: %s", error)
            self._trouble, self._again_at = error, self._clock.monotonic() + AGAIN
        else:
            self._trouble, self._made_at = None, self._clock.monotonic()

    async def _make(self) -> bytes:
        now = self._clock.now()
        revoked = [
            each
            for holder in await self._holders.revoked(0.0)
            for each in holder.certificates
            if each.revoked_at is not None and now < each.until + CLOCK_SKEW
        ]
        # Whole milliseconds: another instance, or this one after a restart, must not fall behind.
        return await self._authority.revocation_list(revoked, int(now * 1000), now, now + GOOD)
