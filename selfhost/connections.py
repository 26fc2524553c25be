"""One client's connection: whose certificate it is, and no more patience than a client deserves.

On top of aiohttp's HTTP/1.1 protocol: the peer's certificate is read once, a request must be whole
within a time and its head within a size, and what is malformed gets an answer, not a traceback.
"""

import asyncio
import logging
from base64 import b64encode
from hashlib import sha256
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from cryptography import x509

from selfhost.answers import last_words, problem
from selfhost.rounds import Rounds
from shared.domain.identity import check_tenant
from shared.edge.problems import HeadTooLarge, NotHttp

_log = logging.getLogger(__name__)
_REMEMBERED = 10_000  # certificates
_tenants: dict[bytes, str] = {}  # by SHA-256


class Connection(web.RequestHandler):
    """A connection of a `front.Front`.

    `certificate` is the peer's DER in base64 ("" without TLS), `tenant` what `tenant_of` reads in it;
    `busy` tells of a request whose head is whole and whose answer is not written; `since` is when the
    request being received began (0: none is), `size` how much came until its head was whole, `stalled`
    since when the peer reads nothing of what is written to it.
    """

    __slots__ = ("busy", "certificate", "head_limit", "rounds", "since", "size", "stalled", "tenant")

    def __init__(self, manager: web.Server, head_limit: int, rounds: Rounds, **options: Any) -> None:
        super().__init__(manager, **options)
        self.rounds = rounds
        self.certificate = self.tenant = ""
        self.head_limit = head_limit
        self.busy = False
        self.since = self._loop.time()
        self.size = 0
        self.stalled = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            der = tls.getpeercert(True) or b""
            self.certificate, self.tenant = b64encode(der).decode("ascii"), tenant_of(der)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.busy:
            super().data_received(data)
            return
        if not self.since:
            self.since, self.size = self._loop.time(), 0
        self.size += len(data)
        self.rounds.arrived(self, data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.rounds.leave(self)
        super().connection_lost(exc)

    def pause(self) -> None:
        """Listen no more for now."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Listen again."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def read(self, data: bytes) -> None:
        """A piece of a head, perhaps with what comes after it."""
        requests = self._request_count
        super().data_received(data)
        if self._request_count != requests:  # the head is whole: a handler runs next
            self.busy = True
        elif self.size > self.head_limit:
            self.refuse_head()

    def begin(self, body: bool) -> None:
        """A request is up. The time of its body began with its head, or now if that was sent ahead."""
        self.busy = True
        self.since = (self.since or self._loop.time()) if body else 0.0

    def refuse_head(self) -> None:
        """Answer 431 to a head that does not end, and close."""
        if self.transport is not None:
            self.transport.write(last_words(HeadTooLarge()))
        self.force_close()

    def idle(self, now: float) -> bool:
        """No request is being received or answered; a new client has a second to begin one."""
        return not self.busy and (not self.since or (not self.size and now - self.since > 1))

    def overdue(self, now: float, patience: float) -> bool:
        """The request, or the reading of its answer, takes longer than `patience` seconds."""
        if not self.writing_paused:
            self.stalled = 0.0
        elif not self.stalled:
            self.stalled = now
        receiving = bool(self.since) and now - self.since > patience
        return receiving or (bool(self.stalled) and now - self.stalled > patience)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that cannot be parsed, or to a fault of the front's own."""
        if isinstance(exc, LineTooLong) or message == "Too many headers received":
            response = problem(HeadTooLarge())
        elif status == 400 or isinstance(exc, (web.RequestPayloadError, ConnectionError)):
            _log.debug("bad request from %s: %s", self.peername, type(exc).__name__)
            response = problem(NotHttp())
        else:
            _log.error("a request could not be answered", exc_info=exc)
            response = problem(RuntimeError(message))
        response.force_close()
        return response


def tenant_of(der: bytes) -> str:
    """The tenant that a client's certificate names; "" for one that names none, and for none.

    Says only with whom a request waits: whether the certificate is good for it, `edge.certificates` says.
    """
    digest = sha256(der).digest()
    tenant = _tenants.get(digest)
    if tenant is None:
        if len(_tenants) >= _REMEMBERED:
            _tenants.clear()
        tenant = _tenants[digest] = _read_tenant(der)
    return tenant


def _read_tenant(der: bytes) -> str:
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        (uri,) = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        match uri.split("/"):
            case ["spiffe:", "", _, "tenant", tenant, _, _]:
                check_tenant(tenant)
                return tenant
    except Exception as error:  # what the parser has to say of it is for nobody here
        _log.debug("a certificate names no tenant: %s", type(error).__name__)
    return ""
