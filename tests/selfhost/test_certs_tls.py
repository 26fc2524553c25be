"""Real handshakes on the loopback, with all the strictness that Python has."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from selfhost.certs import KeyStore
from shared.domain.identity import Principal, Role
from tests.certs import TRUST_DOMAIN, CertificateFactory

ALICE = Principal("default", Role.USER, "alice")


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> KeyStore:
    store = KeyStore(tmp_path / "key_store")
    store.init(now)
    return store


def contexts(ca: Path, server: tuple[Path, Path], client: tuple[Path, Path]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    listening.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(ca))
    for context, pair in ((listening, server), (calling, client)):
        context.load_cert_chain(*map(str, pair))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    return listening, calling


async def greeting(listening: ssl.SSLContext, calling: ssl.SSLContext, host: str, name: str) -> bytes:
    """What the server says after a mutual handshake on `host`: the DER that it took from the client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("ssl_object").getpeercert(True))
        writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=listening)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(host, port, ssl=calling, server_hostname=name)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "a.example.com"])
async def test_strict_tls_accepts_server_and_client_in_one_handshake(store: KeyStore, now: datetime, name: str) -> None:
    server, client = (
        store.server(["localhost", "127.0.0.1", "*.example.com"], now),
        store.issue(ALICE, TRUST_DOMAIN, now),
    )
    listening, calling = contexts(
        store.folder / "ca/ca.crt",
        (server.certificate_file, server.key_file),
        (client.certificate_file, client.key_file),
    )
    der = client.certificate.public_bytes(Encoding.DER)
    assert await greeting(listening, calling, "127.0.0.1", name) == der


async def test_a_client_refuses_a_server_of_another_name_and_a_client_s_certificate(
    store: KeyStore, now: datetime
) -> None:
    server, client = store.server(["localhost"], now), store.issue(ALICE, TRUST_DOMAIN, now)
    good, mine = (server.certificate_file, server.key_file), (client.certificate_file, client.key_file)
    ca = store.folder / "ca/ca.crt"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        await greeting(*contexts(ca, good, mine), "127.0.0.1", "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        await greeting(*contexts(ca, mine, mine), "127.0.0.1", "localhost")


@pytest.mark.parametrize("kind", ["foreign_ca", "expired", "not_yet_valid", "server_eku_only", "self_signed"])
async def test_a_strict_server_refuses_a_bad_client_in_the_handshake(kind: str, tmp_path: Path) -> None:
    made = CertificateFactory(tmp_path)
    server, bad = made.server("localhost"), made.bad(kind)
    listening, calling = contexts(made.ca_file, (server.certificate, server.key), (bad.certificate, bad.key))
    taken = b""  # in TLS 1.3 the client may learn of its refusal by an alert or by the end of the stream
    with suppress(ssl.SSLError, ConnectionError):
        taken = await greeting(listening, calling, "127.0.0.1", "localhost")
    assert taken == b""
    good = made.leaf()
    calling.load_cert_chain(good.certificate, good.key)
    assert await greeting(listening, calling, "127.0.0.1", "localhost") == good.der
