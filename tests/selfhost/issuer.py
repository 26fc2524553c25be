"""A Playground that gives certificates, as its clients see it: two TLS listeners before the domain itself."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.adapters.authority import KeyAuthority
from shared.domain import enrolment
from shared.domain.enrolment import Issuance, Issuing
from shared.domain.errors import PlaygroundError
from shared.domain.holders import Issued
from shared.domain.identity import Principal, Role
from shared.domain.instants import utc
from shared.domain.leases import Owner
from shared.domain.policy import DAY
from shared.edge import problems
from shared.edge.certificates import Verifier
from tests.certs import TRUST_DOMAIN, CertificateFactory, Hands, Made
from tests.doubles.memory import MemoryStore

NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME

type Act = Callable[[web.Request, Any], Awaitable[Any]]


class Issuer:
    """`open` and `api` are its URLs. `arrived` is what came in, as (path, body); `changed` may change an answer.

    `lost`: so many answers are made and not sent. `server` is told to who enrolls.
    """

    def __init__(self, folder: Path):
        self.loop = asyncio.new_event_loop()
        self.factory = CertificateFactory(folder)
        self.clock = Hands(self.factory.now.timestamp())
        self.store = MemoryStore(clock=self.clock)
        self.authority = KeyAuthority(self.factory.ca.certificate, self.factory.ca.key, TRUST_DOMAIN)
        self.open = self.api = ""
        self.server: str | None = None
        self.arrived: list[tuple[str, str]] = []
        self.lost = 0
        self.changed: Callable[[dict[str, Any]], Any] = lambda answer: answer
        self._verifier = Verifier(self.factory.ca_pem, TRUST_DOMAIN, self.clock)

    def invite(self, name: str = "alice", role: Role = Role.USER) -> str:
        """A token for an hour."""
        return self.do(enrolment.invite(self.store, self.clock, Principal("default", role, name), 3600, "ops"))

    def certificates(self, name: str = "alice") -> list[Issued]:
        """All that were issued to that name, and still count by some clock."""
        holder = self.do(self.store.holder(Owner("default", name)))
        return list(holder.certificates) if holder else []

    def keys(self) -> set[str]:
        """The different keys that were asked for, in hex."""
        return {_key(json.loads(body)["csr"]).hex() for _, body in self.arrived if "csr" in body}

    def do[T](self, act: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(act, self.loop).result(20)

    @property
    def issuing(self) -> Issuing:
        return Issuing(self.store, self.authority, self.clock)

    async def _enroll(self, request: web.Request, body: Any) -> Any:
        return self._granted(await enrolment.enrol(self.issuing, body["token"], _key(body["csr"])))

    async def _renew(self, request: web.Request, body: Any) -> Any:
        return self._granted(await enrolment.renew(self.issuing, self._caller(request), _key(body["csr"])))

    async def _list(self, request: web.Request, body: Any) -> Any:
        owner = request.query.get("owner", "")
        found = await enrolment.certificates(self.store, self.clock, self._caller(request), owner)
        return {"certificates": [_told(each) for each in found]}

    async def _revoke(self, request: web.Request, body: Any) -> Any:
        owner, serial = request.query.get("owner", ""), request.match_info["serial"]
        return _told(await enrolment.revoke(self.store, self.clock, self._caller(request), owner, serial))

    def _caller(self, request: web.Request) -> Principal:
        assert request.transport is not None
        return self._verifier.verify(request.transport.get_extra_info("ssl_object").getpeercert(True))

    def _granted(self, issuance: Issuance) -> dict[str, Any]:
        who, issued = issuance.principal, issuance.issued
        said = {"server": self.server} if self.server else {}
        return {
            "certificate": issuance.chain, "serial": issued.serial, "expires_at": utc(issued.until).isoformat(),
            "tenant": who.tenant, "role": who.role, "name": who.name, **said,
        }  # fmt: skip

    def answering(self, act: Act, status: int = 200) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            text = await request.text()
            self.arrived.append((request.path, text))
            try:
                told = web.json_response(self.changed(await act(request, text and json.loads(text))), status=status)
            except PlaygroundError as error:
                problem = problems.answer(error)
                told = web.Response(body=problem.get_body(), status=problem.status_code)
            if self.lost:
                self.lost -= 1
                assert request.transport is not None
                request.transport.abort()
            return told

        return answer

    def opened(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/enrolments", self.answering(self._enroll, 201))
        return app

    def guarded(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/certificates", self.answering(self._renew, 201))
        app.router.add_get("/api/certificates", self.answering(self._list))
        app.router.add_delete("/api/certificates/{serial}", self.answering(self._revoke))
        return app


@contextmanager
def issuer(folder: Path) -> Iterator[Issuer]:
    """One that listens, in a thread of its own."""
    made = Issuer(folder)
    thread = Thread(target=made.loop.run_forever)
    thread.start()
    try:
        runners = made.do(_listen(made))
        try:
            yield made
        finally:
            made.do(_stop(made, runners))
    finally:
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join()
        made.loop.close()


async def _listen(made: Issuer) -> list[web.AppRunner]:
    """With a certificate for `localhost`."""
    own = made.factory.server("localhost")
    opened, guarded = _tls(own), _tls(own)
    guarded.verify_mode = ssl.CERT_REQUIRED
    guarded.verify_flags |= NO_CHECK_TIME  # what the clock that a test turns says, the domain looks at
    guarded.load_verify_locations(made.factory.ca_file)
    runners = [web.AppRunner(made.opened()), web.AppRunner(made.guarded())]
    made.open, made.api = [await _url(r, tls) for r, tls in zip(runners, (opened, guarded), strict=True)]
    return runners


async def _stop(made: Issuer, runners: list[web.AppRunner]) -> None:
    for runner in runners:
        await runner.cleanup()
    await made.authority.close()


async def _url(runner: web.AppRunner, tls: ssl.SSLContext) -> str:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    return f"https://localhost:{runner.addresses[0][1]}"


def _tls(own: Made) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    return context


def _key(csr: str) -> bytes:
    request = x509.load_pem_x509_csr(csr.encode())
    assert request.is_signature_valid
    return request.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _told(issued: Issued) -> dict[str, Any]:
    told = {
        "serial": issued.serial, "role": issued.role, "valid_from": utc(issued.begins).isoformat(),
        "expires_at": utc(issued.until).isoformat(),
    }  # fmt: skip
    if issued.renewed_from:
        told["renewed_from"] = issued.renewed_from
    if issued.revoked_at is not None:
        told |= {"revoked_at": utc(issued.revoked_at).isoformat(), "revoked_by": issued.by}
    return told


MONTH = 30 * DAY
