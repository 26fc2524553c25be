"""Latency at half of the capacity: requests arrive at a constant rate, whatever comes back.

Each round measures the capacity (closed loop, 32 clients) and then half of it. Latency counts from
the instant at which a request was to be sent, so a disk that stalls for 0.3 s is the p99 of the
next seconds: what the bare disk makes of the same arrivals is measured in between, and all of it
again with the file in memory, where only our own part is left (to compare; the targets are of what
is durable). The last rounds have 32 cold create_db in flight all the while, one after the other,
against the cluster double with the development cluster's delays.
"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import leases, machine
from bench.beats import Beats
from bench.creates import create
from bench.figures import Figure
from bench.load import Outcome
from bench.servers import environment, generate, prepare, serving, slow_cluster

ROUNDS = 5
MEMORY = Path("/dev/shm")
HAS_MEMORY = MEMORY.is_dir()
USERS = 300_000
CONNECTED = 2.0  # seconds after which the 32 who create have their connections: handshakes are measured by themselves


@dataclass(frozen=True, slots=True)
class Steady:
    """`waited`: the share of the time in which the server's loop was ready to run and had no core."""

    outcome: Outcome
    waited: float


async def measure(folder: Path) -> list[Figure]:
    figures = await _measure(folder, "", ROUNDS)
    if not HAS_MEMORY:
        return figures
    with tempfile.TemporaryDirectory(prefix="bench-", dir=MEMORY) as memory:
        return figures + await _measure(Path(memory), ", its file in memory", 3)


async def _measure(folder: Path, where: str, rounds: int) -> list[Figure]:
    files = prepare(folder)
    await leases.seed(files, 1, USERS - 1)
    kept: list[Steady] = []
    new: list[Steady] = []
    busy: list[Steady] = []
    creates: list[Outcome] = []
    disk: list[float] = []
    async with slow_cluster(files), serving(files, environment(files)) as server:
        beats, asked = Beats(files, server, USERS), 0
        for _ in range(rounds):
            kept.append(await _beat(beats, await _half(beats, fresh=False), fresh=False))
            disk.append(await asyncio.to_thread(machine.bare_disk, folder, kept[-1].outcome.rate, 4))
            new.append(await _beat(beats, await _half(beats, fresh=True), fresh=True))
            rate = await _half(beats, fresh=False)
            job = create(files, server, clients=32, first=USERS + asked, users=10_000, seconds=8, warm=0)
            creating = asyncio.create_task(generate(job))
            await asyncio.sleep(CONNECTED)
            busy.append(await _beat(beats, rate, fresh=False))
            creates.append(await creating)
            asked += creates[-1].sent
        beats.check()
    return [
        *_figures(f"kept connections{where}", kept, "" if where else "≤ 15"),
        Figure("  the same arrivals at the bare disk, nothing but write and fdatasync: p99", "ms", disk),
        *_figures(f"a new connection each{where}", new, "" if where else "≤ 15"),
        *_figures(f"kept connections, 32 cold create_db in flight{where}", busy, "" if where else "≤ 30"),
        Figure("  cold create_db answered meanwhile", "/s", [outcome.rate for outcome in creates]),
        Figure("  their p50 (the double takes 2.15 to 2.45 s to start)", "ms", [outcome.p50 for outcome in creates]),
    ]


async def _half(beats: Beats, fresh: bool) -> float:
    """Half of the capacity, now."""
    return (await beats.send(clients=32, fresh=fresh, seconds=1.5)).rate / 2


async def _beat(beats: Beats, rate: float, fresh: bool) -> Steady:
    pid, began = beats.server.pid, time.monotonic()
    before = machine.waited(pid)
    outcome = await beats.send(clients=64, fresh=fresh, seconds=4, rate=rate)
    return Steady(outcome, (machine.waited(pid) - before) / (time.monotonic() - began))


def _figures(what: str, found: list[Steady], target: str) -> list[Figure]:
    return [
        Figure(f"beats at half capacity, {what}", "/s", [each.outcome.rate for each in found]),
        Figure("  p50", "ms", [each.outcome.p50 for each in found]),
        Figure("  p99", "ms", [each.outcome.p99 for each in found], target),
        Figure("  worst", "ms", [each.outcome.worst for each in found]),
        Figure("  the server's loop was ready to run and had no core", "%", [each.waited * 100 for each in found]),
    ]
