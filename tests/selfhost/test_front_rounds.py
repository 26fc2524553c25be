"""The front reads what came at once a little a round of the loop, and gives memory back when a crowd has gone."""

import asyncio

import pytest

from selfhost import memory, rounds
from selfhost.connections import Connection
from tests.selfhost.clients import get, until
from tests.selfhost.conftest import Serve

ASKED = get("/api/any")


@pytest.mark.parametrize("tls", [True, False])
async def test_many_who_ask_at_once_are_all_answered_and_wait_for_each_other(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(rounds, "ALONE", 1)
    client = await serve(tls=tls)
    waited, read = [], Connection.read

    def seen(connection: Connection, data: bytes) -> None:
        waited.append(client.front.rounds.waiting)
        read(connection, data)

    monkeypatch.setattr(Connection, "read", seen)
    crowd = [await client.connect() for _ in range(20)]
    await asyncio.gather(*(each.send(ASKED) for each in crowd))
    replies = [await each.reply() for each in crowd]
    assert [reply.status for reply in replies] == [200] * 20
    assert max(waited) > 1 and client.front.rounds.waiting == 0


@pytest.mark.parametrize("tls", [True, False])
async def test_what_is_never_read_is_cut_off_in_time_and_forgotten(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    monkeypatch.setattr(rounds, "ALONE", 0)
    client = await serve(tls=tls, request=0.2)
    connection = await client.connect()
    await connection.send(ASKED)
    await until(lambda: client.front.rounds.waiting == 1)
    assert await connection.ended() == b""
    await until(lambda: not client.front.clients)
    assert client.front.rounds.waiting == 0


async def test_memory_is_given_back_when_most_of_a_crowd_have_gone(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[None] = []
    numbers, look = [0], memory.Memory.seen

    def seen(self: memory.Memory, connections: int) -> bool:
        numbers.append(connections)
        return look(self, connections)

    monkeypatch.setattr(memory.Memory, "seen", seen)
    monkeypatch.setattr(memory, "MANY", 8)
    monkeypatch.setattr(memory, "give_back", lambda: given_back.append(None))
    client = await serve(request=0.1)  # which is how often it looks, too
    crowd = [await client.connect() for _ in range(10)]
    for each in crowd:
        assert (await each.ask(ASKED)).status == 200
    await until(lambda: numbers[-1] == 10)
    client.leave()
    await until(lambda: numbers[-1] == 0)
    assert len(given_back) == 1
