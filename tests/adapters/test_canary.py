"""The canary against a real server: it is heard only if its beat came to the store and back."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from shared.adapters import canary_http
from shared.adapters.canary_http import beat
from tests.certs import CertificateFactory, Made

OK = b'{"message": "hello canary", "renewed": true, "state": "running"}'


class Server:
    """Says what it is told to whoever asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.peers: list[bytes | None] = []
        self.status, self.body, self.headers, self.hangs = "200 OK", OK, "", False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split(b" HTTP/")[0].decode())
            tls = writer.get_extra_info("ssl_object")
            self.peers.append(tls.getpeercert(True) if tls else None)
            if self.hangs:
                await reader.read()
                return
            writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n{self.headers}\r\n".encode())
            writer.write(self.body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


Start = Callable[..., Awaitable[str]]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def start(server: Server) -> AsyncIterator[Start]:
    """`await start(context)` serves, with TLS if there is a context, and returns the base URL."""
    started: list[asyncio.Server] = []

    async def start(context: ssl.SSLContext | None = None) -> str:
        started.append(await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context))
        server.port = started[-1].sockets[0].getsockname()[1]
        return f"{'https' if context else 'http'}://localhost:{server.port}"

    yield start
    for each in started:
        each.close()
        each.close_clients()
        await each.wait_closed()


async def test_a_beat_that_came_back_is_heard(server: Server, start: Start):
    for base in (await start(), f"http://127.0.0.1:{server.port}/"):
        assert await beat(base, "", "", "") is True
    assert server.asked == ["GET /api/heart_beat?user_id=canary"] * 2


@pytest.mark.parametrize("state", ["running", "waking", "none", "released"])
async def test_whatever_its_lease_says_the_store_was_reached(server: Server, start: Start, state: str):
    server.body = f'{{"renewed": false, "state": "{state}"}}'.encode()
    assert await beat(await start(), "", "", "") is True


@pytest.mark.parametrize(
    "body",
    [
        b'{"renewed": false, "state": "unknown"}',
        b"{}",
        b"[]",
        b"null",
        b"",
        b"<html>",
        b"\xff",
        b'{"state": null}',
        b'"x"',
    ],
)
async def test_an_answer_that_tells_of_no_store_is_not_heard(server: Server, start: Start, body: bytes):
    server.body = body
    assert await beat(await start(), "", "", "") is False


@pytest.mark.parametrize(
    "status", ["403 Forbidden", "500 Internal Server Error", "503 Service Unavailable", "204 No Content"]
)
async def test_another_status_is_not_heard(server: Server, start: Start, status: str):
    server.status = status
    server.body = b"" if status.startswith("204") else OK
    assert await beat(await start(), "", "", "") is False


async def test_a_server_that_hangs_is_not_heard(server: Server, start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(canary_http, "SECONDS", 0.05)
    server.hangs = True
    assert await beat(await start(), "", "", "") is False
    assert server.asked


async def test_nobody_there_is_not_heard():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert await beat(f"http://127.0.0.1:{port}", "", "", "") is False
    assert await beat("http://name.invalid", "", "", "") is False


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    return CertificateFactory(tmp_path_factory.mktemp("canary"))


def context(factory: CertificateFactory, server: Made) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(factory.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_through_mutual_tls_it_shows_its_own_certificate(
    server: Server, start: Start, factory: CertificateFactory
):
    canary = factory.leaf(name="canary")
    base = await start(context(factory, factory.server("localhost")))
    assert await beat(base, str(canary.certificate), str(canary.key), str(factory.ca_file)) is True
    assert server.peers == [canary.der]


async def test_without_a_certificate_where_one_is_demanded_it_is_not_heard(
    server: Server, start: Start, factory: CertificateFactory
):
    base = await start(context(factory, factory.server("localhost")))
    assert await beat(base, "", "", str(factory.ca_file)) is False
    assert server.asked == []


async def test_a_server_of_another_ca_or_name_is_not_believed(
    server: Server, start: Start, factory: CertificateFactory, tmp_path: Path
):
    canary = factory.leaf(name="canary")
    foreign = tmp_path / "foreign.crt"
    foreign.write_bytes(CertificateFactory(tmp_path).ca_pem)
    base = await start(context(factory, factory.server("localhost")))
    assert await beat(base, str(canary.certificate), str(canary.key), str(foreign)) is False
    base = await start(context(factory, factory.server("elsewhere.example")))
    assert await beat(base, str(canary.certificate), str(canary.key), str(factory.ca_file)) is False
    assert server.asked == []
