"""A stand-in for Azure Key Vault, spoken to over TLS on loopback by the real SDK.

This is not Key Vault: it is the two requests that signing needs, written from Microsoft's documentation, and strict.
It models: the bearer challenge, keys by name and version, a key's public half as a JWK, `sign` with RS* and PS* of a
digest that is as long as the algorithm says, and the errors of those. It does not model: Entra ID (`identity` gives a
token, and that one alone is good), keys' dates and permitted operations, roles, limits of size, everything else.
"""

import asyncio
import json
import ssl
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.keyvault.keys._shared import HttpChallengeCache
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from shared.adapters.authority import Key
from tests.certs import SERVER, CertificateFactory

NAME = "playground-ca"
VERSIONS = ("2025-07-01", "7.6", "7.5", "7.4")  # of the API
HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CODES = {403: "Forbidden", 429: "Throttled"}


@cache
def rsa_key(bits: int = 3072, which: int = 0) -> rsa.RSAPrivateKey:
    """Always the same one, as it takes long to make."""
    return rsa.generate_private_key(65537, bits)


@dataclass
class Fault:
    """Befalls the next `times` requests of the kinds `of` that bring a token.

    * `status`, with `retry_after` (seconds) and `said`: refused, and that is the answer's text where it is given.
    * `said` alone: answered 200 with that, whatever was asked.
    * `hold`: not answered until `release` is set; what then comes is as if nothing had been. `reached` counts them.
    """

    status: int = 0
    retry_after: int | None = None
    said: str | None = None
    hold: bool = False
    times: int = 1
    of: tuple[str, ...] = ("get", "sign")
    reached: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    release: asyncio.Event = field(default_factory=asyncio.Event)


class Identity:
    """A process's own, as azure-identity gives one; it remembers for what tokens were asked, and whether it is open."""

    def __init__(self, token: str) -> None:
        self.token, self.scopes, self.closed = token, list[str](), False
        self.failing: Exception | None = None

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        if self.failing is not None:
            raise self.failing
        return AccessToken(self.token, 4_000_000_000)

    def close(self) -> None:
        self.closed = True


class KeyVault:
    """Listens on a port of loopback, with a certificate of `made`'s CA.

    It holds `key` in the version `version`; `log` tells what was asked, `faults` what is to go wrong.
    """

    def __init__(self, made: CertificateFactory, key: Key | None = None):
        self._server = made.client(names=[x509.IPAddress(ip_address("127.0.0.1"))], uses=[SERVER])
        self.key: Key = key or rsa_key()
        self.version = uuid4().hex
        self.identity = Identity(f"token-{uuid4().hex}")
        self.faults: list[Fault] = []
        self.log: list[tuple[str, int]] = []
        self.url = self.resource = ""
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, key: Key | None = None) -> AsyncIterator[Self]:
        """One that this process's SDK trusts."""
        made = CertificateFactory(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(made.ca_file))
            patch.setenv("NO_PROXY", "127.0.0.1")
            vault = cls(made, key)
            await vault._start()
            yield vault
            await vault._stop()

    async def _start(self) -> None:
        HttpChallengeCache.clear()  # which is the process's, and by port: another vault may have had this one's
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server.certificate, self._server.key)
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._runner.server, "127.0.0.1", 0, ssl=context)
        port = self._listening.sockets[0].getsockname()[1]
        self.url = f"https://127.0.0.1:{port}/keys/{NAME}"
        # The SDK gives a token only for what the vault's host belongs to, as …vault.azure.net does to vault.azure.net.
        self.resource = f"https://0.0.1:{port}"

    async def _stop(self) -> None:
        assert self._runner is not None
        assert self._listening is not None
        self._listening.close()
        await self._runner.cleanup()
        self._listening.abort_clients()  # who closed a connection may not have said goodbye, as TLS would have it
        await self._listening.wait_closed()

    def asked(self, kind: str) -> list[int]:
        """The statuses of the requests of one kind that brought a token; 0 where none was given."""
        return [status for each, status in self.log if each == kind]

    async def _serve(self, request: web.Request) -> web.Response:
        await request.read()  # or who gives up while it is held is an error here
        response = self._challenge(request)
        if response is not None:
            self.log.append(("challenge", 401))
            return response
        kind, status = "sign" if request.method == "POST" else "get", 0
        try:
            response = await self._struck(kind) or await self._answer(request)
            status = response.status
            return response
        finally:
            self.log.append((kind, status))

    def _challenge(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {self.identity.token}":
            return None
        response = _refused(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        where = f'authorization="https://login.microsoftonline.com/{uuid4()}", resource="{self.resource}"'
        response.headers["WWW-Authenticate"] = f"Bearer {where}"
        return response

    async def _struck(self, kind: str) -> web.Response | None:
        fault = next((each for each in self.faults if kind in each.of), None)
        if fault is None:
            return None
        fault.times -= 1
        if not fault.times:
            self.faults.remove(fault)
        if fault.hold:
            fault.reached.release()
            await fault.release.wait()
            return None
        if fault.said is not None:
            response = web.Response(status=fault.status or 200, text=fault.said, content_type="application/json")
        else:
            response = _refused(
                fault.status, {403: "Forbidden", 429: "Throttled"}.get(fault.status, "Error"), "told to"
            )
        if fault.retry_after is not None:
            response.headers["Retry-After"] = str(fault.retry_after)
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        if request.query.get("api-version") not in VERSIONS:
            return _refused(400, "BadParameter", "The request is missing a valid api-version.")
        match request.method, [part for part in request.path.split("/") if part]:
            case "GET", ["keys", name, *version] if len(version) <= 1:
                found = self._there(name, version)
                return web.json_response(self._bundle()) if found else _missing(name)
            case "POST", ["keys", name, *version, "sign"] if len(version) <= 1:
                return self._sign(await request.text()) if self._there(name, version) else _missing(name)
        return _refused(405, "MethodNotAllowed", "not modelled")

    def _there(self, name: str, version: list[str]) -> bool:
        return name == NAME and version in ([], [self.version])

    def _bundle(self) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            jwk: dict[str, Any] = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        else:
            assert isinstance(self.key, ec.EllipticCurvePrivateKey)
            jwk = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x), "y": _number(numbers.y)}
        jwk |= {"kid": f"{self.url}/{self.version}", "key_ops": ["sign", "verify"]}
        return {"key": jwk, "attributes": {"enabled": True, "created": 1_700_000_000, "updated": 1_700_000_000}}

    def _sign(self, body: str) -> web.Response:
        try:
            asked = json.loads(body)
            kind, bits = asked["alg"][:2], asked["alg"][2:]
            digest, hash = urlsafe_b64decode(asked["value"] + "=="), HASHES[bits]
        except (ValueError, KeyError, TypeError):
            return _refused(400, "BadParameter", "The request's body is not {alg, value}, or alg is not supported.")
        if kind not in ("RS", "PS") or not isinstance(self.key, rsa.RSAPrivateKey):
            return _refused(400, "BadParameter", "Key and signing algorithm are incompatible.")
        if len(digest) != hash.digest_size:
            return _refused(400, "BadParameter", f"Invalid length of 'value': {len(digest)} bytes.")
        pad = padding.PKCS1v15() if kind == "RS" else padding.PSS(padding.MGF1(hash), hash.digest_size)
        signature = self.key.sign(digest, pad, Prehashed(hash))
        return web.json_response({"kid": f"{self.url}/{self.version}", "value": _text(signature)})


def _missing(name: str) -> web.Response:
    return _refused(404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault.")


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")
