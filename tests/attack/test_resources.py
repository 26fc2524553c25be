"""What takes much and gives little is cut off: each has its time and its size, and the rest are served meanwhile."""

import asyncio
import re
import resource
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.attack.cases import request
from tests.selfhost.clients import Client, Connection, Files, get, until
from tests.selfhost.conftest import Serve

ROOT = Path(__file__).parents[2]
IDLE = 5000
LARGEST = 400  # MB that a server may hold resident with so many connections
HEAD = b"GET /api/any HTTP/1.1\r\nHost: h\r\n"
SLOW = {
    "heads": b"X-Slow: a\r\n",
    "bodies": b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n",
    "chunks": b"POST /api/any HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
}


async def trickle(connection: Connection, begin: bytes, endless: bytes) -> None:
    """Send byte by byte until the other side has enough of it."""
    await connection.send(begin)
    while True:
        for byte in endless:
            if connection.reader.at_eof():
                return
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("what", SLOW)
async def test_fifty_who_send_byte_by_byte_are_cut_off_and_others_served(
    serve: Serve,
    what: str,
    caplog: pytest.LogCaptureFixture,
):
    client = await serve(request=1.0)
    begin, endless = (
        (HEAD, SLOW[what]) if what == "heads" else (SLOW[what], b"1\r\na\r\n" if what == "chunks" else b"a")
    )
    slow = [await client.connect() for _ in range(50)]
    sending = [asyncio.create_task(trickle(connection, begin, endless)) for connection in slow]
    await until(lambda: all(connection.since for connection in client.front.clients))
    assert (await client.ask(get())).status == 200
    await asyncio.wait(sending)
    assert all(task.exception() is None or isinstance(task.exception(), OSError) for task in sending)
    await until(lambda: not client.front.clients)
    assert caplog.records == []


async def test_a_silent_tls_client_is_cut_off(serve: Serve, caplog: pytest.LogCaptureFixture):
    client = await serve(request=0.3, handshake=0.3)
    silent = [await client.connect() for _ in range(20)] + [await client.open(None) for _ in range(20)]
    for connection in silent:
        assert await connection.ended() == b""
    await until(lambda: not client.front.clients and not client.front.listener.handshakes)
    assert caplog.records == []


async def test_a_head_of_64_kib_ends_its_connection(serve: Serve):
    client = await serve()
    for raw in (request("/api/any", "X: " + "a" * 65_536), HEAD + b"X: " + b"a" * 65_536):  # the second without an end
        connection = await client.connect()
        reply = await connection.ask(raw)
        assert (reply.status, await connection.ended()) == (431, b"")
    await until(lambda: not client.front.clients)


@pytest.mark.slow
async def test_who_reads_nothing_is_cut_off_through_tls_too(serve: Serve, caplog: pytest.LogCaptureFixture):
    """Once it is idle: what TLS has taken is out of the front's sight, and every answer of ours is small."""
    client = await serve(keep_alive=0.5)
    unread_ones = await asyncio.to_thread(lambda: [unread(client, *more) for more in ((), ("Connection: close",)) * 3])
    await until(lambda: len(client.front.clients) == 6)
    assert (await client.ask(get())).status == 200
    try:
        await until(lambda: not client.front.clients)
    finally:
        for each in unread_ones:
            each.close()
    assert caplog.records == []


def unread(client: Client, *headers: str) -> ssl.SSLSocket:
    """A client that has asked for 20 MB, and reads none of it."""
    plain = socket.create_connection(("127.0.0.1", client.port))
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    context = client.context()
    context.check_hostname = False
    tls = context.wrap_socket(plain)
    tls.sendall(get("/api/large", *headers))
    return tls


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process may open as many as it is allowed to be allowed."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def serving(files: Files) -> AsyncIterator[tuple[int, int]]:
    """Port and process id of a front in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.selfhost.measure_front", str(files.folder), "serve", "front",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline()), process.pid
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


def resident(pid: int) -> float:
    """MB (10^6 bytes)."""
    found = re.search(r"^VmRSS:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024 / 1e6


@pytest.mark.slow
async def test_five_thousand_idle_connections_are_held_in_bounded_memory(
    files: Files,
    many_files: None,
):
    context = ssl.create_default_context(cafile=str(files.ca_crt))
    context.load_cert_chain(files.client_crt, files.client_key)
    async with serving(files) as (port, pid):
        before = resident(pid)
        taking_turns = asyncio.Semaphore(16)

        async def connect() -> Connection:
            async with taking_turns:
                connection = Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
                assert (await connection.ask(get("/api/heart_beat"))).status == 200
                return connection

        connections = await asyncio.gather(*(connect() for _ in range(IDLE)))
        after = resident(pid)
        assert after < LARGEST, f"{before:.0f} MB before, {after:.0f} MB with {IDLE} connections"
        assert (await connections[0].ask(get("/api/heart_beat"))).status == 200
        for connection in connections:
            connection.writer.transport.abort()
