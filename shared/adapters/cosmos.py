"""Leases, holders and records in Cosmos DB for NoSQL."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.adapters.cosmos_client import CosmosContainer
from shared.adapters.cosmos_container import COUNT, DUE, EVENTS, OF, PAGE, REVOKED, SINCE, beat_condition
from shared.adapters.items import (
    CERTIFICATES,
    LOOKED_AT,
    RECORDS,
    Item,
    event_from,
    holder_from,
    item_id,
    lease_from,
    leases_from,
    oldest_first,
    record_from,
    slots,
    to_item,
)
from shared.domain.errors import Conflict
from shared.domain.holders import Holder
from shared.domain.leases import Event, Lease, Owner
from shared.ports.clock import Clock, SystemClock
from shared.ports.leases import Record

PATIENCE = 5.0  # seconds
BATCH = 100  # operations that one batch may have
LONGEST_TTL = 2**31 - 1  # seconds; the most that Cosmos DB takes


class CosmosStore:
    """The ports `Leases`, `Holders`, `Audit` and `Records` on one container (`cosmos_container.CONTAINER`).

    Get, create, replace and beat are one request each. A write that was sent and not answered
    raises StoreUnavailable although it may have been done: read again before you repeat it. A
    create repeated blindly meets its own item and raises Conflict, a replace its own etag; both
    look like somebody else's until the item is read and its generation and step compared.
    """

    def __init__(self, endpoint: str, database: str, container: str, *, key: str = "", client_id: str = "",
                 clock: Clock | None = None, patience: float = PATIENCE):  # fmt: skip
        self._container = CosmosContainer(
            endpoint, database, container, key=key, client_id=client_id, patience=patience
        )
        self._clock = clock or SystemClock()

    async def close(self) -> None:
        """Close the connections."""
        await self._container.close()

    # Leases

    async def get(self, owner: Owner, id: str) -> Lease | None:
        item = await self._container.read(owner.key, item_id(Lease, id))
        return None if item is None or self._gone(item) else lease_from(item)

    async def create(self, lease: Lease, event: Event) -> Lease:
        item, transition = self._item(lease), ("create", (to_item(event),))
        try:
            etags = await self._container.batch(item["owner"], [("create", (item,)), transition])
        except Conflict:
            # The service's clock may be behind ours: a tombstone that is past its time by ours is there still.
            stored = await self._container.read(item["owner"], item["id"])
            if stored is None or not self._gone(stored):
                raise
            etags = await self._container.batch(item["owner"], [_replace(item, stored["_etag"]), transition])
        return replace(lease, etag=etags[0])

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        item = self._item(lease)
        operations: list[tuple[Any, ...]] = [_replace(item, lease.etag)]
        if event is not None:
            operations.append(("create", (to_item(event),)))
        etags = await self._container.batch(item["owner"], operations)
        return replace(lease, etag=etags[0])

    async def beat(self, owner: Owner, id: str, now: float, due: float) -> bool:
        condition = beat_condition(_number(now), _number(due))
        values = {"beat_at": now, "due_at": due}
        return await self._container.patch(owner.key, item_id(Lease, id), values, condition)

    async def due(self, now: float, limit: int) -> Sequence[Lease]:
        return leases_from(await self._container.query(DUE, {"now": now, "states": LOOKED_AT}, limit=limit))

    async def page(self, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        return _page(await self._container.query(PAGE, {"after": after}, limit=limit), limit)

    async def of(self, whose: Owner | str, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        first, last = slots(whose)
        parameters = {"after": max(after, first), "before": last}
        partition = whose.key if isinstance(whose, Owner) else ""
        return _page(await self._container.query(OF, parameters, partition=partition, limit=limit), limit)

    async def count(self, tenant: str, most: int) -> int:
        first, last = slots(tenant)
        return len(await self._container.query(COUNT, {"after": first, "before": last}, limit=most))

    async def events(self, owner: Owner) -> Sequence[Event]:
        return oldest_first(map(event_from, await self._container.query(EVENTS, {}, partition=owner.key)))

    # Holders

    async def holder(self, owner: Owner) -> Holder | None:
        item = await self._container.read(owner.key, item_id(Holder, CERTIFICATES))
        return holder_from(item) if item else None

    async def keep(self, holder: Holder, events: Sequence[Event] = ()) -> Holder:
        item = to_item(holder) | {"ttl": self._ttl(holder.gone_at)}
        operation = _replace(item, holder.etag) if holder.etag else ("create", (item,))
        written = [("create", (to_item(event),)) for event in events]
        etags = await self._container.batch(item["owner"], [operation, *written])
        return replace(holder, etag=etags[0])

    async def revoked(self, since: float) -> Sequence[Holder]:
        return [holder_from(item) for item in await self._container.query(REVOKED, {"since": since})]

    # Audit

    async def add(self, events: Sequence[Event]) -> None:
        for first in range(0, len(events), BATCH):
            items = [to_item(event) for event in events[first : first + BATCH]]
            await self._container.batch(items[0]["owner"], [("create", (item,)) for item in items])

    async def since(self, at: float, limit: int) -> Sequence[Event]:
        return [event_from(item) for item in await self._container.query(SINCE, {"at": at}, limit=limit)]

    # Records

    async def read(self, name: str) -> Record | None:
        item = await self._container.read(RECORDS, item_id(Record, name))
        return record_from(item) if item else None

    async def write(self, record: Record) -> Record:
        item = to_item(record)
        operation = _replace(item, record.etag) if record.etag else ("create", (item,))
        etags = await self._container.batch(RECORDS, [operation])
        return replace(record, etag=etags[0])

    def _item(self, lease: Lease) -> Item:
        item = to_item(lease)
        if lease.gone_at is not None:
            item["ttl"] = self._ttl(lease.gone_at)
        return item

    def _ttl(self, gone_at: float) -> int:
        return min(max(1, math.floor(gone_at - self._clock.now())), LONGEST_TTL)

    def _gone(self, item: Item) -> bool:
        gone_at = item.get("gone_at")
        return gone_at is not None and gone_at <= self._clock.now()


def _page(items: list[Item], limit: int) -> tuple[Sequence[Lease], str]:
    return leases_from(items), items[-1]["slot"] if len(items) == limit else ""


def _replace(item: Item, etag: str) -> tuple[Any, ...]:
    if not etag:
        raise Conflict(f"{item['id']} was never read")  # to Cosmos DB an empty etag may be no condition at all
    return ("replace", (item["id"], item), {"if_match_etag": etag})


def _number(value: float) -> str:
    """A number as SQL says it, and nothing but a number."""
    return json.dumps(float(value), allow_nan=False)
