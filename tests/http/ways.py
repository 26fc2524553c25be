"""Three ways to the same functions: called as Azure's worker does, behind our own front, each alone.

Every way answers `ask` with a `Reply`, tells its `state` (what a request could have changed) and can
be struck by what `troubles` knows.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, quote

import azure.functions as func

from selfhost.front import Front
from selfhost.routes import Routes
from selfhost.triggers import HttpTrigger
from shared.edge.certificates import HEADER
from tests.certs import Made
from tests.http import documented, troubles
from tests.http.certificates import People
from tests.http.world import World
from tests.selfhost.clients import Connection, Reply

ROUTES = {
    ("GET", "/"): "greet",
    ("POST", "/api/create_db"): "create_db",
    ("GET", "/api/heart_beat"): "heart_beat",
    ("GET", "/api/leases"): "list_leases",
    ("GET", "/api/leases/{id}"): "show_lease",
    ("DELETE", "/api/leases/{id}"): "end_lease",
    ("GET", "/api/leases/{id}/events"): "list_events",
    ("PUT", "/api/leases/{id}/hold"): "hold_lease",
    ("GET", "/api/certificates"): "list_certificates",
    ("POST", "/api/certificates"): "renew_certificate",
    ("DELETE", "/api/certificates/{serial}"): "revoke_certificate",
    ("POST", "/api/enrolments"): "enroll",
    ("GET", "/api/crl"): "publish_crl",
    ("GET", "/openapi.json"): "show_openapi",
}
OPEN = {"enroll", "publish_crl"}  # served where nobody is asked for a certificate
ROUTED = Routes(HttpTrigger(name, "req", route, (method,)) for (method, route), name in ROUTES.items())
CARRIED = "-._~!$'()*,:@/?="  # what a query carries unchanged, besides letters and digits


class Way:
    """What tests ask of every way. `fronted`: there is a front with routes of its own before the functions."""

    fronted = True
    people: People

    async def ask(
        self, method: str, target: str, body: bytes = b"", by: Made | None = None, headers: Iterable[str] = ()
    ) -> Reply:
        raise NotImplementedError

    async def state(self) -> dict[str, Any]:
        raise NotImplementedError

    async def strike(self, name: str) -> None:
        raise NotImplementedError

    async def hurry(self, seconds: float) -> None:
        raise NotImplementedError

    async def calls(self) -> Counter[str]:
        """How often each operation of the store was used."""
        raise NotImplementedError

    async def invite(self, name: str, role: str = "user", tenant: str = "default") -> str:
        """A token for somebody, good for a day."""
        raise NotImplementedError

    async def lease(self, method: str, path: str = "", by: Made | None = None, **how: Any) -> Reply:
        """One of the requests about leases: those of alice, by herself if nobody else is said."""
        return await self.ask(method, f"/api/leases{path}", by=by or self.people.user("alice"), **how)

    async def hold(self, until: Any, note: str = "", by: Made | None = None, **how: Any) -> Reply:
        body = json.dumps({"until": until, "note": note}).encode()
        return await self.lease("PUT", "/database/hold", by, body=body, **how)

    async def create_db(self, user: str, by: Made | None = None) -> Reply:
        """Asked for by the user itself, or `by` somebody else."""
        body = json.dumps({"user_id": user}).encode()
        return await self.ask("POST", "/api/create_db", body, by or self.people.user(user))

    async def heart_beat(self, user: str, by: Made | None = None) -> Reply:
        target = f"/api/heart_beat?user_id={quote(user, safe=CARRIED)}"
        return await self.ask("GET", target, by=by or self.people.user(user))


class Called(Way):
    """The functions themselves, with the requests that Azure's worker would hand them."""

    fronted = False

    def __init__(self, functions: dict[str, Any], people: People, world: World):
        self._functions, self.people, self.world = functions, people, world

    async def ask(
        self, method: str, target: str, body: bytes = b"", by: Made | None = None, headers: Iterable[str] = ()
    ) -> Reply:
        path, _, query = target.partition("?")
        name, params, _ = ROUTED.find(method, f"/{path.lstrip('/')}")
        sent = dict(header.split(": ", 1) for header in headers) | ({HEADER: by.header} if by else {})
        answer = await self._functions[name](
            func.HttpRequest(
                method,
                f"https://playground.example{target}",
                headers=sent,
                params=dict(parse_qsl(query, keep_blank_values=True)),
                route_params=params,
                body=body,
            )
        )
        told = [(name.lower(), value) for name, value in answer.headers.items()]
        reply = Reply(answer.status_code, [("content-type", answer.mimetype), *told], answer.get_body())
        return as_documented(method, target, reply)

    async def state(self) -> dict[str, Any]:
        return await self.world.state()

    async def invite(self, name: str, role: str = "user", tenant: str = "default") -> str:
        return await self.world.invite(name, role, tenant)

    async def strike(self, name: str) -> None:
        await troubles.strike(self.world, name)

    async def hurry(self, seconds: float) -> None:
        await self.world.hurry(seconds)

    async def calls(self) -> Counter[str]:
        return own(Counter(self.world.store.calls))


class Served(Called):
    """The same functions behind the self-host front, over mutual TLS on loopback."""

    fronted = True

    def __init__(self, front: Front, port: int, open_port: int, people: People, world: World):
        super().__init__({}, people, world)
        self.front, self._port, self._open_port = front, port, open_port

    async def ask(
        self, method: str, target: str, body: bytes = b"", by: Made | None = None, headers: Iterable[str] = ()
    ) -> Reply:
        port = self._open_port if is_open(method, target) else self._port
        reply = await over_tls(port, self.people, raw(method, target, body, headers), by)
        return as_documented(method, target, reply)

    async def send(self, request: bytes, by: Made | None) -> Reply:
        """These very bytes."""
        return await over_tls(self._port, self.people, request, by)


def own(calls: Counter[str]) -> Counter[str]:
    """Without the read of revocations, which is one for all requests of ten seconds."""
    return Counter({name: times for name, times in calls.items() if name != "revoked"})


def as_documented(method: str, target: str, reply: Reply) -> Reply:
    """The reply, if it is one that the document of the API tells of."""
    name, _, allowed = ROUTED.find(method, f"/{target.partition('?')[0].lstrip('/')}")
    if name:
        documented.check(name, reply)
    else:
        assert reply.status == (405 if allowed else 404)
    return reply


def is_open(method: str, target: str) -> bool:
    """Whether a request is for a path of the open listener."""
    path = f"/{target.partition('?')[0].lstrip('/')}"
    name, _, allowed = ROUTED.find(method, path)
    return (name or ROUTED.find(allowed[0], path)[0] if allowed or name else "") in OPEN


def raw(method: str, target: str, body: bytes, headers: Iterable[str]) -> bytes:
    """A request as the notebook plugin writes it: JSON under a form's content type."""
    lines = [f"{method} {target} HTTP/1.1", "Connection: close", "Host: 127.0.0.1:50054"]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/x-www-form-urlencoded"]
    return "\r\n".join([*lines, "Accept-Encoding: gzip", *headers, "", ""]).encode() + body


async def over_tls(port: int, people: People, request: bytes, by: Made | None) -> Reply:
    """One request on a connection of its own, as the plugin does it. Raises OSError for a failed handshake."""
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=people.tls(by)))
    try:
        return await connection.ask(request)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("closed without an answer") from error
    finally:
        connection.writer.transport.abort()
        with suppress(OSError):
            await connection.writer.wait_closed()
