"""create_db from nothing to the first row of SQL, on a real cluster.

Uses the cluster that PLAYGROUND_KUBECONFIG names, in a namespace of its own; what was made there is
deleted, but for the namespace itself.
"""

import asyncio
import http.client
import json
import os
import re
import ssl
import time
from pathlib import Path

import pymysql

from bench.figures import Figure
from bench.servers import Broken, Server, environment, frontend, prepare, serving
from selfhost.setup import TENANT, Files
from shared.domain.databases import ID
from shared.domain.errors import PlaygroundError
from shared.domain.leases import Owner
from shared.edge import settings
from shared.wiring import cluster
from shared.wiring.store import store

ROUNDS = 9
NAMESPACE = "playground-bench"
WHAT = "create_db of no database to the first SQL answer, one at a time"


async def measure(folder: Path) -> list[Figure]:
    path = settings.KUBECONFIG.read(os.environ)
    if not path:
        return [Figure(WHAT, "s", [], "≤ 3.5", f"skipped: no cluster is given ({settings.KUBECONFIG.name})")]
    files = prepare(folder)
    chosen = on_the_cluster(files)
    await make_namespace(path)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(*frontend(files)[0])
    answers, rows = [], []
    async with serving(files, chosen) as server:
        for number in range(ROUNDS + 1):
            user = f"user-{number:07d}"
            try:
                began = time.perf_counter()
                source = await asyncio.to_thread(create, server, context, user)
                answered = time.perf_counter() - began
                await asyncio.to_thread(select, source)
                took = time.perf_counter() - began
            finally:
                await _delete(files, chosen, user)
            if number:  # the first may have pulled the image
                answers.append(answered)
                rows.append(took)
    return [Figure(WHAT, "s", rows, "≤ 3.5"), Figure("  of it create_db", "s", answers)]


def on_the_cluster(files: Files) -> dict[str, str]:
    """Settings of a server on the cluster that this process's own settings name."""
    given = {name: value for name, value in os.environ.items() if name.startswith("PLAYGROUND_")}
    own = environment(files)
    kept = {name: own[name] for name in (settings.STORE_URL.name, settings.SEAL_KEYS.name, settings.PROBE.name)}
    return own | given | kept | {settings.NAMESPACE.name: NAMESPACE}


def create(server: Server, context: ssl.SSLContext, user: str) -> str:
    """The data source, asked for as the plugin does. Raises Broken."""
    for _ in range(10):
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
        connection.request("POST", "/api/create_db", json.dumps({"user_id": user}))
        response = connection.getresponse()
        answer = json.load(response)
        connection.close()
        if response.status == 200:
            return str(answer["data_source"])
        if response.status != 503:
            break
    raise Broken(f"create_db answers {response.status}: {answer.get('detail')}")


def select(source: str) -> None:
    """Log in and read. Raises Broken."""
    found = re.fullmatch(r"mysql://(\w+):(\w+)@tcp\((.+):(\d+)\)/.*", source)
    if not found:
        raise Broken("create_db answered no data source")
    user, password, host, port = found.groups()
    connection = pymysql.connect(host=host, port=int(port), user=user, password=password, connect_timeout=10)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM iris.train")
        if cursor.fetchone() != (120,):
            raise Broken("the sample data is not whole")


async def make_namespace(kubeconfig: str) -> None:
    from shared.adapters.k8s import configurations
    from shared.adapters.k8s.namespaces import ensure_namespace

    await ensure_namespace(await configurations.from_kubeconfig(kubeconfig), NAMESPACE)


async def _delete(files: Files, chosen: dict[str, str], user: str) -> None:
    """Take away what was made for a user, without waiting for its grace."""
    before = dict(os.environ)
    os.environ.update(chosen)
    try:
        lease = await (await store.get()).get(Owner(TENANT, user), ID)
        if lease is None:
            return
        databases = await cluster.cluster.get()
        async with asyncio.timeout(60):
            while not await databases.delete(lease.generation, lease.step + 1000, lease.volume):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except (PlaygroundError, TimeoutError) as error:
        raise Broken(f"the database of {user} in namespace {NAMESPACE} could not be deleted: {error!r}") from error
    finally:
        for opened in (cluster.cluster, cluster.api, store):
            await opened.close()
        os.environ.clear()
        os.environ.update(before)
