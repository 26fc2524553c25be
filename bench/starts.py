"""An app of heart_beat alone: from the start of its process to its first answer, and its memory."""

import asyncio
import http.client
import ssl
import time
from pathlib import Path

from bench import leases, machine
from bench.beats import Beats
from bench.figures import Figure
from bench.servers import Broken, Server, environment, frontend, prepare, serving
from selfhost.setup import Files
from shared.edge import settings

ROUNDS = 9
USERS = 100_000


async def measure(folder: Path) -> list[Figure]:
    files = prepare(folder)
    await leases.seed(files, 1, USERS - 1)
    alone = environment(files, **{settings.FUNCTIONS.name: "heart_beat"})
    starts: dict[str, list[float]] = {"alone": [], "all": []}
    context = _context(files)
    for _ in range(ROUNDS):
        for name, chosen in (("alone", alone), ("all", environment(files))):
            began = time.perf_counter()
            async with serving(files, chosen) as server:
                await asyncio.to_thread(_ask, server, context)
                starts[name].append(time.perf_counter() - began)
    async with serving(files, alone) as server:
        beats = Beats(files, server, USERS)
        await beats.send(clients=32, seconds=4)
        await beats.send(clients=32, seconds=2, fresh=True)
        beats.check()
        resident = machine.memory(server.pid)
    return [
        Figure("heart_beat alone: process start to first answer", "s", starts["alone"], "≤ 0.5"),
        Figure("all functions: process start to first answer", "s", starts["all"]),
        Figure("heart_beat alone: memory after load", "MB", [resident], "≤ 150", f"{beats.answered:,} beats"),
    ]


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*frontend(files)[0])
    return context


def _ask(server: Server, context: ssl.SSLContext) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    connection.request("GET", f"/api/heart_beat?user_id=user-{0:07d}")
    answer = connection.getresponse().read()
    connection.close()
    if b'"renewed":true' not in answer:
        raise Broken(f"the first answer is {answer!r}")
