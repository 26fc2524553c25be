"""Where leases are kept. Adapters: `adapters.sqlite`, `adapters.cosmos`; one contract suite tests both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.domain.leases import Event, Lease, Owner


class Leases(Protocol):
    """Leases by owner and id. Every method may raise StoreUnavailable.

    A tombstone whose `gone_at` has passed does not exist for any method.
    """

    async def get(self, owner: Owner, id: str) -> Lease | None:
        """The lease with its `etag`, or None."""

    async def create(self, lease: Lease, event: Event) -> Lease:
        """Store a new lease and its event in one batch. Raises Conflict if the slot exists."""

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        """Store `lease` if its `etag` is still the stored one, with `event` in one batch.

        Returns it with the new etag. Raises Conflict if the etag moved or the lease is gone.
        """

    async def beat(self, owner: Owner, id: str, now: float, due: float) -> bool:
        """Set `beat_at=now, due_at=due` in one conditional write without a read.

        Only where `state = 'running' and beat_at < now and due_at < due and due <= look_by`; True
        means it is durable. Changes the etag, so that a look in flight loses.
        """

    async def due(self, now: float, limit: int) -> Sequence[Lease]:
        """The leases with `due_at <= now`, longest overdue first, at most `limit` of them.

        A released one is never due.
        """

    async def page(self, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        """Some of all leases that are not released, and the token for the next call ("" ends).

        The first call passes `after=""`. For reconcile; never in a request path.
        """

    async def of(self, whose: Owner | str, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        """Some of an owner's leases, or of a tenant's (its name), and the token for the next call.

        As `page`: the first call passes `after=""`, a token of "" ends, what is released is left out.
        Whatever `after` says, nobody else's are found.
        """

    async def count(self, tenant: str, most: int) -> int:
        """How many leases a tenant has that are not released, counted up to `most`."""

    async def events(self, owner: Owner) -> Sequence[Event]:
        """An owner's events, oldest first: by `at`, then generation, then step."""


@dataclass(frozen=True, slots=True)
class Record:
    """A small fact about this control plane (its id, when it could hear). `etag` "" means new."""

    name: str
    value: dict[str, Any] = field(default_factory=dict)
    etag: str = ""


class Records(Protocol):
    """Facts about the control plane by name. Every method may raise StoreUnavailable."""

    async def read(self, name: str) -> Record | None:
        """The record, or None."""

    async def write(self, record: Record) -> Record:
        """Create (etag "") or replace by etag; returns it with the new etag. Raises Conflict."""
