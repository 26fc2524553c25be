"""What a peaceful tenant feels of another's storm: measured just before it and during it, in one run.

The peaceful one sends at a constant rate what is far from the server's capacity: beats and create_db
of its running databases over kept connections, and beats as the plugin sends them, over a new one
each. The storm comes from another tenant and another address, from a process of its own (`bench.storm`),
and the two generators and the server share the machine's cores: so what the storm's own process takes
of them is in the figures, too. A burst is 1,000 cold create_db sent at one instant, on the cluster
double with the development cluster's delays. The lag of the loop is how long `GET /` takes over a kept
connection, which asks neither store nor certificate.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import leases, machine
from bench.beats import HEAD
from bench.creates import create
from bench.figures import Figure, ratios
from bench.load import Job, Outcome
from bench.servers import Broken, Server, environment, frontend, generate, prepare, serving, slow_cluster
from bench.storm import Storm, raging
from selfhost.certs import KeyStore
from selfhost.setup import Files
from shared.domain.identity import Principal, Role
from shared.edge import settings

ROUNDS = 3
BURSTS = 7  # a burst is over in a moment, and what else the machine does in that moment counts
USERS = 2000
SECONDS = 6
RATE = {"beats": 200.0, "create_db": 100.0, "new": 40.0, "lag": 100.0}
WHAT = {
    "beats": "beats, kept connections", "create_db": "create_db of a running database, kept connections",
    "new": "beats, a new connection each", "lag": "GET / over a kept connection: the loop's lag",
}  # fmt: skip
STORMS = (  # kind, clients, what is told of it
    ("handshakes", 200, "200 clients, a new connection for every request"),
    ("kernels", 20, "20 kernels in the plugin's loop of 300 requests a second"),
    ("slow", 1000, "1,000 heads and bodies, a byte every 0.5 s"),
    ("idle", 5000, "5,000 idle connections"),
    ("heads", 20, "20 clients that send 64 KiB of headers"),
)


async def measure(folder: Path) -> list[Figure]:
    files = prepare(folder)
    await leases.seed(files, USERS, 0)
    pair = _stranger(files)
    figures: list[Figure] = []
    shares = (settings.TENANT_RATE.name, settings.TENANT_STARTS.name, settings.STARTS.name)
    chosen = {name: value for name, value in environment(files).items() if name not in shares}  # those are the defence
    async with slow_cluster(files), serving(files, chosen) as server:
        peaceful = {name: _job(name, files, server) for name in RATE}
        storm = Storm(kind="burst", port=server.port, clients=1000, ca=str(files.ca), pair=pair)
        figures += await _burst(peaceful, storm)
        for kind, clients, what in STORMS:
            figures += await _storm(peaceful, replace(storm, kind=kind, clients=clients), what, server)
        figures.append(Figure("memory of the server after all of it", "MB", [machine.memory(server.pid)], "≤ 500"))
    return figures


def _job(name: str, files: Files, server: Server) -> Job:
    """What the peaceful tenant sends of one kind."""
    if name == "create_db":
        return create(files, server, clients=32, users=USERS, seconds=SECONDS, rate=RATE[name])
    request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n" if name == "lag" else f"{HEAD}\r\n"
    return Job(
        port=server.port, request=request, users=USERS, clients=64, seconds=SECONDS, rate=RATE[name],
        fresh=name == "new", ca=str(files.ca), pairs=frontend(files),
    )  # fmt: skip


def _stranger(files: Files) -> tuple[str, str]:
    """Another tenant's certificate and key."""
    principal = Principal("storm", Role.FRONTEND, "storm")
    kept = KeyStore(files.key_store).issue(principal, settings.TRUST_DOMAIN.read({}), datetime.now(UTC))
    return str(kept.certificate_file), str(kept.key_file)


async def _send(peaceful: dict[str, Job], names: tuple[str, ...]) -> dict[str, Outcome]:
    """All of these at once. Raises Broken if one in a thousand was not answered as it should be."""
    return dict(zip(names, await asyncio.gather(*(generate(peaceful[name]) for name in names)), strict=True))


async def _burst(peaceful: dict[str, Job], storm: Storm) -> list[Figure]:
    names = ("beats", "create_db")
    before, during = _found(), _found()
    took: list[float] = []
    answered: list[float] = []
    for number in range(BURSTS):
        async with raging(replace(storm, first=number * storm.clients)) as burst:
            _note(before, await _send(peaceful, names))
            sending = asyncio.create_task(_send(peaceful, names))
            await asyncio.sleep(1)  # the generators take half of that to start
            burst.begin()
            _note(during, await sending)
            await asyncio.sleep(15)  # until the last of them is answered
        if sum(count for status, count in burst.counts.items() if status in ("200", "429", "503")) != storm.clients:
            raise Broken(f"of a burst of {storm.clients}: {burst.counts}")
        answered.append(burst.counts.get("200", 0))
        took.append(burst.counts["seconds"])
    return [
        Figure("1,000 cold create_db at one instant: databases of it", "", answered, note="the others 429 or 503"),
        Figure("  the last answer", "s", took),
        *(figure for name in names for figure in _compared(name, before, during, "≤ 2")),
    ]


async def _storm(peaceful: dict[str, Job], storm: Storm, what: str, server: Server) -> list[Figure]:
    before, during = _found(), _found()
    rates: list[float] = []
    resident: list[float] = []
    waited: list[float] = []
    for _ in range(ROUNDS):
        _note(before, await _send(peaceful, ("beats", "new", "lag")))
        async with raging(storm) as attack:
            attack.begin()
            had, began = machine.waited(server.pid), time.monotonic()
            _note(during, await _send(peaceful, ("beats", "new", "lag")))
            waited.append((machine.waited(server.pid) - had) / (time.monotonic() - began) * 100)
            resident.append(machine.memory(server.pid))
        rates.append(sum(count for status, count in attack.counts.items() if status != "seconds"))
    limit = "≤ 1000" if storm.kind == "handshakes" else "≤ 100"
    return [
        Figure(f"{what}: answered, or cut off", "", rates),
        Figure("  memory of the server meanwhile", "MB", resident, "≤ 500"),
        Figure("  the server's loop was ready to run and had no core", "%", waited),
        *_compared("beats", before, during, limit=limit),
        *_compared("new", before, during, limit=limit),
        *_compared("lag", before, during),
    ]


type Found = dict[str, list[Outcome]]


def _found() -> Found:
    return defaultdict(list)


def _note(found: Found, outcomes: dict[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        found[name].append(outcome)


def _compared(name: str, before: Found, during: Found, ratio: str = "", limit: str = "") -> list[Figure]:
    """`ratio` and `limit` are targets of p99s: during to before, and of that during."""
    p99s = [[outcome.p99 for outcome in found[name]] for found in (before, during)]
    return [
        Figure(f"  {WHAT[name]}: p99 before", "ms", p99s[0]),
        Figure("    during it", "ms", p99s[1], limit),
        Figure("    worst of it", "ms", [outcome.worst for outcome in during[name]]),
        Figure("    p99 during : before", "times", ratios(p99s[1], p99s[0]), ratio),
    ]
