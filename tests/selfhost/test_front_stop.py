"""The front's end: nobody new is let in, and who was being served is served to the end."""

import asyncio
from types import ModuleType

import pytest

from tests.selfhost.clients import get, until
from tests.selfhost.conftest import Serve

CREATE = b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"


async def test_the_stop_waits_for_requests_in_flight(serve: Serve, echo: ModuleType) -> None:
    client = await serve()
    busy, idle = await client.connect(), await client.connect()
    assert (await idle.ask(get())).status == 200
    assert client.front.quiet
    await busy.send(get("/api/stays"))
    await echo.arrived.get()
    assert not client.front.quiet
    stopping = asyncio.create_task(client.front.stop(patience=30))
    assert await idle.ended() == b""
    with pytest.raises(ConnectionError):
        await client.connect()
    assert not stopping.done()
    echo.may_end.set()
    reply = await busy.reply()
    assert (reply.body, reply.header("connection")) == (b"ended", "close")
    await stopping


@pytest.mark.parametrize("at", [10, len(CREATE) - 1], ids=["head", "body"])
async def test_the_stop_waits_for_a_request_half_received(serve: Serve, at: int) -> None:
    client = await serve()
    connection = await client.connect()
    await connection.send(CREATE[:at])
    await until(lambda: any(open_one.size for open_one in client.front.clients))
    stopping = asyncio.create_task(client.front.stop(patience=30))
    await asyncio.wait([stopping], timeout=0.1)  # long enough to look at every connection
    assert bytes.fromhex((await connection.ask(CREATE[at:])).json()["body"]) == b"{}"
    await stopping


async def test_the_stop_does_not_wait_for_ever(serve: Serve, echo: ModuleType) -> None:
    client = await serve()
    connection = await client.connect()
    await connection.send(get("/api/stays"))
    await echo.arrived.get()
    await client.front.stop(patience=0.05)
    assert await connection.ended() == b""


@pytest.mark.slow
async def test_the_stop_does_not_wait_for_who_says_nothing(serve: Serve) -> None:
    client = await serve()
    silent, no_tls = await client.connect(), await client.open(None)
    await until(lambda: client.front.connections and client.front.listener.handshakes)
    async with asyncio.timeout(5):
        await client.front.stop(patience=30)
    assert await silent.ended() == b""
    assert await no_tls.ended() == b""


async def test_the_stop_does_not_take_a_request_sent_ahead_for_idleness(serve: Serve, echo: ModuleType) -> None:
    client = await serve()
    connection = await client.connect()
    await connection.send(get("/api/any") + get("/api/stays"))
    assert (await connection.reply()).status == 200
    await echo.arrived.get()
    stopping = asyncio.create_task(client.front.stop(patience=30))
    await asyncio.wait([stopping], timeout=0.1)  # long enough to look at every connection
    echo.may_end.set()
    assert (await connection.reply()).body == b"ended"
    await stopping
