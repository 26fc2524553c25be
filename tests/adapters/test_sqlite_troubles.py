"""Files that cannot be used: which one, and what is wrong with it, is said."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from shared.adapters.sqlite import SqliteStore
from shared.adapters.sqlite_file import VERSION
from shared.domain.errors import StoreUnavailable
from tests.contract.leases import create
from tests.samples import ALICE, T0, a_lease

NOBODY = 65534


async def refusal(path: Path) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        await SqliteStore.open(path)
    return refused.value.detail


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom file modes concern."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def make(path: Path) -> None:
    store = await SqliteStore.open(path)
    await create(store, a_lease())
    await store.close()


async def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    assert await refusal(tmp_path / "no" / "leases.db") == f"{tmp_path}/no/leases.db.lock: No such file or directory"


async def test_a_directory_in_the_place_of_the_file(tmp_path: Path) -> None:
    assert await refusal(tmp_path) == f"{tmp_path}: Is a directory"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter, which tmp_path is not."""
    with TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


async def test_a_directory_that_may_not_be_written(public: Path) -> None:
    os.chmod(public, 0o555)
    with unprivileged():
        assert await refusal(public / "leases.db") == f"{public}/leases.db.lock: Permission denied"


async def test_a_file_that_may_not_be_written(public: Path) -> None:
    path = public / "leases.db"
    await make(path)
    path.chmod(0o444)
    path.with_name("leases.db.lock").chmod(0o666)
    with unprivileged():
        assert await refusal(path) == f"{path}: Permission denied"


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    path.write_text("dear diary, " * 1000)
    assert await refusal(path) == f"{path}: file is not a database (SQLITE_NOTADB)"
    assert path.read_text().startswith("dear diary, ")


async def test_some_other_programs_database(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    assert await refusal(path) == f"{path}: this is some other program's database"


async def test_a_file_of_a_newer_release(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    await make(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    said = f"{path}: its tables have version 7, and this program knows {VERSION}: it was written by a newer one"
    assert await refusal(path) == said


async def test_a_file_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    await make(path)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    store = await SqliteStore.open(path)
    for call in (store.get(ALICE, "database"), create(store, a_lease(id="other")), store.due(T0, 1)):
        with pytest.raises(StoreUnavailable) as refused:
            await call
        assert refused.value.detail == f"{path}: database disk image is malformed (SQLITE_CORRUPT)"
    await store.close()


async def test_a_file_that_vanished_and_came_back(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    await make(path)
    store, other = await SqliteStore.open(path), a_lease(id="other", generation="b" * 20)
    path.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        await store.get(ALICE, "database")
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        await create(store, other)
    (tmp_path / "elsewhere").rename(path)
    assert await store.get(ALICE, "database") is not None
    await create(store, other)
    await store.close()
