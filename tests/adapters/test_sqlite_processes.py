"""One file, several real processes, and processes that are killed."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import replace
from pathlib import Path

import uvloop

from shared.adapters.sqlite import SqliteStore
from shared.domain.errors import Conflict
from tests.contract.leases import create, event_of, numbered
from tests.samples import T0

LEASES, TASKS, ROUNDS = 4, 6, 15


async def hammer(path: Path) -> None:
    """In a child: take each lease a step further, again and again, while others do."""
    store = await SqliteStore.open(path, patience=60)

    async def step(n: int) -> None:
        for _ in range(ROUNDS):
            while True:
                lease = await store.get(numbered(n % LEASES).owner, "database")
                assert lease is not None
                moved = replace(lease, step=lease.step + 1)
                try:
                    await store.replace(moved, event_of(moved))
                    break
                except Conflict:
                    continue

    await asyncio.gather(*(step(n) for n in range(TASKS)))
    await store.close()


async def write(path: Path) -> None:
    """In a child: make leases for ever, saying which of them are durable."""
    store = await SqliteStore.open(path, patience=60)

    async def make(n: int) -> None:
        while True:
            await create(store, numbered(n))
            print(n, flush=True)
            n += 16

    await asyncio.gather(*(make(n) for n in range(16)))


async def child(task: str, path: Path) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, task, str(path), stdout=PIPE)


async def test_two_processes_lose_none_of_each_others_writes(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    store = await SqliteStore.open(path)
    for n in range(LEASES):
        await create(store, numbered(n, step=0))
    children = [await child("hammer", path) for _ in range(2)]
    for process in children:
        assert process.stdout is not None
        assert (await process.stdout.read(), await process.wait()) == (b"", 0)
    for n in range(LEASES):
        lease = await store.get(numbered(n).owner, "database")
        expected = 2 * ROUNDS * sum(task % LEASES == n for task in range(TASKS))
        assert lease is not None and lease.step == expected
        assert sorted(event.step for event in await store.events(lease.owner)) == list(range(expected + 1))
    await store.close()


async def test_a_killed_process_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    process = await child("write", path)
    assert process.stdout is not None
    acknowledged = [await process.stdout.readline() for _ in range(300)]
    process.kill()
    acknowledged += (await process.stdout.read()).splitlines(keepends=True)
    assert await process.wait() == -9

    store = await SqliteStore.open(path)  # its lock died with it
    whole = [int(line) for line in acknowledged if line.endswith(b"\n")]
    assert len(whole) >= 300
    for n in whole:
        lease = await store.get(numbered(n).owner, "database")
        assert lease is not None
        assert await store.events(lease.owner) == [event_of(lease)]
    assert await store.beat(numbered(whole[-1]).owner, "database", T0 + 1, T0 + 61)
    await store.close()


if __name__ == "__main__":
    uvloop.run({"hammer": hammer, "write": write}[sys.argv[1]](Path(sys.argv[2])))
