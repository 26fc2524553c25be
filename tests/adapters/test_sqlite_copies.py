"""A copy of the file, made while others write to it, is whole."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.sqlite import SqliteStore
from shared.domain.leases import Owner
from tests.contract.conftest import TurnedClock
from tests.contract.leases import create, numbered
from tests.samples import ALICE, a_lease


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "leases.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(path, clock=TurnedClock())
    yield opened
    await opened.close()


def rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# Groups


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory


async def copy(path: Path, directory: Path, *lock: str) -> None:
    """By a process of its own: one that closes a file undoes SQLite's locks of its whole process."""
    copying = await asyncio.create_subprocess_exec(*lock, "cp", str(path), f"{path}-wal", str(directory))
    assert await copying.wait() == 0


async def test_a_copy_made_under_the_lock_is_whole(store: SqliteStore, path: Path, elsewhere: Path) -> None:
    acknowledged: list[Owner] = []
    enough, stop = asyncio.Event(), False

    async def write(first: int) -> None:
        n = first
        while not stop:
            acknowledged.append((await create(store, numbered(n))).owner)
            n += 8
            if len(acknowledged) > 200:
                enough.set()

    writers = [asyncio.ensure_future(write(n)) for n in range(8)]
    await enough.wait()
    before = list(acknowledged)
    await copy(path, elsewhere, "flock", f"{path}.lock")
    stop = True
    await asyncio.gather(*writers)

    path = elsewhere / "leases.db"
    copied = await SqliteStore.open(path)
    for owner in before:
        assert await copied.get(owner, "database") is not None
        assert len(await copied.events(owner)) == 1
    await copied.close()
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_copy_made_in_the_middle_of_a_transaction_opens_without_it(
    store: SqliteStore, path: Path, elsewhere: Path
) -> None:
    first = await create(store, a_lease())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA cache_size = 1; BEGIN IMMEDIATE; UPDATE records SET etag = 77")
    connection.executemany("INSERT INTO events VALUES ('x', ?, ?, 0)", [(str(n), "y" * 3000) for n in range(500)])
    await copy(path, elsewhere)
    connection.close()

    path = elsewhere / "leases.db"
    assert path.with_name("leases.db-wal").stat().st_size > 500_000  # so what was not committed is in there
    copied = await SqliteStore.open(path, clock=TurnedClock())
    assert await copied.get(ALICE, "database") == first
    await create(copied, numbered(1))
    await copied.close()
    assert rows(path, "SELECT count(*) FROM events WHERE owner = 'x'") == [(0,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
