"""The door: few handshakes at once, each source its turn, and nobody stands there for ever."""

import asyncio
import logging
import socket
from types import ModuleType

import pytest

from selfhost.listener import source_of
from selfhost.turns import Rules
from tests.selfhost.clients import Client, Connection, get, until
from tests.selfhost.conftest import Serve

ANOTHER = ("127.0.0.2", 0)
ONE = Rules(1, share=1, queue=99, long=1000.0, round=1)  # a handshake counts until it ends


async def silent(client: Client, source: tuple[str, int] | None = None) -> Connection:
    """Who connects, and begins no handshake."""
    connection = Connection(*await asyncio.open_connection("127.0.0.1", client.port, local_addr=source))
    client._opened.append(connection)
    return connection


async def from_another(client: Client) -> Connection:
    """Connected from another address than all the others."""
    context = client.context()
    context.check_hostname = False
    connection = Connection(
        *await asyncio.open_connection("127.0.0.1", client.port, ssl=context, server_hostname="", local_addr=ANOTHER)
    )
    client._opened.append(connection)
    return connection


async def test_who_waits_for_a_handshake_gets_it_when_another_ends(serve: Serve) -> None:
    client = await serve(handshakes=ONE)
    first = await silent(client)
    await until(lambda: client.front.listener.handshakes)
    asking = asyncio.create_task(client.ask(get()))
    await until(lambda: client.front.listener.waiting == 1)
    first.writer.transport.abort()
    assert (await asking).status == 200
    assert client.front.listener.waiting == 0


async def test_a_silent_client_keeps_nobody_from_a_handshake(serve: Serve) -> None:
    client = await serve(handshakes=Rules(1, 1, 99, 0.05))
    for _ in range(3):
        await silent(client)
    assert (await client.ask(get())).status == 200


async def test_established_connections_are_served_while_others_wait_at_the_door(serve: Serve) -> None:
    client = await serve(handshakes=ONE)
    connection = await client.connect()
    for _ in range(5):
        await silent(client)
    await until(lambda: client.front.listener.waiting == 4)
    assert (await connection.ask(get())).status == 200
    assert client.front.listener.waiting == 4


async def test_of_one_source_no_more_wait_than_may(serve: Serve) -> None:
    client = await serve(handshakes=Rules(1, 1, 2, 1000.0))
    for _ in range(3):
        await silent(client)
    await until(lambda: client.front.listener.waiting == 2)
    with pytest.raises(ConnectionResetError):
        await (await silent(client)).reader.read()
    assert client.front.listener.crowded_out == 1
    await silent(client, ANOTHER)
    await until(lambda: client.front.listener.waiting == 3)
    assert client.front.listener.crowded_out == 1


async def test_sources_take_turns(serve: Serve) -> None:
    client = await serve(handshakes=ONE)
    crowd = [await silent(client) for _ in range(20)]
    await until(lambda: client.front.listener.waiting == 19)
    asking = asyncio.create_task(from_another(client))
    await until(lambda: client.front.listener.waiting == 20)
    for each in crowd[:2]:  # who is in its handshake, and the one whose turn was before another source came
        each.writer.transport.abort()
    assert (await (await asking).ask(get())).status == 200
    assert client.front.listener.waiting == 17


async def test_who_waits_for_longer_than_a_handshake_may_take_is_sent_away(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = await serve(handshakes=ONE, handshake=0.2)
    connections = [await silent(client) for _ in range(3)]
    for connection in connections:
        assert await connection.ended() == b""
    listener = client.front.listener
    await until(lambda: not listener.handshakes)
    assert listener.late + listener.bad_handshakes == 3 and listener.late > 0
    assert caplog.records == []


async def test_who_waits_counts_as_a_connection(serve: Serve) -> None:
    client = await serve(handshakes=ONE, connections=3)
    for _ in range(3):
        await silent(client)
    await until(lambda: client.front.listener.waiting == 2)
    assert await (await silent(client)).ended() == b""
    assert client.front.listener.refused == 1


async def test_one_source_has_its_share_of_the_connections_and_no_more(serve: Serve) -> None:
    client = await serve(connections=4, of_source=2)
    ours = [await client.connect() for _ in range(2)]
    with pytest.raises(ConnectionError):
        await client.connect()
    others = await from_another(client)
    assert (await others.ask(get())).status == 200
    assert client.front.listener.refused == 1
    ours[0].writer.close()
    await until(lambda: len(client.front.clients) == 2)
    assert (await (await client.connect()).ask(get())).status == 200
    assert client.front.listener.refused == 1


async def test_who_stands_at_the_door_counts_for_its_source(serve: Serve) -> None:
    client = await serve(handshakes=Rules(9, 9, 99, 1000.0), connections=9, of_source=2)
    standing = [await silent(client) for _ in range(2)]
    await until(lambda: len(client.front.listener.handshakes) == 2)
    assert await (await silent(client)).ended() == b""
    await silent(client, ANOTHER)
    await until(lambda: len(client.front.listener.handshakes) == 3)
    assert client.front.listener.refused == 1
    standing[0].writer.transport.abort()
    await until(lambda: len(client.front.listener.handshakes) == 2)
    assert (await client.ask(get())).status == 200


async def test_nothing_is_kept_of_a_source_that_has_gone(serve: Serve) -> None:
    client = await serve(of_source=2)
    connections = [await client.connect(), await silent(client)]
    assert (await connections[0].ask(get())).status == 200
    for connection in connections:
        connection.writer.transport.abort()
    await until(lambda: not client.front.clients and not client.front.listener.handshakes)
    assert not client.front._of_source and not client.front.listener._at_door


@pytest.mark.slow
async def test_a_stop_waits_for_nobody_at_the_door(serve: Serve, echo: ModuleType) -> None:
    client = await serve(handshakes=ONE)
    connections = [await silent(client) for _ in range(3)]
    await until(lambda: client.front.listener.waiting == 2)
    async with asyncio.timeout(5):
        await client.front.stop(patience=30)
    for connection in connections:
        assert await connection.ended() == b""


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%lo", "fe80::"),
        ("::1", "::"),
    ],
)
def test_a_source_is_an_address_or_what_one_host_has_of_them(address: str, source: str) -> None:
    assert source_of(address) == source
    assert socket.inet_pton(socket.AF_INET6 if ":" in source else socket.AF_INET, source)
