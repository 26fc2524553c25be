"""The HTTP of the stand-in: who may ask, which operation it is, how the answer looks."""

import base64
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, unquote
from uuid import uuid4

from aiohttp import web

from shared.ports.clock import Clock, SystemClock
from tests.doubles.cosmos_server import queries
from tests.doubles.cosmos_server.container import Container
from tests.doubles.cosmos_server.faults import Fault, next_fault
from tests.doubles.cosmos_server.refusals import CODES, NO_CONTAINER, Refused

KEY = base64.b64encode(b"a key for a server on loopback").decode()


@dataclass(frozen=True)
class Request:
    """A request as the log keeps it; `status` is 0 where no answer was given."""

    kind: str
    method: str
    path: str
    status: int


class CosmosServer:
    """Listens on a port of loopback. `log` tells what was asked, `faults` what is to go wrong.

    `page` bounds what one answer to a query holds, whatever the client asks for, as the service does.
    """

    def __init__(self, clock: Clock | None = None, *, ranges: int = 3, page: int = 1000):
        self.clock, self.ranges, self.page = clock or SystemClock(), ranges, page
        self.databases: dict[str, dict[str, Container]] = {}
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.endpoint = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> Self:
        app = web.Application(middlewares=[self._answer])
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None and hasattr(site._server, "sockets")
        self.endpoint = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/"
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def make(self, database: str, container: str, definition: dict[str, Any]) -> Container:
        """Make a container, as an operator would beforehand."""
        made = Container({"id": container, **definition}, self.clock, self.ranges)
        self.databases.setdefault(database, {})[container] = made
        return made

    def asked(self, kind: str) -> list[Request]:
        """The requests of one kind so far."""
        return [request for request in self.log if request.kind == kind]

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        kind, status = _kind(request), 0
        try:
            fault = next_fault(self.faults, kind)
            if fault and fault.hold:
                fault.reached.set()
                await fault.release.wait()
            if fault and fault.status:
                extra = {} if fault.retry_after_ms is None else {"x-ms-retry-after-ms": str(fault.retry_after_ms)}
                response = _refusal(Refused(fault.status, "told to", fault.sub_status), extra)
            elif fault and fault.cut == "before":
                raise ConnectionError
            else:
                try:
                    _check_signature(request)
                    response = await handler(request)  # type: ignore[assignment]
                except Refused as refused:
                    response = _refusal(refused)
                if fault and fault.cut == "after":
                    raise ConnectionError
            status = response.status
            return response
        except ConnectionError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        finally:
            self.log.append(Request(kind, request.method, request.path, status))

    async def _handle(self, request: web.Request) -> web.Response:
        kind = _kind(request)
        if kind == "account":
            return _json(self._account())
        parts = [unquote(part) for part in request.raw_path.partition("?")[0].strip("/").split("/")]
        container = self.databases.get(parts[1], {}).get(parts[3]) if len(parts) > 3 else None
        if container is None:
            raise Refused(404, "Owner resource does not exist", NO_CONTAINER)
        partition = _partition(request)
        match kind:
            case "container":
                return _json(container.definition)
            case "ranges":
                if request.headers.get("if-none-match") == '"1"':
                    return _json(None, 304, {"etag": '"1"'})
                found = queries.ranges(container)
                return _json({"_rid": "x", "PartitionKeyRanges": found, "_count": len(found), "_etag": '"1"'})
            case "plan":
                return _json(queries.plan(container, await request.json()))
            case "query":
                return await self._query(request, container, partition)
        if partition is None:
            raise Refused(400, "PartitionKey value must be supplied for this operation")
        match kind:
            case "batch":
                status, results = container.batch(partition, await request.json())
                return _json(results, status)
            case "read":
                return _json(container.read(partition, parts[5]))
            case "patch":
                item = container.patch(partition, parts[5], await request.json(), request.headers.get("if-match"))
                body = None if request.headers.get("prefer") == "return=minimal" else item
                return _json(body, headers={"etag": item["_etag"]})
        raise Refused(400, f"not modelled: {request.method} {request.path}")

    async def _query(self, request: web.Request, container: Container, partition: str | None) -> web.Response:
        headers = request.headers
        wanted = int(headers.get("x-ms-max-item-count") or queries.PAGE)
        range = headers.get("x-ms-documentdb-partitionkeyrangeid")
        found, token = queries.answer(
            container, await request.json(), partition, None if range is None else int(range),
            min(self.page, wanted if wanted > 0 else queries.PAGE), headers.get("x-ms-continuation", ""),
        )  # fmt: skip
        extra = {"x-ms-continuation": token} if token else {}
        return _json({"_rid": "x", "Documents": found, "_count": len(found)}, headers=extra)

    def _account(self) -> dict[str, Any]:
        places = [{"name": "here", "databaseAccountEndpoint": self.endpoint}]
        return {
            "id": "stand-in", "_self": "", "_rid": "x", "media": "//media/", "addresses": "//addresses/",
            "_dbs": "//dbs/", "writableLocations": places, "readableLocations": places,
            "enableMultipleWriteLocations": False, "userConsistencyPolicy": {"defaultConsistencyLevel": "Strong"},
            "queryEngineConfiguration": "{}",
        }  # fmt: skip


