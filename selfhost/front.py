"""The HTTP front of one machine: mutual TLS outside, the function app's routes inside.

It does what Azure's front and host do between a socket and a function, no more: it says who the
peer is (`X-ARR-ClientCert`, from the TLS connection alone), finds the function, keeps clients that
are slow, large or many within bounds, and passes everything else byte for byte.
"""

import asyncio
import functools
import logging
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl

from aiohttp import HttpVersion10, HttpVersion11, web

from selfhost.answers import FunctionResponse, problem
from selfhost.connections import Connection
from selfhost.errors import FunctionFailed
from selfhost.listener import Listener, source_of
from selfhost.memory import Memory
from selfhost.rounds import Rounds
from selfhost.routes import Routes
from selfhost.runtime import Runtime
from selfhost.turns import Rules, Turns
from shared.domain.errors import NotFound, TooMany
from shared.edge import tracing
from shared.edge.problems import HeadTooLarge, NotHttp, TooLarge, WrongMethod

_log = logging.getLogger(__name__)

# Headers that mean something only from a front that set them itself: who the peer is, whence and
# how it came (App Service's own, Envoy's, nginx's, RFC 9440's), and what RFC 9110 §7.6.1 keeps to one hop.
_FRONTS_OWN = (
    "x-arr-", "x-forwarded-", "x-original-", "x-ms-client-principal", "x-appservice-", "x-ssl-", "ssl-",
    "x-client-cert", "x-client-ip", "x-client-dn", "x-client-verify", "client-cert",
)  # fmt: skip
_ONE_HOP = {
    "client-ip", "disguised-host", "forwarded", "x-real-ip",
    "connection", "expect", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
_VERSIONS = (HttpVersion11, HttpVersion10)  # the parser takes what says that it is 0.9 or 2.0, too
_BEAT = "heart_beat"  # has turns of its own: no kernel waits for whatever else there is to do
_HANDSHAKES = Rules(64, share=32, queue=512, long=0.05, round=8, contested=4)  # by source
_BEATS = Rules(128, share=64, queue=2048, long=0.05)  # by tenant
_OTHERS = Rules(64, share=32, queue=2048, long=0.025, contested=2)  # by tenant; few need as long without the cluster


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, numbers, seconds and turns that one client, or all together, may not exceed."""

    body: int = 64 * 1024
    head: int = 16 * 1024
    connections: int = 8192
    of_source: int = 0  # of those, as many as one source may have (0: all)
    request: float = 15  # from a request's first byte to its last
    keep_alive: float = 75
    handshake: float = 10
    handshakes: Rules = _HANDSHAKES
    beats: Rules = _BEATS
    turns: Rules = _OTHERS


class Front(web.Server):
    """Serves the HTTP functions of a runtime that has started."""

    def __init__(
        self,
        runtime: Runtime,
        tls: ssl.SSLContext | None,
        prefix: str = "",
        limits: Limits | None = None,
        serves: Callable[[str], bool] = lambda name: True,
    ) -> None:
        """`serves` says which functions, by name. Raises CannotStart where their routes cannot be served.

        Needs a running loop.
        """
        super().__init__(self._serve)
        self.limits = limits or Limits()
        self.runtime = runtime
        self._routes = Routes((trigger for trigger in runtime.http if serves(trigger.name)), prefix)
        self._scheme = "https://" if tls else "http://"
        self._stopping = False
        self.clients: dict[Connection, str] = {}  # whence they are, where that bounds them
        self._of_source: Counter[str] = Counter()
        self.rounds = Rounds()
        self.beats, self.turns = Turns(self.limits.beats), Turns(self.limits.turns)
        self.listener = Listener(self, self._room, tls, self.limits.handshake, Turns(self.limits.handshakes))
        self._watch: asyncio.Task[None] | None = None

    def __call__(self) -> Connection:
        return Connection(
            self, self.limits.head, self.rounds,
            loop=asyncio.get_running_loop(), access_log=None, auto_decompress=False,
            keepalive_timeout=self.limits.keep_alive, lingering_time=2,
            max_line_size=self.limits.head, max_field_size=self.limits.head,
        )  # fmt: skip

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises CannotStart if that is impossible."""
        self._watch = asyncio.create_task(self._close_overdue())
        return await self.listener.start(host, port)

    async def stop(self, patience: float) -> None:
        """Accept nobody, let requests in flight finish for `patience` seconds, then end the rest."""
        self._stopping = True
        self.listener.stop()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while self.clients or (self.listener.handshakes and loop.time() < begun + 1):
            if loop.time() >= begun + patience:
                break
            for connection in list(self.clients):
                if connection.idle(loop.time()):
                    connection.force_close()
            await asyncio.sleep(0.02)
        if self.clients:
            _log.warning("%d connections are cut off at the stop", len(self.clients))
        for task in self.listener.handshakes:
            task.cancel()
        await self.shutdown(0.1)
        if self._watch is not None:
            self._watch.cancel()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        peer = transport.get_extra_info("peername")  # None: it has gone already
        source = source_of(peer[0]) if peer and self.limits.of_source else ""
        self.clients[cast(Connection, handler)] = source
        self._of_source[source] += 1
        super().connection_made(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        source = self.clients.pop(cast(Connection, handler), None)
        if source is not None:
            self._of_source[source] -= 1
            if not self._of_source[source]:
                del self._of_source[source]
        for turns in (self.beats, self.turns):
            turns.leave(handler)
        super().connection_lost(handler, exc)

    @property
    def quiet(self) -> bool:
        """Whether nobody's request is being answered."""
        return not any(connection.busy for connection in self.clients)

    def _room(self, source: str) -> tuple[int, int]:
        most = self.limits.connections
        return most - len(self.clients), (self.limits.of_source or most) - self._of_source[source]

    async def _close_overdue(self) -> None:
        loop, memory = asyncio.get_running_loop(), Memory()
        patience = self.limits.request
        while True:
            await asyncio.sleep(min(1.0, patience / 4))
            memory.seen(len(self.clients))
            for connection in list(self.clients):
                if connection.overdue(loop.time(), patience) and connection.transport is not None:
                    connection.transport.abort()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.begin(request.body_exists)
        with tracing.entered(request.headers.get(tracing.HEADER)):
            response = await self._answer(request, connection)
        if request.body_exists and not request.content.is_eof():
            response.force_close()  # an answer before the body's end: aiohttp reads on for a moment, then closes
            return response
        connection.busy = False
        connection.since = 0.0
        if self._stopping:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest, connection: Connection) -> web.StreamResponse:
        if connection.size > self.limits.head and _head_size(request) > self.limits.head:
            response = problem(HeadTooLarge())
            response.force_close()
            return response
        if request.version not in _VERSIONS:
            response = problem(NotHttp())
            response.force_close()
            return response
        path, mark, query = _target(request.raw_path)
        name, params, allowed = self._routes.find(request.method, path)
        if not name:
            if not allowed:
                return problem(NotFound("nothing is served at this path"))
            response = problem(WrongMethod(f"this path takes {', '.join(allowed)}"))
            response.headers["allow"] = ", ".join(allowed)
            return response
        body = b""
        if request.body_exists:
            content = await self._body(request)
            if content is None:
                return problem(TooLarge(f"the body is larger than {self.limits.body} bytes"))
            body = content
            connection.since = 0.0
        headers = _headers(request)
        if connection.certificate:
            headers["x-arr-clientcert"] = connection.certificate
        turns = self.beats if name == _BEAT else self.turns
        if not turns.begin(connection, connection.tenant):
            if seconds := turns.crowded(connection.tenant):
                response = problem(TooMany("too many requests of your tenant wait for their turn"))
                response.headers["retry-after"] = str(seconds)
                return response
            await turns.wait(connection, connection.tenant)
        try:
            answer = await self.runtime.call_http(
                name,
                method=request.method,
                url=f"{self._scheme}{headers.get('host', '')}{path}{mark}{query}",
                headers=headers,
                query=_query(query) if query else {},
                params=params,
                body=body,
            )
        except FunctionFailed as error:
            return problem(error)
        finally:
            turns.end(connection)
        return FunctionResponse(answer)

    async def _body(self, request: web.BaseRequest) -> bytes | None:
        """The whole body, or None as soon as it is known to be too large."""
        if (request.content_length or 0) > self.limits.body:
            return None
        if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = request.content
        body = await content.readany()
        while len(body) <= self.limits.body:
            if content.at_eof():
                return body
            body += await content.readany()
        return None


def _target(raw: str) -> tuple[str, str, str]:
    """Path, "?" and query of a request target as they came; the path begins with one slash."""
    if not raw.startswith("/"):  # absolute form, as to a proxy
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    path, mark, query = _valid(raw).partition("#")[0].partition("?")
    if path.startswith("//"):  # a base URL that ends with a slash yields this
        path = "/" + path.lstrip("/")
    return path, mark, query


def _query(query: str) -> dict[str, str]:
    """As Azure's host does it: decoded, repeated names joined with commas, empty values left out."""
    params: dict[str, str] = {}
    plain = "%" not in query and "+" not in query
    pairs = [pair.partition("=")[::2] for pair in query.split("&")] if plain else parse_qsl(query)
    for name, value in pairs:
        if value:
            params[name] = f"{params[name]},{value}" if name in params else value
    return params


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """By lower-case name, repeated ones joined, without what only a front may say."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = _passed(name)
        if key:
            headers[key] = f"{headers[key]},{_valid(value)}" if key in headers else _valid(value)
    return headers


@functools.lru_cache(1024)
def _passed(name: str) -> str:
    """A header's lower-case name, or "" if a client's word for it counts nothing.

    Compared as CGI and WSGI would see it: there `X_ARR_ClientCert` is the same header.
    """
    key = name.lower()
    seen = key.replace("_", "-")
    return "" if seen in _ONE_HOP or seen.startswith(_FRONTS_OWN) else key


def _valid(text: str) -> str:
    """Text that can be encoded: bytes that are no UTF-8 become U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _head_size(request: web.BaseRequest) -> int:
    return len(request.raw_path) + sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
