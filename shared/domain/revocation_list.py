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

log = logging.getLogger("playground.revocations")


class RevocationList:
    """The list of one process; all who ask at once share one signature."""

    def __init__(self, holders: Holders, authority: Authority, clock: Clock):
        self._holders, self._authority, self._clock = holders, authority, clock
        self._der = b""
        self._made_at = float("-inf")  # monotonic
        self._making = asyncio.Lock()

    async def current(self) -> bytes:
        """The list (DER). An old one serves until its end where no new one can be made.

        Raises StoreUnavailable, AuthorityUnavailable.
        """
        async with self._making:
            age = self._clock.monotonic() - self._made_at
            if age < REMADE:
                return self._der
            try:
                self._der = await self._make()
            except (StoreUnavailable, AuthorityUnavailable) as error:
                if age >= GOOD - CLOCK_SKEW:
                    raise
                log.warning("the revocation list is not made anew: %s", error)
            else:
                self._made_at = self._clock.monotonic()
            return self._der

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