def _kind(request: web.Request) -> str:
    parts, headers = request.path.strip("/").split("/"), request.headers
    if parts == [""]:
        return "account"
    match request.method, len(parts), parts[4] if len(parts) > 4 else "":
        case "GET", 4, _:
            return "container"
        case "GET", 5, "pkranges":
            return "ranges"
        case "GET", 6, "docs":
            return "read"
        case "PATCH", 6, "docs":
            return "patch"
        case "POST", 5, "docs":
            for header, kind in (("x-ms-cosmos-is-query-plan-request", "plan"), ("x-ms-documentdb-isquery", "query"),
                                 ("x-ms-cosmos-is-batch-request", "batch")):  # fmt: skip
                if headers.get(header, "").lower() == "true":
                    return kind
    return "other"


def _partition(request: web.Request) -> str | None:
    header = request.headers.get("x-ms-documentdb-partitionkey")
    if header is None:
        return None
    values = json.loads(header)
    if len(values) != 1 or not isinstance(values[0], str):
        raise Refused(400, "one string as partition key, please")
    return str(values[0])


def _check_signature(request: web.Request) -> None:
    """https://learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources"""
    given = parse_qs(unquote(request.headers.get("authorization", ""))).get("sig", [""])[0].replace(" ", "+")
    parts = [unquote(part) for part in request.raw_path.partition("?")[0].strip("/").split("/") if part]
    named = len(parts) % 2 == 0
    kind, link = (parts[-2] if named else parts[-1], "/".join(parts if named else parts[:-1])) if parts else ("", "")
    date = request.headers.get("x-ms-date", "").lower()
    text = f"{request.method.lower()}\n{kind}\n{link}\n{date}\n\n"
    right = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
    if not hmac.compare_digest(given, right):
        raise Refused(401, "the signature is not that of this request")


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    headers = dict(headers or {})
    if isinstance(body, dict) and "_etag" in body:
        headers["etag"] = body["_etag"]
    headers |= {"x-ms-request-charge": "1", "x-ms-activity-id": str(uuid4()), "x-ms-session-token": "0:-1#1"}
    text = "" if body is None else json.dumps(body)
    return web.Response(status=status, text=text, headers=headers, content_type="application/json")


def _refusal(refused: Refused, headers: dict[str, str] | None = None) -> web.Response:
    headers = dict(headers or {})
    if refused.sub_status:
        headers["x-ms-substatus"] = str(refused.sub_status)
    body = {"code": CODES.get(refused.status, "Error"), "message": refused.message}
    return _json(body, refused.status, headers)
