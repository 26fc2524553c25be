"""All that was written down, of everybody. The stores of leases are its adapters; one contract suite tests them."""

from collections.abc import Sequence
from typing import Protocol

from shared.domain.leases import Event


class Audit(Protocol):
    """Events of all owners; nothing takes one back. Every method may raise StoreUnavailable."""

    async def add(self, events: Sequence[Event]) -> None:
        """Write events that belong to no lease, all of one owner. Raises Conflict if one is there already."""

    async def since(self, at: float, limit: int) -> Sequence[Event]:
        """The events with `at` not before that, oldest first, at most `limit` of them."""
