"""What the SQLite store promises beyond the contract: groups, cancellation, closing, a tidy file."""

import asyncio
import fcntl
import logging
import os
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.adapters import sqlite
from shared.adapters.sqlite import SqliteStore
from shared.adapters.sqlite_commits import Commits
from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_writes import FORGOTTEN, Transaction, put
from shared.domain.errors import Conflict, StoreUnavailable
from shared.domain.leases import Lease, Owner, State
from tests.contract.conftest import TurnedClock
from tests.contract.leases import create, event_of, numbered
from tests.samples import ALICE, T0, a_lease


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leases.db"


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def store(path: Path, clock: TurnedClock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(path, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def batches(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many writes each transaction held."""
    sizes: list[int] = []
    commit = store._writer._committed

    async def counted(writes: list[Any]) -> Any:
        sizes.append(len(writes))
        return await commit(writes)

    monkeypatch.setattr(store._writer, "_committed", counted)
    return sizes


def rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# Groups


async def test_what_queues_up_is_committed_at_once(store: SqliteStore, batches: list[int]) -> None:
    created = await asyncio.gather(*(create(store, numbered(n)) for n in range(30)))
    assert batches == [30]
    assert len({lease.etag for lease in created}) == 30
    beats = await asyncio.gather(*(store.beat(lease.owner, lease.id, T0 + 1, T0 + 61) for lease in created))
    assert all(beats) and batches == [30, 30]


async def test_each_of_the_beats_that_queue_up_hears_its_own(store: SqliteStore, batches: list[int]) -> None:
    created = await asyncio.gather(*(create(store, numbered(n)) for n in range(9)))
    await store.replace(replace(created[2], state=State.HIBERNATED))
    await store.replace(replace(created[5], look_by=T0 + 60))
    owners = [*(lease.owner for lease in created), Owner("default", "nobody"), created[1].owner]
    taken = await asyncio.gather(*(store.beat(owner, "database", T0 + 1, T0 + 61) for owner in owners))
    assert batches[-1] == 11
    assert [number for number, beat in enumerate(taken) if not beat] == [2, 5, 9, 10]
    after = [await store.get(lease.owner, "database") for lease in created]
    assert [number for number, lease in enumerate(after) if lease and lease.beat_at == T0 + 1] == [0, 1, 3, 4, 6, 7, 8]
    assert len({lease.etag for lease in after if lease}) == 9


async def test_a_conflict_in_a_group_is_that_writes_alone(store: SqliteStore, batches: list[int]) -> None:
    old = await create(store, a_lease())
    await store.replace(old.claimed(T0 + 30))
    other = a_lease(id="other")
    outcomes = await asyncio.gather(
        create(store, numbered(1)),
        store.replace(replace(old, step=99), event_of(old, step=99)),
        create(store, numbered(1)),
        store.create(other, event_of(old)),  # fails at its second half
        create(store, numbered(2)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Lease, Conflict, Conflict, Conflict, Lease]
    assert batches[-1] == 5
    assert await store.get(numbered(1).owner, "database") == outcomes[0]
    assert await store.get(numbered(2).owner, "database") == outcomes[4]
    assert await store.get(ALICE, "other") is None
    assert await store.events(ALICE) == [event_of(old)]


async def test_a_fault_of_one_write_is_that_writes_alone(store: SqliteStore, batches: list[int]) -> None:
    nonsense: Any = "soon"
    outcomes = await asyncio.gather(
        create(store, numbered(1)), create(store, numbered(2, due_at=nonsense)), create(store, numbered(3)),
        create(store, numbered(4, id="lone \ud800")), return_exceptions=True,
    )  # fmt: skip
    assert [isinstance(outcome, Lease) for outcome in outcomes] == [True, False, True, False]
    assert [lease.owner for lease in (await store.page("", 10))[0]] == [numbered(1).owner, numbered(3).owner]


async def test_who_gives_up_waiting_breaks_no_group(store: SqliteStore) -> None:
    tasks = [asyncio.ensure_future(create(store, numbered(n))) for n in range(5)]
    await asyncio.sleep(0)  # now they are queued
    tasks[0].cancel()
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    gone = asyncio.CancelledError
    assert [type(outcome) for outcome in outcomes] == [gone, Lease, Lease, gone, Lease]
    assert isinstance(await create(store, numbered(9)), Lease)


async def test_a_full_disk_fails_the_group_and_nothing_else(store: SqliteStore, path: Path) -> None:
    first = await create(store, numbered(0))
    commits = Commits(LeaseFile(path))

    def fill(transaction: Transaction) -> list[Any]:
        return transaction.execute("PRAGMA max_page_count = 1").fetchall()

    assert [error for _, error in commits.outcomes(T0, [(fill, ())])] == [None]
    many = commits.outcomes(T0, [(put, (f"record {n}", "one", "x" * 4000, "")) for n in range(40)])
    assert {(result, type(error)) for result, error in many} == {(None, StoreUnavailable)}
    assert "database or disk is full" in str(many[0][1]) and str(path) in str(many[0][1])
    assert rows(path, "SELECT * FROM records") == []
    assert (await store.page("", 100))[0] == [first]
    [(etag, error)] = commits.outcomes(T0, [(put, ("record", "one", "x", ""))])
    assert etag and error is None, "there is room again: a new connection has no such limit"
    commits.close()


# Waiting


async def test_a_write_that_waits_too_long_is_told_so_and_may_yet_come(path: Path) -> None:
    store = await SqliteStore.open(path, patience=0.05)
    lock = os.open(f"{path}.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as another process does that hangs in its transaction
    with pytest.raises(StoreUnavailable, match=r"longer than 0\.05 s"):
        await create(store, a_lease())
    assert await store.get(ALICE, "database") is None  # reads do not wait for it
    os.close(lock)
    await store.close()
    again = await SqliteStore.open(path)
    assert await again.get(ALICE, "database") is not None
    await again.close()


async def test_closing_finishes_what_is_queued(path: Path) -> None:
    store = await SqliteStore.open(path)
    writing = [asyncio.ensure_future(create(store, numbered(n))) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    written = await asyncio.gather(*writing)
    with pytest.raises(StoreUnavailable, match="was closed"):
        await create(store, numbered(99))
    with pytest.raises(StoreUnavailable, match="was closed"):
        await store.get(ALICE, "database")
    again = await SqliteStore.open(path)
    assert [await again.get(lease.owner, lease.id) for lease in written] == written
    await again.close()


async def test_after_closing_the_file_alone_holds_everything(path: Path, tmp_path: Path) -> None:
    store = await SqliteStore.open(path)
    created = await create(store, a_lease())
    await store.close()
    shutil.copy(path, tmp_path / "alone.db")
    alone = await SqliteStore.open(tmp_path / "alone.db")
    assert await alone.get(ALICE, "database") == created
    await alone.close()


# The file


async def test_every_connection_writes_ahead_and_waits_for_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    found: list[tuple[str, int]] = []

    class Noted(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.append(self)

        def close(self) -> None:
            asked = (self.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
            found.append(tuple(asked))
            super().close()

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, factory=Noted, **options))
    store = await SqliteStore.open(path)
    created = await create(store, a_lease())
    assert await store.get(ALICE, "database") == created
    await store.close()

    def asked(transaction: Transaction) -> list[Any]:
        return [transaction.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    commits = Commits(LeaseFile(path))  # what the process that commits does
    assert commits.outcomes(T0, [(asked, ())]) == [(["wal", 2], None)], "in the middle of a transaction"
    commits.close()
    LeaseFile(path).connect().close()
    assert len(opened) == 4, "to make the tables, to read, to write, and one of ours"
    assert found == [("wal", 2)] * len(opened)


async def test_nobody_else_may_read_the_files(store: SqliteStore, path: Path) -> None:
    await create(store, a_lease())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("leases.db", "leases.db-wal", "leases.db-shm", "leases.db.lock"), 0o600)


async def test_forgotten_tombstones_leave_the_file_a_few_at_a_time(
    store: SqliteStore, path: Path, clock: TurnedClock
) -> None:
    await asyncio.gather(
        *(create(store, numbered(n, state=State.RELEASED, gone_at=T0 + 10)) for n in range(2 * FORGOTTEN + 1))
    )
    others = [await create(store, a_lease(id=f"{n}", generation=f"{n:020d}")) for n in range(3)]
    clock.at = T0 + 10
    left = []
    for other in others:
        await store.replace(replace(other, state=State.RELEASED, gone_at=T0 + 1000))
        left.append(rows(path, "SELECT count(*) FROM leases WHERE gone_at <= 1e18")[0][0])
    assert left == [FORGOTTEN + 2, 3, 3]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (f"{sqlite.LEASE} WHERE owner = 'a' AND id = 'b'", "sqlite_autoindex_leases_1 (owner=? AND id=?)"),
        (sqlite.DUE.replace("?", "1"), "leases_due (due_at<?)"),
        (sqlite.PAGE.replace("?", "'a'"), "sqlite_autoindex_leases_1 ((owner,id)>(?,?) AND owner<?)"),
        ("SELECT rowid FROM leases WHERE gone_at <= 1 LIMIT 9", "leases_gone (gone_at<?)"),
    ],
)  # fmt: skip
async def test_no_query_reads_more_than_it_returns(store: SqliteStore, path: Path, query: str, index: str) -> None:
    plan = [row[3] for row in rows(path, f"EXPLAIN QUERY PLAN {query}")]
    assert len(plan) == 1 and plan[0].endswith(index)


async def test_a_lease_of_a_newer_release_stops_no_pass_over_the_others(
    store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3):
        await create(store, numbered(n, due_at=T0 + n))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE leases SET state = 'moving' WHERE due_at = ?", (T0 + 1,))
    connection.commit()
    connection.close()
    with caplog.at_level(logging.ERROR):
        assert [lease.owner for lease in await store.due(T0 + 9, 10)] == [numbered(0).owner, numbered(2).owner]
        pages = [await store.page("", 1)]
        while pages[-1][1]:
            pages.append(await store.page(pages[-1][1], 1))
    assert [lease.owner for page in pages for lease in page[0]] == [numbered(0).owner, numbered(2).owner]
    assert "user%201 lease-database is not readable by this release" in caplog.text
    with pytest.raises(StoreUnavailable, match="not readable by this release"):
        await store.get(numbered(1).owner, "database")
