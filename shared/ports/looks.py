"""How to have one lease looked at soon. Adapters: `adapters.looks_inprocess`, `adapters.looks_queue`."""

from typing import Protocol

from shared.domain.leases import Owner


class Looks(Protocol):
    """Posts looks. Losing one is harmless: the lease is due and the next pass finds it."""

    async def post(self, owner: Owner, id: str) -> None:
        """Ask for one look. Does not wait for it. Never raises."""
