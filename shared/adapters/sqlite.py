"""Leases, holders and records in one SQLite file, for one machine; several processes may share it."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from shared.adapters import sqlite_writes as writes
from shared.adapters.items import (
    LOOKED_AT,
    Item,
    event_from,
    holder_from,
    item_id,
    lease_from,
    leases_from,
    oldest_first,
    record_from,
    to_item,
)
from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_reader import Reader
from shared.adapters.sqlite_writer import Writer
from shared.domain.holders import Holder
from shared.domain.leases import Event, Lease, Owner
from shared.ports.clock import Clock, SystemClock
from shared.ports.leases import Record

PATIENCE = 5.0  # seconds

type Row = tuple[Any, ...]

COLUMNS = ("owner", "id", "state", "due_at", "beat_at", "look_by", "gone_at")
DERIVED = (*COLUMNS, "kind", "slot", "revoked_at")
LEASE = f"SELECT {', '.join(COLUMNS)}, etag, rest FROM leases"
# `!=` says nothing that IN does not, but SQLite sees only by it that the partial index holds all that is asked for.
DUE = (
    f"{LEASE} WHERE state != 'released' AND state IN ({', '.join('?' * len(LOOKED_AT))})"
    " AND due_at <= ? ORDER BY due_at LIMIT ?"
)
# One range of the primary key: a second lower bound would have SQLite begin each page at the range's start.
PAGE = f"{LEASE} WHERE (owner, id) > (?, ?) AND owner <= ? AND state != 'released' ORDER BY owner, id LIMIT ?"
COUNT = "SELECT count(*) FROM (SELECT 1 FROM leases WHERE owner > ? AND owner < ? AND state != 'released' LIMIT ?)"
HOLDER = "SELECT owner, revoked_at, etag, rest FROM holders"
LAST = "\x7f"  # behind every owner's key, which is printable ASCII


class SqliteStore:
    """The ports `Leases`, `Holders`, `Audit` and `Records` on a file. Make one with `open`; call on one event loop.

    Durable means: after the fsync of SQLite's write-ahead log (WAL, synchronous=FULL). Writes are
    committed in groups by a process of their own, reads go over a thread and connection of theirs.
    Every method raises StoreUnavailable, saying which file and what happened to it; the next call
    begins anew.
    """

    def __init__(self, file: LeaseFile, clock: Clock, patience: float):
        self._clock = clock
        self._writer, self._reader = Writer(file, clock, patience), Reader(file, patience)

    @classmethod
    async def open(cls, path: str | os.PathLike[str], *, clock: Clock | None = None,
                   patience: float = PATIENCE) -> Self:  # fmt: skip
        """Open or make (mode 0600) the file; its directory must exist. Raises StoreUnavailable.

        `patience` is how many seconds a call waits for the disk and for other processes.
        """
        file = LeaseFile(path)
        await asyncio.to_thread(file.make)
        return cls(file, clock or SystemClock(), patience)

    async def close(self) -> None:
        """Finish the writes that are queued, then close the file."""
        await self._writer.close()
        await self._reader.close()

    # Leases

    async def get(self, owner: Owner, id: str) -> Lease | None:
        query = f"{LEASE} WHERE owner = ? AND id = ? AND (gone_at IS NULL OR gone_at > ?)"
        parameters = (owner.key, item_id(Lease, id), self._clock.now())
        return await self._reader.read(query, parameters, lambda rows: lease_from(_item(rows[0])) if rows else None)

    async def create(self, lease: Lease, event: Event) -> Lease:
        columns, rest = _row(lease)
        return replace(lease, etag=await self._writer.write(writes.insert, columns, rest, _event_row(event)))

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        columns, rest = _row(lease)
        row = None if event is None else _event_row(event)
        return replace(lease, etag=await self._writer.write(writes.update, columns, rest, row, lease.etag))

    async def beat(self, owner: Owner, id: str, now: float, due: float) -> bool:
        return await self._writer.write(writes.beat, owner.key, item_id(Lease, id), now, due)

    async def due(self, now: float, limit: int) -> Sequence[Lease]:
        return await self._reader.read(DUE, (*LOOKED_AT, now, limit), lambda rows: leases_from(map(_item, rows)))

    async def page(self, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        return await self._page(_place(after), LAST, limit)

    async def of(self, whose: Owner | str, after: str, limit: int) -> tuple[Sequence[Lease], str]:
        first, last = (whose.key, whose.key) if isinstance(whose, Owner) else (f"{whose}/", f"{whose}/{LAST}")
        return await self._page(max(_place(after), (first, "")), last, limit)

    async def _page(self, after: tuple[str, str], last: str, limit: int) -> tuple[Sequence[Lease], str]:
        def page(rows: list[Row]) -> tuple[list[Lease], str]:
            owner, id = rows[-1][:2] if rows else ("", "")
            return leases_from(map(_item, rows)), f"{owner}/{id}" if len(rows) == limit else ""

        return await self._reader.read(PAGE, (*after, last, limit), page)

    async def count(self, tenant: str, most: int) -> int:
        return await self._reader.read(COUNT, (f"{tenant}/", f"{tenant}/{LAST}", most), lambda rows: int(rows[0][0]))

    async def events(self, owner: Owner) -> Sequence[Event]:
        return oldest_first(
            await self._reader.read("SELECT owner, rest FROM events WHERE owner = ?", (owner.key,), _events)
        )

    # Holders

    async def holder(self, owner: Owner) -> Holder | None:
        found = await self._reader.read(f"{HOLDER} WHERE owner = ?", (owner.key,), _holders)
        return found[0] if found else None

    async def keep(self, holder: Holder, events: Sequence[Event] = ()) -> Holder:
        item = to_item(holder)
        columns = (item["owner"], item["revoked_at"], item["gone_at"])
        rows = [_event_row(event) for event in events]
        return replace(holder, etag=await self._writer.write(writes.keep, columns, _rest(item), holder.etag, rows))

    async def revoked(self, since: float) -> Sequence[Holder]:
        return await self._reader.read(f"{HOLDER} WHERE revoked_at > 0 AND revoked_at > ?", (since,), _holders)

    # Audit

    async def add(self, events: Sequence[Event]) -> None:
        await self._writer.write(writes.add, [_event_row(event) for event in events])

    async def since(self, at: float, limit: int) -> Sequence[Event]:
        query = "SELECT owner, rest FROM events WHERE at >= ? ORDER BY at LIMIT ?"
        return await self._reader.read(query, (at, limit), _events)

    # Records

    async def read(self, name: str) -> Record | None:
        def record(rows: list[Row]) -> Record | None:
            return record_from({**json.loads(rows[0][1]), "_etag": str(rows[0][0])}) if rows else None

        return await self._reader.read("SELECT etag, item FROM records WHERE id = ?", (item_id(Record, name),), record)

    async def write(self, record: Record) -> Record:
        item = to_item(record)
        written = self._writer.write(writes.put, item["id"], record.name, json.dumps(item), record.etag)
        return replace(record, etag=await written)


def _row(lease: Lease) -> tuple[tuple[Any, ...], str]:
    """A lease's columns (without its etag) and the JSON of the rest."""
    item = to_item(lease)
    return tuple(item[name] for name in COLUMNS), _rest(item)


def _event_row(event: Event) -> tuple[Any, ...]:
    item = to_item(event)
    return item["owner"], item["id"], _rest(item), event.at


def _rest(item: Item) -> str:
    """What no column says."""
    return json.dumps({name: value for name, value in item.items() if name not in DERIVED}, separators=(",", ":"))


def _item(row: Row) -> Item:
    *columns, etag, rest = row
    return {**json.loads(rest), **dict(zip(COLUMNS, columns, strict=True)), "_etag": str(etag)}


def _events(rows: list[Row]) -> list[Event]:
    return [event_from({"owner": owner, **json.loads(rest)}) for owner, rest in rows]


def _holders(rows: list[Row]) -> list[Holder]:
    return [
        holder_from({**json.loads(rest), "owner": owner, "revoked_at": revoked_at, "_etag": str(etag)})
        for owner, revoked_at, etag, rest in rows
    ]


def _place(token: str) -> tuple[str, str]:
    """Owner's key and item id behind which a page begins."""
    owner, _, id = token.rpartition("/")
    return owner, id
