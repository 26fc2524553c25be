"""An API server that is as slow as the development cluster's, a process of its own.

`python -m bench.slow_cluster CERTIFICATE KEY` listens on loopback and speaks as much of Kubernetes'
API as our client does: behind it every database has a cluster double of the tests for itself, whose
pods are in a common one too, for who watches them all.
"""

import asyncio
import json
import os
import random
import re
import ssl
import sys
from collections.abc import Callable

import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

from shared.adapters.k8s.api import AlreadyExists, Object, ObjectConflict, ObjectGone
from shared.adapters.k8s.client import PATHS
from shared.domain.errors import ClusterRefused
from shared.ports.clock import SystemClock
from tests.doubles.kubernetes import Kubernetes, copied
from tests.doubles.network import Fate, Request

ANSWER = (0.002, 0.005)  # seconds that the development cluster takes for a request
EXEC = (0.045, 0.070)  # and for a command in a pod
START = (2.15, 2.45)  # from the scaling of a new StatefulSet to a server that answers, one at a time
KEPT = 5.0  # a database is forgotten so long after
HISTORY = 200  # changes of pods that a watch may be behind

NAME = re.compile(r"pg-[a-z2-7]+|(?<=generation=)[a-z2-7]+")
KINDS = {path.rpartition("/")[2]: kind for kind, path in PATHS.items()}
VERSIONS = {kind: path.removeprefix("/api/").removeprefix("/apis/").partition("/namespaces")[0]
            for kind, path in PATHS.items()}  # fmt: skip
REFUSALS = {AlreadyExists: (409, "AlreadyExists"), ObjectConflict: (409, "Conflict"), ObjectGone: (404, "NotFound"),
            ClusterRefused: (422, "Invalid")}  # fmt: skip


async def _late(request: Request) -> Fate | None:
    if request.moment == "before":
        await asyncio.sleep(random.uniform(*(EXEC if request.verb == "run" else ANSWER)))
    return None


class Common(Kubernetes):
    """What is nobody's own, everybody's pods, and the resourceVersions of all."""

    def __init__(self) -> None:
        super().__init__(gate=_late, clock=SystemClock())

    def of(self, item: Object, type: str) -> str:
        """The version of a change of somebody's; a pod's is a change here."""
        if item["kind"] == "Pod":
            version: str = self.store(copied(item), type)["metadata"]["resourceVersion"]
            del self._history[:-HISTORY]
            return version
        self._version += 1
        return str(self._version)

    def drop(self, name: str) -> None:
        self.objects.pop(("Pod", name), None)

    async def tell(self) -> None:
        await self._tell()


class Slow(Kubernetes):
    """The objects of one database; its pod runs a while after somebody wanted it."""

    def __init__(self, common: Common, forget: Callable[[], object]) -> None:
        super().__init__(gate=_late, clock=SystemClock())
        self._common = common
        self._forget = forget
        self._starting: asyncio.Task[None] | None = None

    def store(self, item: Object, type: str = "MODIFIED") -> Object:
        self._version = int(self._common.of(item, type)) - 1
        return super().store(item, type)

    async def _tell(self) -> None:
        await super()._tell()
        await self._common.tell()

    async def changed(self) -> None:
        await self._tell()
        wanted = any(item["spec"]["replicas"] for item in self.find("StatefulSet"))
        if wanted and self._starting is None:
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        while not self.find("Pod") and await self.step():
            pass
        await asyncio.sleep(random.uniform(*START))
        await self.settle()
        await asyncio.sleep(KEPT)
        for pod in self.find("Pod"):
            self._common.drop(pod["metadata"]["name"])
        self._forget()


class Server:
    """HTTP to the double of the database that a request's name, body or selector names."""

    def __init__(self) -> None:
        self._common = Common()
        self._databases: dict[str, Slow] = {}

    def _of(self, text: str) -> Kubernetes:
        found = NAME.search(text)
        if found is None:
            return self._common
        name = found[0].removeprefix("pg-")
        if name not in self._databases:
            self._databases[name] = Slow(self._common, lambda: self._databases.pop(name, None))
        return self._databases[name]

    async def collection(self, request: web.Request) -> web.StreamResponse:
        kind, query = KINDS[request.match_info["plural"]], request.query
        if request.method == "POST":
            manifest = await request.json()
            return web.json_response(await self._of(manifest["metadata"].get("name", "")).create(manifest))
        labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
        slow = self._of(labels + fields)
        if "watch" in query:
            return await _watch(request, slow, kind, labels, fields)
        page = await slow.page(kind, labels, fields, query.get("continue", ""), int(query["limit"]))
        metadata = {"resourceVersion": page.version, "continue": page.after}
        return web.json_response({"apiVersion": VERSIONS[kind], "metadata": metadata, "items": page.items})

    async def item(self, request: web.Request) -> web.StreamResponse:
        kind, name = KINDS[request.match_info["plural"]], request.match_info["name"]
        slow = self._of(name)
        if request.method == "PUT":
            return web.json_response(await slow.replace(await request.json()))
        if request.method == "DELETE":
            only = (await request.json())["preconditions"]
            await slow.delete(kind, name, only["uid"], only["resourceVersion"])
            return web.json_response({"status": "Success"})
        found = await slow.get(kind, name)
        return web.json_response(found) if found else _status(404, "NotFound", name)

    async def run(self, request: web.Request) -> web.StreamResponse:
        socket, name = web.WebSocketResponse(protocols=("v4.channel.k8s.io",)), request.match_info["name"]
        output = await self._of(name).run(name, request.query["container"], request.query.getall("command"))
        await socket.prepare(request)
        await socket.send_bytes(b"\x01" + output.stdout)
        causes = {"causes": [{"reason": "ExitCode", "message": str(output.code)}]}
        status = {"status": "Failure", "details": causes} if output.code else {"status": "Success"}
        await socket.send_bytes(b"\x03" + json.dumps(status).encode())
        await socket.close()
        return socket


async def _watch(request: web.Request, slow: Kubernetes, kind: str, labels: str, fields: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    async for change in slow.watch(kind, labels, fields, request.query["resourceVersion"]):
        await response.write(_line({"type": change.type, "object": change.object}))
    return response


def _line(item: Object) -> bytes:
    return json.dumps(item).encode() + b"\n"


def _status(code: int, reason: str, message: str) -> web.Response:
    return web.json_response({"reason": reason, "message": message, "code": code}, status=code)


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except tuple(REFUSALS) as error:
        return _status(*REFUSALS[type(error)], str(error))


async def serve(certificate: str, key: str) -> None:
    server, app = Server(), web.Application(middlewares=[_refusing])
    for group in ("/api/v1", "/apis/{group}/v1"):
        path = f"{group}/namespaces/{{namespace}}/{{plural}}"
        app.router.add_route("*", path, server.collection)
        app.router.add_route("*", f"{path}/{{name}}", server.item)
        app.router.add_get(f"{path}/{{name}}/exec", server.run)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    runner = web.AppRunner(app, handler_cancellation=True)  # a watch ends with its connection
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    print(f"listening on 127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.nice(19)  # a real one takes nothing of this machine
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(serve(*sys.argv[1:]))
