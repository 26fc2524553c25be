"""A store in memory, for what a real one will not do on demand.

It passes the same contract suite as the real ones, and is quick enough for the lives of thousands: slots are kept
in order, and what is due is found in a heap. `fail_next` has one operation fail: before it
took place, after it did (its caller cannot know), or with a conflict, as if somebody else had just
written. `touch` makes whoever has read a lease conflict. `gate(name, moment)` is awaited before and
after every operation and may raise there or never return, which is where a process dies.
"""

import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from heapq import heappop, heappush
from typing import Literal

from shared.adapters import items
from shared.adapters.items import event_from, lease_from, oldest_first, record_from, slots, to_item
from shared.domain.errors import Conflict, StoreUnavailable
from shared.domain.leases import Event, Lease, Owner, State
from shared.ports.clock import Clock, SystemClock
from shared.ports.leases import Record
from tests.doubles.holders import MemoryHolders

type Moment = Literal["before", "after"]
LAST = "\x7f"  # behind every slot
slot = lru_cache(maxsize=100_000)(items.slot)
type Gate = Callable[[str, Moment], Awaitable[None]]


async def open_gate(name: str, moment: Moment) -> None:
    """Lets everything through."""


class MemoryStore:
    """`Leases`, `Holders` and `Records` in dictionaries. What is between two gates happens at once."""

    def __init__(self, *, clock: Clock | None = None, gate: Gate = open_gate):
        self.gate = gate
        self._clock = clock or SystemClock()
        self._leases: dict[str, Lease] = {}
        self._slots: list[str] = []  # of `_leases`, in order
        self._dues: list[tuple[float, str]] = []  # a heap: when which slot is due, or was before it was written again
        self._events: dict[tuple[Owner, str], Event] = {}
        self._records: dict[str, Record] = {}
        self._failures: list[tuple[str, str]] = []
        self._writes = 0
        holders = MemoryHolders(self._pass, self._told, self._etag, self._write_events)
        self.holder, self.keep, self.revoked = holders.holder, holders.keep, holders.revoked

    def fail_next(self, name: str, how: Literal["before", "after", "conflict"]) -> None:
        """Have the next operation of that name fail: StoreUnavailable, or Conflict (create, replace, write)."""
        self._failures.append((name, how))

    def peek(self, owner: Owner, id: str) -> Lease | None:
        """What is stored, past gate and all."""
        lease = self._leases.get(slot(owner, id))
        gone = lease is not None and lease.gone_at is not None and lease.gone_at <= self._clock.now()
        return None if gone else lease

    def touch(self, owner: Owner, id: str) -> None:
        """A write by somebody else that changes nothing but the etag."""
        lease = self.peek(owner, id)
        if lease is not None:
            self._store(lease)

    # Leases

    async def get(self, owner: Owner, id: str) -> Lease | None:
        await self._pass("get", "before")
        lease = self.peek(owner, id)
        await self._pass("get", "after")
        return lease

    async def create(self, lease: Lease, event: Event) -> Lease:
        await self._pass("create", "before")
        if self._told("create", "conflict") or self.peek(lease.owner, lease.id) is not None:
            raise Conflict(f"{lease.id} exists")
        written = self._store(lease, event)
        await self._pass("create", "after")
        return written

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        await self._pass("replace", "before")
        if self._told("replace", "conflict"):
            self.touch(lease.owner, lease.id)
        stored = self.peek(lease.owner, lease.id)
        if stored is None or stored.etag != lease.etag:
            raise Conflict(f"{lease.id} was written by somebody else or is gone")
        written = self._store(lease, event)
        await self._pass("replace", "after")
        return written

    async def beat(self, owner: Owner, id: str, now: float, due: float) -> bool:
        await self._pass("beat", "before")
        lease = self.peek(owner, id)
        beats = (
            lease is not None
            and lease.state is State.RUNNING
            and lease.beat_at < now
            and lease.due_at < due <= lease.look_by
        )
        if lease is not None and beats:
            if not (math.isfinite(now) and math.isfinite(due)):
                raise ValueError("JSON has no way to say that number")
            self._keep(replace(lease, beat_at=now, due_at=due, etag=self._etag()))
        await self._pass("beat", "after")
        return beats

    async def due(self, now: float, limit: int) -> Sequence[Lease]:
        await self._pass("due", "before")
        due: dict[str, Lease] = {}
        while self._dues and self._dues[0][0] <= now and len(due) < limit:
            at, name = heappop(self._dues)
            lease = self._alive(name)
            if lease is not None and lease.due_at == at:
                due[name] = lease
        for name, lease in due.items():
            heappush(self._dues, (lease.due_at, name))
        await self._pass("due", "after")
        return list(due.values())

    async def page(self, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        return await self._listed("page", after, LAST, limit)

    async def of(self, whose: Owner | str, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        first, last = slots(whose)
        return await self._listed("of", max(after, first), last, limit)

    async def _listed(self, name: str, after: str, before: str, limit: int) -> tuple[Sequence[Lease], str]:
        await self._pass(name, "before")
        found: list[tuple[str, Lease]] = []
        for at in range(bisect_right(self._slots, after), len(self._slots)):
            if self._slots[at] >= before or len(found) == limit:
                break
            if (lease := self._alive(self._slots[at])) is not None:
                found.append((self._slots[at], lease))
        await self._pass(name, "after")
        return [lease for _, lease in found], found[-1][0] if len(found) == limit else ""

    async def count(self, tenant: str, most: int) -> int:
        return len((await self._listed("count", *slots(tenant), most))[0])

    async def events(self, owner: Owner) -> Sequence[Event]:
        await self._pass("events", "before")
        events = oldest_first(event for event in self._events.values() if event.owner == owner)
        await self._pass("events", "after")
        return events

    # Audit

    async def add(self, events: Sequence[Event]) -> None:
        await self._pass("add", "before")
        self._write_events(events)
        await self._pass("add", "after")

    async def since(self, at: float, limit: int) -> Sequence[Event]:
        await self._pass("since", "before")
        found = sorted((event for event in self._events.values() if event.at >= at), key=lambda event: event.at)
        await self._pass("since", "after")
        return found[:limit]

    # Records

    async def read(self, name: str) -> Record | None:
        await self._pass("read", "before")
        record = self._records.get(name)
        await self._pass("read", "after")
        return record

    async def write(self, record: Record) -> Record:
        await self._pass("write", "before")
        stored = self._records.get(record.name)
        if self._told("write", "conflict") or (stored.etag if stored else "") != record.etag:
            raise Conflict(f"the record {record.name} was written by somebody else")
        kept = record_from({**json.loads(json.dumps(to_item(record))), "_etag": self._etag()})
        self._records[record.name] = kept
        await self._pass("write", "after")
        return replace(record, etag=kept.etag)

    async def close(self) -> None:
        """As the real ones have it."""

    async def _pass(self, name: str, moment: Moment) -> None:
        await self.gate(name, moment)
        if self._told(name, moment):
            raise StoreUnavailable(f"told to fail {moment} {name}", retry_after=1)

    def _told(self, name: str, how: str) -> bool:
        told = (name, how) in self._failures
        if told:
            self._failures.remove((name, how))
        return told

    def _alive(self, name: str) -> Lease | None:
        """The lease in a slot, if it is neither gone nor released."""
        lease = self._leases.get(name)
        if lease is None or lease.state is State.RELEASED:
            return None
        return None if lease.gone_at is not None and lease.gone_at <= self._clock.now() else lease

    def _store(self, lease: Lease, event: Event | None = None) -> Lease:
        """Through JSON and back, as in a real store."""
        written = lease_from({**json.loads(json.dumps(to_item(lease))), "_etag": self._etag()})
        self._write_events([event] if event is not None else [])
        self._keep(written)
        return written

    def _write_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if (event.owner, event.id) in self._events:
                raise Conflict(f"the event {event.id} exists")
        for event in events:
            self._events[event.owner, event.id] = event_from(json.loads(json.dumps(to_item(event))))

    def _keep(self, lease: Lease) -> None:
        name = slot(lease.owner, lease.id)
        at = bisect_left(self._slots, name)
        if self._slots[at : at + 1] != [name]:
            self._slots.insert(at, name)
        self._leases[name] = lease
        heappush(self._dues, (lease.due_at, name))

    def _etag(self) -> str:
        self._writes += 1
        return str(self._writes)
