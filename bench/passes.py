"""A pass of the reaper over many leases of which few are due: its cost must not know the many.

The due ones run and were heard from, so that each costs a claim and a result, and no cluster.
In this process, through `reaper.reap` and the SQLite store, without a server.
"""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import cast

from bench import leases
from bench.figures import Figure
from bench.servers import Broken, prepare
from selfhost.setup import Files
from shared.adapters.sqlite import SqliteStore
from shared.domain import reaper
from shared.domain.control import Control
from shared.domain.hearing import Hearing
from shared.ports.clock import SystemClock
from shared.ports.cluster import Cluster
from shared.ports.looks import Looks
from shared.ports.sealer import Sealer

ROUNDS = 15
FEW, MANY, DUE = 10_000, 1_000_000, 100


class Untouched:
    """Whatever is asked of it is an error: no pass here may need it."""

    def __getattr__(self, name: str) -> object:
        raise Broken(f"the pass asked for {name}")


class Sealed(Untouched):
    """What seals: a look only asks whether it would do so with another key by now."""

    def stale(self, sealed: str) -> bool:
        return False


async def measure(folder: Path) -> list[Figure]:
    files = {count: await _seeded(folder / str(count), count) for count in (FEW, MANY)}
    stores = {count: await SqliteStore.open(files[count].store) for count in files}
    times: dict[int, list[float]] = {count: [] for count in files}
    for _ in range(ROUNDS):
        for count, store in stores.items():
            await asyncio.to_thread(_make_due, files[count].store)
            times[count].append(await _pass(store))
    for store in stores.values():
        await store.close()
    many, few = times[MANY], times[FEW]
    return [
        Figure(f"reaper pass, {DUE} due of {FEW:,} leases", "s", few),
        Figure(f"reaper pass, {DUE} due of {MANY:,} leases", "s", many, "≤ 0.3"),
        Figure("  more than 1.2 times the pass over the few, by", "ms",
               [(m - 1.2 * f) * 1000 for m, f in zip(many, few, strict=True)], "≤ 10"),
    ]  # fmt: skip


async def _seeded(folder: Path, count: int) -> Files:
    files = prepare(folder)
    await leases.seed(files, 1, count - 1)
    return files


def _make_due(path: Path) -> None:
    """A hundred leases, spread over all, are due since now and were heard from a minute ago."""
    now = time.time()
    with sqlite3.connect(path) as connection:
        last = connection.execute("SELECT max(rowid) FROM leases").fetchone()[0]
        rows = [(now, now - 60, 1 + number * (last // DUE)) for number in range(DUE)]
        connection.executemany("UPDATE leases SET due_at = ?, beat_at = ?, etag = etag + 1 WHERE rowid = ?", rows)
    connection.close()


async def _pass(store: SqliteStore) -> float:
    nothing = Untouched()
    control = Control(
        store, cast(Cluster, nothing), cast(Looks, nothing), cast(Sealer, Sealed()), SystemClock(), leases.POLICY
    )
    began = time.perf_counter()
    counts = await reaper.reap(control, Hearing(time.time()))
    took = time.perf_counter() - began
    if (counts.due, counts.kept) != (DUE, DUE):
        raise Broken(f"the pass did something else: {counts}")
    return took
