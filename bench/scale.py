"""A million leases in one file, and 300 who ask for a database within a minute.

The file is what `passes` looks through; its beats are written straight through the store. The 300 come
five a second to a real server before the cluster double, which starts a database in 2.15 to 2.45 s.
"""

import asyncio
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import leases
from bench.cold import create
from bench.figures import Figure
from bench.servers import Broken, environment, frontend, prepare, serving, slow_cluster
from selfhost.setup import TENANT
from shared.adapters.sqlite import SqliteStore
from shared.domain.databases import ID
from shared.domain.leases import Owner

MANY = 1_000_000
SECONDS = 4.0
TOGETHER = 64  # beats in flight
ARRIVALS, EVERY = 300, 0.2


async def measure(folder: Path) -> list[Figure]:
    return [*await _file(folder / "many"), *await _crowd(folder / "crowd")]


async def _file(folder: Path) -> list[Figure]:
    files = prepare(folder)
    await leases.seed(files, 1, MANY - 1)
    size = files.store.stat().st_size
    store = await SqliteStore.open(files.store)
    try:
        rates = [await _beats(store, number) for number in range(3)]
    finally:
        await store.close()
    return [
        Figure(f"{MANY:,} leases: the file", "MB", [size / 1e6], note=f"{size / MANY:.0f} bytes each, index included"),
        Figure(f"  durable beats of users all over it, {TOGETHER} in flight, through the store", "/s", rates),
    ]


async def _beats(store: SqliteStore, round: int) -> float:
    done, began = 0, time.perf_counter()

    async def beat(first: int) -> None:
        nonlocal done
        number = first
        while time.perf_counter() - began < SECONDS:
            owner, now = Owner(TENANT, f"user-{number * 7919 % MANY:07d}"), time.time()
            if not await store.beat(owner, ID, now, now + leases.POLICY.silence):
                raise Broken(f"the beat of {owner.key} was refused")
            number, done = number + TOGETHER, done + 1

    await asyncio.gather(*(beat(round * 200_000 + first) for first in range(TOGETHER)))
    return done / (time.perf_counter() - began)


async def _crowd(folder: Path) -> list[Figure]:
    files = prepare(folder)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*frontend(files)[0])
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))  # who waits has a thread
    took: list[float] = []
    async with slow_cluster(files), serving(files, environment(files)) as server:
        began = time.perf_counter()

        async def one(number: int) -> None:
            await asyncio.sleep(number * EVERY - (time.perf_counter() - began))
            asked = time.perf_counter()
            await asyncio.to_thread(create, server, context, f"user-{number:07d}")
            took.append(time.perf_counter() - asked)

        await asyncio.gather(*(one(number) for number in range(ARRIVALS)))
    return [
        Figure(f"{ARRIVALS} cold create_db, {1 / EVERY:.0f} a second, before the cluster double", "s", took),
        Figure("  of them within 3.5 s", "%", [100 * sum(each <= 3.5 for each in took) / len(took)], "≥ 99"),
    ]
