"""The front's patience: what is too large, too slow or too much ends, and costs the others nothing."""

import asyncio
import errno
import logging
import socket
from contextlib import suppress
from types import ModuleType

import pytest

from tests.selfhost.clients import assert_problem, get, until
from tests.selfhost.conftest import Serve

CREATE = b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
PUT = b"PUT /api/items/7 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


async def test_a_body_that_says_it_is_too_large_is_not_read(serve: Serve) -> None:
    connection = await (await serve(body=100)).connect()
    reply = await connection.ask(b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n")
    assert_problem(reply, 413, "too-large", "the body is larger than 100 bytes")
    assert reply.header("connection") == "close"


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(serve: Serve) -> None:
    connection = await (await serve(body=100)).connect()
    await connection.send(b"POST /api/any HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    await connection.send(b"65\r\n" + b"a" * 101)  # its end never comes
    assert (await connection.reply()).status == 413


async def test_a_client_still_sending_gets_to_read_its_413(serve: Serve) -> None:
    connection = await (await serve()).connect()
    await connection.send(b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
    await connection.send(b"a" * 1_000_000)
    assert (await connection.reply()).status == 413
    assert await connection.ended() == b""


async def test_who_expects_a_100_for_too_much_is_told_at_once(serve: Serve) -> None:
    connection = await (await serve(body=1)).connect()
    raw = b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert (await connection.ask(raw)).status == 413


async def test_a_body_as_large_as_allowed_is_served(serve: Serve) -> None:
    body = b"a" * 65536
    raw = b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n" + body
    assert bytes.fromhex((await (await serve()).ask(raw)).json()["body"]) == body


async def test_a_body_sent_ahead_of_its_turn_is_served(serve: Serve, echo: ModuleType) -> None:
    connection = await (await serve()).connect()
    head = b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n"
    await connection.send(get("/api/stays") + head + b"a" * 20000)
    await echo.arrived.get()
    echo.may_end.set()
    assert (await connection.reply()).body == b"ended"
    await connection.send(b"a" * 20000)
    await connection.send(b"a" * 20000)
    assert bytes.fromhex((await connection.reply()).json()["body"]) == b"a" * 60000


async def test_an_early_answer_ends_the_connection_with_its_body(serve: Serve) -> None:
    connection = await (await serve()).connect()
    reply = await connection.ask(b"POST /api/nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
    assert (reply.status, reply.header("connection")) == (404, "close")
    await connection.send(b"GET /ap")  # the body's other bytes are no request
    assert await connection.ended() == b""


@pytest.mark.parametrize(
    "raw",
    [
        get("/api/any?a=" + "b" * 17000),
        get("/api/any", "X-One: " + "b" * 17000),
        get("/api/any", *(f"X-{number}: {'b' * 200}" for number in range(100))),
        get("/api/any", *(f"X-{number}: b" for number in range(200))),
        b"GET /api/any HTTP/1.1\r\nHost: h\r\nX-One: " + b"b" * 40000,  # no end
        b"GET /" + b"b" * 40000,
        get("/api/any", *(f"X-{number}: {'b' * 200}" for number in range(100)))[:-2],  # no end
    ],
)
async def test_a_head_that_is_too_large_is_refused(serve: Serve, raw: bytes) -> None:
    connection = await (await serve()).connect()
    reply = await connection.ask(raw)
    assert_problem(reply, 431, "head-too-large", "The request's line and headers are too large")
    assert await connection.ended() == b""


async def test_a_head_just_small_enough_is_served(serve: Serve) -> None:
    assert (await (await serve()).ask(get("/api/any?a=" + "b" * 8000, "X-One: " + "b" * 8000))).status == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /api/any HT",
        b"GET /api/any HTTP/1.1\r\nHost: h\r\n",
        b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /api/any HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_a_request_that_does_not_end_is_ended(
    serve: Serve, begun: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    connection = await (await serve(request=0.2)).connect()
    await connection.send(begun)
    assert await connection.ended() == b""
    assert caplog.records == []


async def test_a_request_that_trickles_is_ended(serve: Serve) -> None:
    connection = await (await serve(request=0.2)).connect()
    await connection.send(b"GET /api/any HTTP/1.1\r\n")
    ended = asyncio.create_task(connection.ended())
    while not ended.done():
        with suppress(ConnectionError):  # it may be cut off just now
            await connection.send(b"a")
        await asyncio.wait([ended], timeout=0.02)
    assert ended.result() == b""


@pytest.mark.slow
async def test_the_second_request_of_a_connection_has_no_more_time_than_the_first(serve: Serve) -> None:
    connection = await (await serve(request=0.7)).connect()
    assert (await connection.ask(get())).status == 200
    await connection.send(b"GET /api/any HT")
    assert await connection.ended() == b""


@pytest.mark.slow
@pytest.mark.parametrize("raw", [get("/api/stays"), CREATE.replace(b"any", b"stays")], ids=["GET", "POST"])
async def test_a_function_may_take_longer_than_a_request(serve: Serve, echo: ModuleType, raw: bytes) -> None:
    client = await serve(request=0.7)
    slow, silent = await client.connect(), await client.connect()
    await slow.send(raw)
    await echo.arrived.get()
    assert await silent.ended() == b""  # meanwhile a connection as old as that one is ended
    echo.may_end.set()
    assert (await slow.reply()).body == b"ended"


@pytest.mark.slow
@pytest.mark.parametrize(
    "raw", [get(), CREATE, PUT, CREATE.replace(b"any", b"nowhere")], ids=["200", "POST", "405", "404"]
)
async def test_between_two_requests_a_client_may_take_its_time(serve: Serve, raw: bytes) -> None:
    client = await serve(request=0.7)
    connection = await client.connect()
    status = (await connection.ask(raw)).status
    assert await (await client.connect()).ended() == b""  # younger, and ended: it never asked
    assert (await connection.ask(raw)).status == status


async def test_an_idle_connection_is_ended(serve: Serve) -> None:
    connection = await (await serve(keep_alive=0.5)).connect()
    assert (await connection.ask(get())).status == 200
    assert await connection.ended() == b""


@pytest.mark.parametrize("raw", [get("/api/large"), get("/api/any?a=" + "b" * 8000) * 2000], ids=["large", "many"])
async def test_who_reads_no_answers_is_ended(serve: Serve, raw: bytes) -> None:
    client = await serve(tls=False, request=0.3)  # uvloop's TLS client reads on when it is paused
    connection = await client.connect()
    await until(lambda: client.front.connections)
    connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sending = asyncio.create_task(connection.send(raw))
    await until(lambda: not client.front.connections)
    sending.cancel()


async def test_who_reads_a_large_answer_gets_all_of_it(serve: Serve) -> None:
    assert (await (await serve()).ask(get("/api/large"))).body == bytes(20_000_000)


async def test_no_more_connections_than_allowed_are_open(serve: Serve) -> None:
    client = await serve(connections=3)
    open_ones = [await client.connect() for _ in range(3)]
    for connection in open_ones:
        assert (await connection.ask(get())).status == 200
    with pytest.raises(ConnectionError):
        await client.connect()
    assert client.front.listener.refused == 1
    open_ones[0].writer.close()
    await until(lambda: len(client.front.connections) < 3)
    assert (await client.ask(get())).status == 200


async def test_without_files_for_more_clients_those_who_wait_are_served_later(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    client = await serve()
    monkeypatch.setattr("selfhost.listener.PAUSE", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", full)
        asking = asyncio.create_task(client.ask(get()))
        await until(lambda: caplog.records)
    assert (await asking).status == 200
    assert caplog.records[0].getMessage() == "no client can be accepted for 0 s: Too many open files"


@pytest.mark.slow
async def test_two_hundred_clients_are_served_side_by_side(serve: Serve) -> None:
    client = await serve()

    async def twice(number: int) -> list[str]:
        connection = await client.connect()
        replies = [await connection.ask(get(f"/api/any?n={number}")) for _ in range(2)]
        connection.writer.close()
        return [reply.json()["params"]["n"] for reply in replies]

    seen = await asyncio.gather(*(twice(number) for number in range(200)))
    assert seen == [[str(number)] * 2 for number in range(200)]
    assert client.front.listener.bad_handshakes == 0


@pytest.mark.slow
@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05junk!", b"\x00" * 100, b""])
async def test_a_bad_handshake_is_counted_and_hardly_mentioned(
    serve: Serve, junk: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "selfhost")
    client = await serve(handshake=1)
    connection = await client.open(None)
    await connection.send(junk)
    await connection.ended()
    await until(lambda: client.front.listener.bad_handshakes)
    assert [record.levelno for record in caplog.records] == [logging.DEBUG]
    assert "Traceback" not in capfd.readouterr().err
    assert (await client.ask(get())).status == 200


async def test_plain_http_is_spoken_to_nobody_who_means_tls(serve: Serve) -> None:
    client = await serve(tls=False)
    connection = await client.connect()
    await connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (await connection.ended()).startswith(b"HTTP/1.0 400")


async def test_a_client_that_leaves_disturbs_nobody(
    serve: Serve, echo: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve()
    for raw in (get("/api/stays"), b"POST /api/any HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"):
        connection = await client.connect()
        await connection.send(raw)
        if raw.startswith(b"GET"):
            await echo.arrived.get()
        connection.writer.transport.abort()
    echo.may_end.set()
    await until(lambda: not client.front.connections)
    assert caplog.records == []
    assert (await client.ask(get())).status == 200
