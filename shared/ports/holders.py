"""Where it is kept who holds certificates. The stores of leases are its adapters; one contract suite tests them."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.holders import Holder
from shared.domain.leases import Event, Owner


class Holders(Protocol):
    """Holders by owner. Every method may raise StoreUnavailable."""

    async def holder(self, owner: Owner) -> Holder | None:
        """The holder with its `etag`, or None; what is `gone_at` now may be forgotten any time."""

    async def keep(self, holder: Holder, events: Sequence[Event] = ()) -> Holder:
        """Create (etag "") or replace by etag, with `events` in one batch; returns it with the new etag.

        Raises Conflict.
        """

    async def revoked(self, since: float) -> Sequence[Holder]:
        """Those with `revoked_at > since`."""
