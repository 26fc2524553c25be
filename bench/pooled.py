"""create_db with spares ready: from the request to the first row of SQL, on a real cluster.

One at a time with a full pool, and then a minute in which somebody comes every second and gives its
database up at once. Uses the cluster and the namespace that `cold` does.
"""

import asyncio
import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.cold import create, make_namespace, on_the_cluster, select
from bench.figures import Figure
from bench.servers import Broken, Server, frontend, prepare, serving
from selfhost.setup import TENANT, Files
from shared.adapters.sqlite import SqliteStore
from shared.domain.leases import SPARES, Lease, Owner, State
from shared.domain.pool import LEFT_ALONE
from shared.edge import settings

ROUNDS = 15
SIZE = 8
ARRIVALS = 60  # users, one a second
FILLS = LEFT_ALONE + 120.0  # seconds that a pool may take to be filled, or to go
PATIENT = 60.0  # seconds for which somebody asks again
WHAT = "create_db of no database with spares ready, to the first SQL answer, one at a time"


async def measure(folder: Path) -> list[Figure]:
    path = settings.KUBECONFIG.read(os.environ)
    if not path:
        return [Figure(WHAT, "s", [], "≤ 0.15", f"skipped: no cluster is given ({settings.KUBECONFIG.name})")]
    files = prepare(folder)
    often = {settings.REFILL_SCHEDULE.name: "* * * * * *", settings.REAP_SCHEDULE.name: "*/2 * * * * *"}
    chosen = on_the_cluster(files) | often | {settings.SPARES.name: str(SIZE)}
    await make_namespace(path)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*frontend(files)[0])
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))  # who waits has a thread
    answers, rows, crowd, trouble = list[float](), list[float](), list[float](), ""
    try:
        async with serving(files, chosen) as server:
            for number in range(ROUNDS):
                await _until(files, SPARES, lambda spares: sum(map(_free, spares)) == SIZE)
                answered, took = await asyncio.to_thread(_one, server, context, f"user-{number:07d}")
                answers.append(answered)
                rows.append(took)
            await _until(files, SPARES, lambda spares: sum(map(_free, spares)) == SIZE)
            try:
                crowd = await _crowd(server, context)
            except Broken as error:  # the node is too small for so many at once: what was measured counts
                trouble = str(error)
    finally:
        async with serving(files, chosen | {settings.SPARES.name: "0"}) as server:  # takes the spares away
            for lease in await _leases(files, TENANT):
                await asyncio.to_thread(_end, server, context, lease.owner.user)
            await _until(files, SPARES, lambda spares: not spares)
            await _until(files, TENANT, lambda left: not left)
    return [
        Figure(WHAT, "s", rows, "≤ 0.15"),
        Figure("  of it create_db", "s", answers),
        Figure(f"{ARRIVALS} users, one a second, {SIZE} spares, to the first SQL answer", "s", crowd, "", trouble),
        Figure("  of them within 0.5 s", "%", [100 * sum(took <= 0.5 for took in crowd) / len(crowd)] if crowd else []),
    ]


async def _crowd(server: Server, context: ssl.SSLContext) -> list[float]:
    """Seconds that each user waited, however many are at it."""
    began, waiting = time.perf_counter(), []
    for number in range(ARRIVALS):
        await asyncio.sleep(max(0.0, began + number - time.perf_counter()))
        waiting.append(asyncio.create_task(asyncio.to_thread(_one, server, context, f"crowd-{number:07d}")))
    return [took for _, took in await asyncio.gather(*waiting)]


def _one(server: Server, context: ssl.SSLContext, user: str) -> tuple[float, float]:
    """Seconds until the answer, and until a row of SQL; then its user gives it up."""
    began = time.perf_counter()
    source = ""
    while not source:  # a small node is full until what others gave up is gone
        try:
            source = create(server, context, user)
        except Broken:
            if time.perf_counter() - began > PATIENT:
                raise
            threading.Event().wait(1.0)
    answered = time.perf_counter() - began
    select(source)
    took = time.perf_counter() - began
    _end(server, context, user)
    return answered, took


def _end(server: Server, context: ssl.SSLContext, user: str) -> None:
    """Have a user's database deleted. Raises Broken."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    connection.request("DELETE", f"/api/leases/database?purge=true&owner={user}")
    status = connection.getresponse().status
    connection.close()
    if status != 202:
        raise Broken(f"the end of {user}'s database is answered {status}")


def _free(spare: Lease) -> bool:
    return spare.state is State.RUNNING and not spare.adopter


async def _leases(files: Files, whose: Owner | str) -> list[Lease]:
    """What is not released."""
    store = await SqliteStore.open(files.store)
    try:
        return list((await store.of(whose, "", 200))[0])
    finally:
        await store.close()


async def _until(files: Files, whose: Owner | str, condition: Callable[[list[Lease]], bool]) -> None:
    """Wait until their leases are so. Raises Broken."""
    found: list[Lease] = []
    try:
        async with asyncio.timeout(FILLS):
            while not condition(found := await _leases(files, whose)):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise Broken(f"{whose} has not what it should have: {[str(lease.state) for lease in found]}") from None
