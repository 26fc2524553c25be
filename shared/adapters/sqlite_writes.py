"""Every write to the SQLite file, as a function of a transaction that is open.

They run in the process that commits, which imports this module and little else: it must be there soon.
"""

import os
import sqlite3
from collections.abc import Sequence
from typing import Any

from shared.domain.errors import Conflict

EVENT = "INSERT INTO events VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"  # owner, id, rest, at
FORGOTTEN = 16  # expired tombstones removed by one transaction at most

type Columns = tuple[Any, ...]


class Transaction:
    """A transaction that is open: where it writes, its time, and the etags it hands out."""

    def __init__(self, connection: sqlite3.Connection, now: float):
        self.execute = connection.execute
        self.now = now

    def etag(self) -> int:
        """An etag that nothing in this file ever had: a slot that is made anew must not bring an old one back."""
        return int.from_bytes(os.urandom(8)) >> 5  # at most 18 digits, which SQLite holds


def insert(transaction: Transaction, columns: Columns, rest: str, event: Columns) -> str:
    """Insert a lease, in the place of an expired tombstone if there is one, and its event; the lease's etag.

    `columns` are owner, id, state, due_at, beat_at, look_by and gone_at, an event's owner, id and rest.
    Raises Conflict.
    """
    owner, id = columns[:2]
    transaction.execute("DELETE FROM leases WHERE owner = ? AND id = ? AND gone_at <= ?", (owner, id, transaction.now))
    etag = transaction.etag()
    done = transaction.execute(
        "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (*columns, etag, rest)
    )
    if done.rowcount != 1:
        raise Conflict(f"{id} exists")
    _insert_event(transaction, event)
    return str(etag)


def update(transaction: Transaction, columns: Columns, rest: str, event: Columns | None, seen: str) -> str:
    """Update the lease whose etag is `seen`; its new etag. Raises Conflict."""
    owner, id, *columns_set = columns
    etag = transaction.etag()
    done = transaction.execute(
        "UPDATE leases SET state = ?, due_at = ?, beat_at = ?, look_by = ?, gone_at = ?, etag = ?, rest = ?"
        " WHERE owner = ? AND id = ? AND etag = ? AND (gone_at IS NULL OR gone_at > ?)",
        (*columns_set, etag, rest, owner, id, _number(seen), transaction.now),
    )
    if done.rowcount != 1:
        raise Conflict(f"{id} was written by somebody else or is gone")
    if event is not None:
        _insert_event(transaction, event)
    if columns[-1] is not None:  # whoever makes a tombstone removes some
        transaction.execute(
            "DELETE FROM leases WHERE rowid IN (SELECT rowid FROM leases WHERE gone_at <= ? LIMIT ?)",
            (transaction.now, FORGOTTEN),
        )
    return str(etag)


def beat(transaction: Transaction, owner: str, id: str, now: float, due: float) -> bool:
    """Whether the lease took the beat (`Leases.beat`)."""
    done = transaction.execute(
        "UPDATE leases SET beat_at = ?, due_at = ?, etag = ? WHERE owner = ? AND id = ?"
        " AND state = 'running' AND beat_at < ? AND due_at < ? AND look_by >= ?",
        (now, due, transaction.etag(), owner, id, now, due, due),
    )
    return done.rowcount == 1


def put(transaction: Transaction, id: str, name: str, item: str, seen: str) -> str:
    """Write a record: the one whose etag is `seen`, or a new one if that is empty; its new etag. Raises Conflict."""
    etag = transaction.etag()
    if seen:
        done = transaction.execute(
            "UPDATE records SET etag = ?, item = ? WHERE id = ? AND etag = ?", (etag, item, id, _number(seen))
        )
    else:
        done = transaction.execute("INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (id, etag, item))
    if done.rowcount != 1:
        raise Conflict(f"the record {name} was written by somebody else")
    return str(etag)


def keep(transaction: Transaction, columns: Columns, rest: str, seen: str, events: Sequence[Columns]) -> str:
    """Write a holder: the one whose etag is `seen`, or a new one if that is empty; its new etag. Raises Conflict.

    `columns` are owner, revoked_at and gone_at; `events` come with it.
    """
    owner, revoked_at, gone_at = columns
    etag = transaction.etag()
    if seen:
        done = transaction.execute(
            "UPDATE holders SET revoked_at = ?, gone_at = ?, etag = ?, rest = ? WHERE owner = ? AND etag = ?",
            (revoked_at, gone_at, etag, rest, owner, _number(seen)),
        )
    else:
        done = transaction.execute(
            "INSERT INTO holders VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (owner, revoked_at, gone_at, etag, rest),
        )
    if done.rowcount != 1:
        raise Conflict(f"the certificates of {owner} were written by somebody else")
    transaction.execute(
        "DELETE FROM holders WHERE owner IN (SELECT owner FROM holders WHERE gone_at <= ? AND owner != ? LIMIT ?)",
        (transaction.now, owner, FORGOTTEN),
    )
    for event in events:
        _insert_event(transaction, event)
    return str(etag)


def add(transaction: Transaction, events: Sequence[Columns]) -> None:
    """Insert events. Raises Conflict."""
    for event in events:
        _insert_event(transaction, event)


def _insert_event(transaction: Transaction, event: Columns) -> None:
    if transaction.execute(EVENT, event).rowcount != 1:
        raise Conflict(f"the event {event[1]} exists")


def _number(etag: str) -> int:
    """The etag as the file holds it; -1, which nothing has, for what never came from here."""
    return int(etag) if etag.isascii() and etag.isdecimal() and len(etag) < 19 else -1
