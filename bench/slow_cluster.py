"""A server whose cluster is the double of the tests, as slow as the development cluster is.

`python -m bench.slow_cluster` takes the options of `sqlflow_playground`. The adapter for Kubernetes
is the real one; behind it every database has a small API server of its own, in this process.
"""

import asyncio
import random
import re
import sys
from collections.abc import AsyncGenerator, Callable, Sequence

from selfhost import server
from shared.adapters.k8s.api import Api, Change, Object, Output, Page
from shared.adapters.k8s.databases import Databases
from shared.domain.plane import plane_id
from shared.ports.clock import SystemClock
from shared.wiring import cluster
from shared.wiring.store import store
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request

ANSWER = (0.002, 0.005)  # seconds that the development cluster takes for a request
EXEC = (0.045, 0.070)  # and for a command in a pod
START = 2.3  # from the scaling of a new StatefulSet to a server that answers
KEPT = 5.0  # a database is forgotten so long after: a real cluster's objects are not in our process

NAME = re.compile(r"pg-[a-z2-7]+|(?<=generation=)[a-z2-7]+")


async def _late(request: Request) -> Fate | None:
    if request.moment == "before":
        await asyncio.sleep(random.uniform(*(EXEC if request.verb == "run" else ANSWER)))
    return None


class Slow(Kubernetes):
    """The objects of one database; its pod runs a while after somebody wanted it."""

    def __init__(self, forget: Callable[[], object]) -> None:
        super().__init__(gate=_late, clock=SystemClock())
        self._forget = forget
        self._starting: asyncio.Task[None] | None = None

    async def changed(self) -> None:
        await self._tell()
        wanted = any(item["spec"]["replicas"] for item in self.find("StatefulSet"))
        if wanted and self._starting is None:
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        await asyncio.sleep(START)
        await self.settle()
        await asyncio.sleep(KEPT)
        self._forget()


class SlowApi:
    """`Api`, each request to the database that its name or its selector names."""

    def __init__(self) -> None:
        self._databases: dict[str, Slow] = {}

    def _of(self, text: str) -> Slow:
        found = NAME.search(text)
        name = found[0].removeprefix("pg-") if found else ""
        if name not in self._databases:
            self._databases[name] = Slow(lambda: self._databases.pop(name, None))
        return self._databases[name]

    async def get(self, kind: str, name: str) -> Object | None:
        return await self._of(name).get(kind, name)

    async def create(self, manifest: Object) -> Object:
        return await self._of(manifest["metadata"].get("name", "")).create(manifest)

    async def replace(self, manifest: Object) -> Object:
        return await self._of(manifest["metadata"]["name"]).replace(manifest)

    async def delete(self, kind: str, name: str, uid: str, version: str) -> None:
        await self._of(name).delete(kind, name, uid, version)

    async def page(self, kind: str, labels: str = "", fields: str = "", after: str = "") -> Page:
        return await self._of(labels + fields).page(kind, labels, fields, after)

    def watch(self, kind: str, labels: str, fields: str, version: str) -> AsyncGenerator[Change]:
        return self._of(labels + fields).watch(kind, labels, fields, version)

    async def run(self, pod: str, container: str, argv: Sequence[str]) -> Output:
        return await self._of(pod).run(pod, container, argv)


async def _make() -> Databases:
    api: Api = SlowApi()
    return Databases(api, cluster.spec(), await plane_id(await store.get()))


if __name__ == "__main__":
    cluster.cluster._make = _make
    sys.exit(server.main())
