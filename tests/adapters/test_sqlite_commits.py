"""The process that commits: it ends with whoever started it, and when it ends alone, the next write starts another."""

import asyncio
import io
import os
import pickle
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters import sqlite_writer
from shared.adapters.sqlite import SqliteStore
from shared.adapters.sqlite_commits import LENGTH, Commits, message, serve
from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_writes import put
from shared.domain.errors import StoreUnavailable
from tests.contract.leases import create, numbered
from tests.samples import T0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "leases.db")
    await create(opened, numbered(0))
    yield opened
    await opened.close()


def committing(store: SqliteStore) -> int:
    """Its process id."""
    assert store._writer._process is not None
    return store._writer._process.pid


async def test_one_that_ended_between_two_writes_is_followed_by_another(store: SqliteStore) -> None:
    process = store._writer._process
    assert process is not None
    process.kill()
    await process.wait()
    await create(store, numbered(1))
    assert committing(store) != process.pid


async def test_whoever_waits_for_one_that_ends_is_told_and_the_next_write_starts_another(store: SqliteStore) -> None:
    os.kill(committing(store), signal.SIGSTOP)
    waiting = [asyncio.ensure_future(create(store, numbered(n))) for n in (1, 2)]
    await asyncio.sleep(0)  # now they are queued
    os.kill(committing(store), signal.SIGKILL)
    for told in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(told, StoreUnavailable) and "the process that commits ended" in told.detail
    await create(store, numbered(3))


async def test_one_that_answers_nonsense_is_ended_and_asked_nothing_more(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = store._writer._process
    assert process is not None
    with monkeypatch.context() as patched:
        patched.setattr(sqlite_writer.pickle, "loads", lambda content: 1 / 0)
        with pytest.raises(StoreUnavailable, match="the process that commits answered what cannot be read"):
            await create(store, numbered(1))
    assert "ZeroDivisionError" in caplog.text
    await create(store, numbered(2))
    assert committing(store) != process.pid
    assert await process.wait() == -signal.SIGKILL


async def test_one_that_cannot_be_started_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SqliteStore.open(tmp_path / "leases.db")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_writer, "PROGRAM", (str(tmp_path / "nothing"),))
        with pytest.raises(StoreUnavailable, match="cannot be started"):
            await create(store, numbered(0))
    await create(store, numbered(0))
    await store.close()


async def test_a_stop_of_the_whole_group_lets_it_finish(store: SqliteStore) -> None:
    process = committing(store)
    assert os.getsid(process) != os.getsid(0), "a terminal's Ctrl-C does not reach it"
    for stop in (signal.SIGTERM, signal.SIGINT):  # as systemd sends it to every process of a service
        os.kill(process, stop)
    await create(store, numbered(1))
    assert committing(store) == process


async def test_closing_waits_for_it(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "leases.db")
    await create(store, numbered(0))
    process = store._writer._process
    await store.close()
    assert process is not None and process.returncode == 0


async def test_it_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(tmp_path / "leases.db"), stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    process = int(await server.stdout.readline())
    ended = os.pidfd_open(process)
    server.kill()
    await server.wait()
    assert await asyncio.to_thread(select.select, [ended], [], [], 30) == ([ended], [], [])
    os.close(ended)


def test_input_that_ends_in_the_middle_of_a_batch_is_not_written(tmp_path: Path) -> None:
    file = LeaseFile(tmp_path / "leases.db")
    file.make()
    whole = message((T0, [(put, ("record one", "one", "{}", ""))]))
    for length in range(len(whole)):
        output = io.BytesIO()
        serve(Commits(file), io.BytesIO(whole[:length]), output)
        assert output.getvalue() == b""
    commits, output = Commits(file), io.BytesIO()
    serve(commits, io.BytesIO(whole + whole), output)
    commits.close()
    answers = io.BytesIO(output.getvalue())
    errors = []
    while head := answers.read(LENGTH.size):
        [(_, error)] = pickle.loads(answers.read(*LENGTH.unpack(head)))
        errors.append(str(error))
    assert errors == ["None", "the record one was written by somebody else"]


async def serve_for_ever(path: str) -> None:
    """In a child: a server that has written once."""
    store = await SqliteStore.open(path)
    await create(store, numbered(0))
    print(committing(store), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve_for_ever(sys.argv[1]))
