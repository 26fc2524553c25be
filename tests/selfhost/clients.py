"""A client that says exactly what it is told, byte by byte, and the certificates it may show."""

import asyncio
import json
import re
import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from selfhost.front import Front

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@dataclass(frozen=True)
class Files:
    """A CA, what it signed, and a stranger with a client certificate of another CA."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """`server_crt` is the folder's server.crt."""
        return self.folder / name.replace("_", ".")


def make_files(folder: Path) -> Files:
    """Write `ca`, `server`, `client`, `stranger` and `other`, each a .crt and a .key, into a folder."""
    ca, foreign = _certificate("ca"), _certificate("foreign ca")
    pairs = {
        "ca": ca,
        "server": _certificate("server", ca, ExtendedKeyUsageOID.SERVER_AUTH),
        "client": _certificate("client", ca, ExtendedKeyUsageOID.CLIENT_AUTH),
        "other": _certificate("other", ca, ExtendedKeyUsageOID.CLIENT_AUTH),
        "stranger": _certificate("stranger", foreign, ExtendedKeyUsageOID.CLIENT_AUTH),
    }
    for name, (certificate, key) in pairs.items():
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Files(folder)


def _certificate(name: str, issuer: Pair | None = None, usage: x509.ObjectIdentifier | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, issuer_name = (issuer[1], issuer[0].subject) if issuer else (key, subject)
    now = datetime.now(UTC)
    may = {"digital_signature": issuer is not None, "key_cert_sign": issuer is None, "crl_sign": issuer is None}
    may_not = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    key_usage = x509.KeyUsage(**may, **dict.fromkeys((*may_not, "encipher_only", "decipher_only"), False))
    builder = (
        x509.CertificateBuilder(issuer_name, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(signer, hashes.SHA256()), key


@dataclass(frozen=True)
class Reply:
    """An answer; header names are lower case, repeated ones kept."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only header of that name, or None."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, values
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)


def assert_problem(reply: Reply, status: int, slug: str, detail: str) -> None:
    """The front's own answer: a problem document of that type which says exactly `detail`."""
    assert reply.status == status, reply.body
    assert reply.header("content-type") == "application/problem+json"
    assert reply.header("cache-control") == "no-store"
    told = reply.json()
    assert (told.pop("type"), told.pop("status")) == (f"urn:playground:problem:{slug}", status)
    assert told.pop("title") and re.fullmatch("[0-9a-f]{32}", told.pop("trace_id")) and told == {"detail": detail}


class Connection:
    """An open connection to the server under test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def reply(self, head: bool = False) -> Reply:
        """The next answer; `head`: it answers HEAD and has no body."""
        top = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = [(line.partition(": ")[0].lower(), line.partition(": ")[2]) for line in top[1:-2]]
        length = int(dict(headers).get("content-length", "0"))
        body = b"" if head else await self.reader.readexactly(length)
        return Reply(int(top[0].split()[1]), headers, body)

    async def ask(self, raw: bytes) -> Reply:
        await self.send(raw)
        return await self.reply(head=raw.startswith(b"HEAD"))

    async def ended(self) -> bytes:
        """What still came until the server closed."""
        try:
            return await asyncio.wait_for(self.reader.read(), 10)
        except (ConnectionError, ssl.SSLError):
            return b""


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody tells us of; ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Client:
    """Opens connections to a front."""

    def __init__(self, files: Files, port: int, tls: bool, front: Front) -> None:
        self.files = files
        self.port = port
        self.tls = tls
        self.front = front
        self._opened: list[Connection] = []

    def context(self, name: str = "client") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.files.ca_crt)
        if name:
            folder = self.files.folder
            context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        return context

    async def connect(self, name: str = "client") -> Connection:
        """Connect with that certificate ("" for none)."""
        return await self.open(self.context(name) if self.tls else None)

    async def open(self, context: ssl.SSLContext | None) -> Connection:
        """Connect as that context says; None speaks no TLS."""
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context))
        self._opened.append(connection)
        return connection

    def leave(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            connection.writer.transport.abort()

    async def ask(self, raw: bytes) -> Reply:
        """One request on a connection of its own."""
        connection = await self.connect()
        reply = await connection.ask(raw)
        connection.writer.close()
        return reply

    def certificate(self, name: str = "client") -> str:
        """The DER of a certificate in base64, as it stands in X-ARR-ClientCert."""
        pem = (self.files.folder / f"{name}.crt").read_bytes()
        return b64encode(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).decode()


def get(target: str = "/api/any", *headers: str) -> bytes:
    """A GET request of exactly these bytes."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode("latin-1")
