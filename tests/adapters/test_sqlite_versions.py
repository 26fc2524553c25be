"""A file that an earlier release made is brought to what this one needs, with all that is in it."""

import json
import sqlite3
from pathlib import Path

import pytest

from shared.adapters.sqlite import SqliteStore
from shared.adapters.sqlite_file import APPLICATION, MISSING, VERSION, LeaseFile
from shared.domain.holders import Holder
from tests.contract.conftest import TurnedClock
from tests.contract.leases import create, event_of
from tests.samples import ALICE, T0, a_lease


async def of_version(path: Path, version: int) -> None:
    """A file as the release of that version left it, with a lease and its event."""
    clock = TurnedClock()
    new = path.with_name("new.db")
    store = await SqliteStore.open(new, clock=clock)
    await create(store, a_lease())
    await store.close()
    connection, source = sqlite3.connect(path), sqlite3.connect(new)
    connection.executescript("".join(MISSING[each] for each in range(version)))
    for table, columns in (("leases", "*"), ("events", "owner, id, rest")):
        rows = source.execute(f"SELECT {columns} FROM {table}").fetchall()
        places = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
    connection.executescript(f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version};")
    connection.commit()
    source.close()
    connection.close()


@pytest.mark.parametrize("version", range(1, VERSION))
async def test_an_older_file_keeps_what_it_has_and_takes_what_is_new(tmp_path: Path, version: int) -> None:
    path = tmp_path / "leases.db"
    await of_version(path, version)
    store = await SqliteStore.open(path, clock=TurnedClock())
    found = await store.get(ALICE, a_lease().id)
    assert found is not None and found.generation == a_lease().generation
    assert list(await store.since(T0 - 1e9, 10)) == list(await store.events(ALICE)) == [event_of(a_lease())]
    await store.keep(Holder(ALICE))
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert json.loads(connection.execute("SELECT rest FROM events").fetchone()[0])["lease"] == a_lease().id
    connection.close()


async def test_two_processes_that_open_an_old_file_at_once_bring_it_on_once(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    await of_version(path, 1)
    for _ in range(2):
        LeaseFile(path).make()
    store = await SqliteStore.open(path, clock=TurnedClock())
    assert len(await store.since(0.0, 10)) == 1
    await store.close()
