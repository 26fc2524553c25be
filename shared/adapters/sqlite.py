"""Leases and records in one SQLite file, for one machine; several processes may share it."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import batched, chain
from typing import Any, Self

from shared.adapters.items import (
    LOOKED_AT,
    Item,
    event_from,
    item_id,
    lease_from,
    leases_from,
    oldest_first,
    record_from,
    to_item,
)
from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_reader import Reader
from shared.adapters.sqlite_writer import Transaction, Writer
from shared.domain.errors import Conflict
from shared.domain.leases import Event, Lease, Owner
from shared.ports.clock import Clock, SystemClock
from shared.ports.leases import Record

PATIENCE = 5.0  # seconds

type Row = tuple[Any, ...]

COLUMNS = ("owner", "id", "state", "due_at", "beat_at", "look_by", "gone_at")
DERIVED = (*COLUMNS, "kind", "slot")
LEASE = f"SELECT {', '.join(COLUMNS)}, etag, rest FROM leases"
# `!=` says nothing that IN does not, but SQLite sees only by it that the partial index holds all that is asked for.
DUE = (
    f"{LEASE} WHERE state != 'released' AND state IN ({', '.join('?' * len(LOOKED_AT))})"
    " AND due_at <= ? ORDER BY due_at LIMIT ?"
)
# One range of the primary key: a second lower bound would have SQLite begin each page at the range's start.
PAGE = f"{LEASE} WHERE (owner, id) > (?, ?) AND owner <= ? AND state != 'released' ORDER BY owner, id LIMIT ?"
# A list that is read once, each row of it followed by a look at the primary key.
BEAT = (
    "WITH beat (now, due, owner, id, etag) AS (VALUES {values})"
    " UPDATE leases SET beat_at = beat.now, due_at = beat.due, etag = beat.etag FROM beat"
    " WHERE leases.owner = beat.owner AND leases.id = beat.id AND state = 'running'"
    " AND beat_at < beat.now AND due_at < beat.due AND look_by >= beat.due"
)
ROWS = 256  # of one such statement; SQLite takes 32,766 parameters
LAST = "\x7f"  # behind every owner's key, which is printable ASCII


class SqliteStore:
    """The ports `Leases` and `Records` on a file. Make one with `open`; call on one event loop.

    Durable means: after the fsync of SQLite's write-ahead log (WAL, synchronous=FULL). Writes are
    committed in groups by a thread of their own, reads go over a thread and connection of theirs.
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

        def insert(transaction: Transaction) -> Lease:
            transaction.execute(
                "DELETE FROM leases WHERE owner = ? AND id = ? AND gone_at <= ?", (*columns[:2], transaction.now)
            )
            etag = transaction.etag()
            done = transaction.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (*columns, etag, rest)
            )
            if done.rowcount != 1:
                raise Conflict(f"{lease.id} exists")
            _insert_event(transaction, event)
            return replace(lease, etag=str(etag))

        return await self._writer.write(insert)

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        (owner, id, *columns), rest = _row(lease)

        def update(transaction: Transaction) -> Lease:
            etag = transaction.etag()
            done = transaction.execute(
                "UPDATE leases SET state = ?, due_at = ?, beat_at = ?, look_by = ?, gone_at = ?, etag = ?, rest = ?"
                " WHERE owner = ? AND id = ? AND etag = ? AND (gone_at IS NULL OR gone_at > ?)",
                (*columns, etag, rest, owner, id, _number(lease.etag), transaction.now),
            )
            if done.rowcount != 1:
                raise Conflict(f"{lease.id} was written by somebody else or is gone")
            if event is not None:
                _insert_event(transaction, event)
            if lease.gone_at is not None:
                transaction.forget()  # whoever makes a tombstone removes some
            return replace(lease, etag=str(etag))

        return await self._writer.write(update)

    async def beat(self, owner: Owner, id: str, now: float, due: float) -> bool:
        return await self._writer.write_each(_beat, (now, due, owner.key, item_id(Lease, id)))

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

    async def events(self, owner: Owner) -> Sequence[Event]:
        def events(rows: list[Row]) -> list[Event]:
            return oldest_first(event_from({"owner": owner.key, **json.loads(rest)}) for (rest,) in rows)

        return await self._reader.read("SELECT rest FROM events WHERE owner = ?", (owner.key,), events)

    # Records

    async def read(self, name: str) -> Record | None:
        def record(rows: list[Row]) -> Record | None:
            return record_from({**json.loads(rows[0][1]), "_etag": str(rows[0][0])}) if rows else None

        return await self._reader.read("SELECT etag, item FROM records WHERE id = ?", (item_id(Record, name),), record)

    async def write(self, record: Record) -> Record:
        item = to_item(record)
        text = json.dumps(item)

        def put(transaction: Transaction) -> Record:
            etag = transaction.etag()
            if record.etag:
                done = transaction.execute(
                    "UPDATE records SET etag = ?, item = ? WHERE id = ? AND etag = ?",
                    (etag, text, item["id"], _number(record.etag)),
                )
            else:
                done = transaction.execute(
                    "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (item["id"], etag, text)
                )
            if done.rowcount != 1:
                raise Conflict(f"the record {record.name} was written by somebody else")
            return replace(record, etag=str(etag))

        return await self._writer.write(put)


def _row(lease: Lease) -> tuple[tuple[Any, ...], str]:
    """A lease's columns (without its etag) and the JSON of the rest."""
    item = to_item(lease)
    return tuple(item[name] for name in COLUMNS), _rest(item)


def _rest(item: Item) -> str:
    """What no column says."""
    return json.dumps({name: value for name, value in item.items() if name not in DERIVED}, separators=(",", ":"))


def _item(row: Row) -> Item:
    *columns, etag, rest = row
    return {**json.loads(rest), **dict(zip(COLUMNS, columns, strict=True)), "_etag": str(etag)}


def _place(token: str) -> tuple[str, str]:
    """Owner's key and item id behind which a page begins."""
    owner, _, id = token.rpartition("/")
    return owner, id


def _beat(transaction: Transaction, beats: Sequence[tuple[float, float, str, str]]) -> list[bool]:
    """Which of the beats (now, due, owner's key, item's id) their leases took, by one statement for all."""
    rows, taken = [(*beat, transaction.etag()) for beat in beats], 0
    for part in batched(rows, ROWS, strict=False):
        values = ", ".join(["(?, ?, ?, ?, ?)"] * len(part))
        taken += transaction.execute(BEAT.format(values=values), tuple(chain.from_iterable(part))).rowcount
    if taken == len(rows):
        return [True] * taken
    query = "SELECT 1 FROM leases WHERE owner = ? AND id = ? AND etag = ?"
    return [transaction.execute(query, row[2:]).fetchone() is not None for row in rows]


def _insert_event(transaction: Transaction, event: Event) -> None:
    item = to_item(event)
    done = transaction.execute(
        "INSERT INTO events VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (item["owner"], item["id"], _rest(item))
    )
    if done.rowcount != 1:
        raise Conflict(f"the event {event.id} exists")


def _number(etag: str) -> int:
    """The etag as the file holds it; -1, which nothing has, for what never came from here."""
    return int(etag) if etag.isascii() and etag.isdecimal() and len(etag) < 19 else -1
