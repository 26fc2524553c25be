"""The verbs of `api` on a real API server, through `kubernetes.aio`.

Of the library we use the configuration, TLS, authentication and the websocket of exec; answers stay
JSON: its models are neither built nor checked. Importing it stalls a loop for most of a second, so
whoever serves imports this module before it listens.
"""

import copy
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import client  # noqa: TID251
from kubernetes.aio.stream import WsApiClient  # noqa: TID251

from shared.adapters.k8s.answers import Refusal, refused, unavailable
from shared.adapters.k8s.api import (
    AlreadyExists,
    Change,
    Object,
    ObjectConflict,
    ObjectGone,
    Output,
    Page,
    WatchExpired,
)
from shared.adapters.k8s.pacing import Pacing
from shared.adapters.k8s.readiness import MANAGER
from shared.domain.errors import ClusterUnavailable

PATHS = {
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "Event": "/api/v1/namespaces/{namespace}/events",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "SelfSubjectAccessReview": "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "StatefulSet": "/apis/apps/v1/namespaces/{namespace}/statefulsets",
}
# Turns of one process in a second, and at once. A request takes 0.3 to 0.5 ms of the loop, and four times that where it
# opens a connection: a burst of 32 cold starts, unpaced, had everybody else's heartbeat wait for 0.2 s. One start is
# about 20 turns, the last of them when its pod runs, and waits for hardly one.
RATE, BURST = 120, 20
HANDSHAKE = 4  # turns
POOL = 16  # connections for short requests: with answers in 50 ms still as many requests as RATE
CONNECT, TOTAL = 2.0, 5.0  # seconds, for a short request
WATCH = 60  # seconds after which the server ends a watch and we begin another
LINE = 8 << 20  # bytes; etcd's objects end at 1.5 MB
OUTPUT = 64 << 10  # bytes of a command's output that we take
NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class KubernetesApi:
    """`api.Api` in one namespace. Watches and commands have connections of their own."""

    def __init__(self, configuration: client.Configuration, namespace: str):
        self.namespace = namespace
        configuration.connection_pool_maxsize = POOL
        # Left to itself the library asks environment and .netrc at each request, in a thread: 0.5 ms of 0.7.
        proxy = configuration.proxy or environment_proxy(configuration.host)
        configuration.client_session_kwargs = {"trust_env": False, "proxy": proxy}
        self._pacing = Pacing(RATE, BURST)
        self._short: Any = client.ApiClient(configuration)
        long = copy.deepcopy(configuration)
        long.connection_pool_maxsize = 0  # as many as there are who wait
        self._long: Any = client.ApiClient(long)
        self._exec: Any = WsApiClient(long)  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        for each in (self._short, self._long, self._exec):
            await each.close()

    async def get(self, kind: str, name: str) -> Object | None:
        try:
            return await self._ask("GET", f"{PATHS[kind]}/{name}")
        except Refusal as refusal:
            if refusal.code == 404 and refusal.reason == "NotFound":  # a proxy's 404 proves nothing
                return None
            raise refused(refusal) from refusal

    async def create(self, manifest: Object) -> Object:
        try:
            return await self._ask("POST", PATHS[manifest["kind"]], [("fieldManager", MANAGER)], manifest)
        except Refusal as refusal:
            if refusal.code == 409 and refusal.reason == "AlreadyExists":
                raise AlreadyExists from None
            raise refused(refusal) from refusal

    async def replace(self, manifest: Object) -> Object:
        path = f"{PATHS[manifest['kind']]}/{manifest['metadata']['name']}"
        if not manifest["metadata"].get("resourceVersion"):
            raise ValueError("a replace needs the resourceVersion that was read")
        try:
            return await self._ask("PUT", path, [("fieldManager", MANAGER)], manifest)
        except Refusal as refusal:
            if refusal.code == 409:
                raise ObjectConflict from None
            if refusal.code == 404:
                raise ObjectGone from None
            raise refused(refusal) from refusal

    async def delete(self, kind: str, name: str, uid: str, version: str) -> None:
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid, "resourceVersion": version}}
        try:
            await self._ask("DELETE", f"{PATHS[kind]}/{name}", [], options)
        except Refusal as refusal:
            if refusal.code == 409:
                raise ObjectConflict from None
            if refusal.code != 404:
                raise refused(refusal) from refusal

    async def page(self, kind: str, labels: str = "", fields: str = "", after: str = "", limit: int = 500) -> Page:
        query = [("labelSelector", labels), ("fieldSelector", fields), ("limit", limit), ("continue", after)]
        try:
            found = await self._ask("GET", PATHS[kind], [pair for pair in query if pair[1]])
        except Refusal as refusal:
            if refusal.code == 410:
                raise WatchExpired from None
            raise refused(refusal) from refusal
        head = {"kind": kind, "apiVersion": found["apiVersion"]}  # lists leave it out of their items
        items = [head | item for item in found.get("items") or ()]
        return Page(items, found["metadata"]["resourceVersion"], found["metadata"].get("continue", ""))

    async def watch(self, kind: str, labels: str, fields: str, version: str) -> AsyncGenerator[Change]:
        query: list[tuple[str, Any]] = [
            ("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", WATCH),
            ("resourceVersion", version), ("labelSelector", labels), ("fieldSelector", fields),
        ]  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=WATCH + TOTAL, sock_connect=CONNECT)
        response = None
        try:
            query = [pair for pair in query if pair[1]]
            response = (await self._send(self._long, "GET", PATHS[kind], query, None, timeout)).response
            if response.status != 200:
                raise Refusal.of(response.status, await response.read())
            async for line in lines(response.content):
                change = json.loads(line)
                if change["type"] == "ERROR":
                    raise Refusal.of(change["object"].get("code", 500), json.dumps(change["object"]).encode())
                yield Change(change["type"], change["object"])
        except Refusal as refusal:
            if refusal.code == 410:
                raise WatchExpired from None
            raise refused(refusal) from refusal
        except NETWORK_ERRORS as error:
            raise unavailable(error) from error
        finally:
            if response is not None:
                response.close()

    async def run(self, pod: str, container: str, argv: Sequence[str]) -> Output:
        query: list[tuple[str, Any]] = [("command", word) for word in argv]
        query += [("container", container), ("stdout", "true"), ("stderr", "true")]
        path = f"{PATHS['Pod']}/{pod}/exec"
        await self._pacing.turn(HANDSHAKE)
        try:
            method, url, headers, *_ = await self._exec.param_serialize(
                "GET", path, {"namespace": self.namespace}, query, {}, auth_settings=["BearerToken"]
            )
            opened = await self._exec.call_api(method, url, headers, _preload_content=False)
            async with opened.response as socket:
                return await _output(socket)
        except aiohttp.WSServerHandshakeError as error:
            raise refused(Refusal(error.status, "", f"cannot run a command in {pod}: {error.status}")) from error
        except NETWORK_ERRORS as error:
            raise unavailable(error) from error

    async def _ask(
        self, method: str, path: str, query: Sequence[tuple[str, Any]] = (), body: Object | None = None
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=TOTAL, sock_connect=CONNECT)
        try:
            response = await self._send(self._short, method, path, query, body, timeout)
            content = await response.read()
        except NETWORK_ERRORS as error:
            raise unavailable(error) from error
        if not 200 <= response.status < 300:
            raise Refusal.of(response.status, content, response.getheader("Retry-After"))
        try:
            answer: Object = json.loads(content)
        except ValueError as error:
            raise ClusterUnavailable("the cluster's answer is no JSON") from error
        return answer

    async def _send(
        self, through: Any, method: str, path: str, query: Sequence[tuple[str, Any]], body: Any, limit: Any
    ) -> Any:
        await self._pacing.turn(HANDSHAKE if through is self._long else 1)
        method, url, headers, body, _ = await through.param_serialize(
            method, path, {"namespace": self.namespace}, list(query), {"Accept": "application/json"}, body,
            auth_settings=["BearerToken"],
        )  # fmt: skip
        return await through.call_api(method, url, headers, body, _request_timeout=limit)


def environment_proxy(url: str) -> str | None:
    """The proxy that the environment (`https_proxy`, `no_proxy`) has for a URL."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


async def lines(stream: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """The lines of a watch, however long each is."""
    rest = b""
    async for chunk in stream.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > LINE:
            raise aiohttp.ClientPayloadError("a watch event without end")


async def _output(socket: aiohttp.ClientWebSocketResponse) -> Output:
    """Channel 1 is standard output, 3 the exit status (protocol v4.channel.k8s.io)."""
    stdout = bytearray()
    status: Object | None = None
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == 1 and len(stdout) < OUTPUT:
            stdout += data
        elif channel == 3:
            status = json.loads(data)
    if status is None:
        raise ClusterUnavailable("the command's end was not heard")
    if status.get("status") == "Success":
        return Output(0, bytes(stdout))
    causes = status.get("details", {}).get("causes") or [{}]
    code = next((cause["message"] for cause in causes if cause.get("reason") == "ExitCode"), "255")
    return Output(int(code), bytes(stdout))
