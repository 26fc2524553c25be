"""A round of the loop reads few, of every tenant in turn, and nobody's bytes are lost or out of order."""

import asyncio
from typing import Any

import pytest

from selfhost.rounds import ALONE, BREATH, CONTESTED, FRESH, LITTLE, REST, Rounds
from selfhost.turns import CROWD
from tests.selfhost.clients import until


class Client:
    """It keeps what it read, and in which round that was."""

    def __init__(self, tenant: str, name: str, read: list[tuple[str, bytes]]):
        self.tenant, self.name, self._read = tenant, name, read
        self.listens = True

    def read(self, data: bytes) -> None:
        assert self.listens, "it reads on"
        self._read.append((self.name, data))

    def pause(self) -> None:
        self.listens = False

    def resume(self) -> None:
        self.listens = True


@pytest.fixture
def read() -> list[tuple[str, bytes]]:
    return []


async def test_who_comes_alone_is_read_at_once_and_again_in_the_next_round(read: list[tuple[str, bytes]]):
    rounds, client = Rounds(), Client("a", "one", read)
    for piece in (b"1", b"2", b"3"):
        rounds.arrived(client, piece)
        assert read[-1] == ("one", piece)
        await asyncio.sleep(0)
    assert rounds.waiting == 0


async def test_a_round_reads_few_of_a_crowd_and_the_next_ones_the_others(read: list[tuple[str, bytes]]):
    rounds = Rounds()
    crowd = [Client("a", f"client {n}", read) for n in range(3 * ALONE + 1)]
    for client in crowd:
        rounds.arrived(client, b"x")
    assert (len(read), rounds.waiting) == (ALONE, 2 * ALONE + 1)
    for many in (2, 3):
        await asyncio.sleep(0)
        assert len(read) == many * ALONE
    await asyncio.sleep(0)
    assert [name for name, _ in read] == [client.name for client in crowd]
    assert rounds.waiting == 0


async def test_who_waits_and_has_sent_much_is_not_listened_to_until_it_is_read(read: list[tuple[str, bytes]]):
    rounds = Rounds()
    for n in range(ALONE):
        rounds.arrived(Client("a", f"{n}", read), b"x")
    little, much, pieces = (Client("a", name, read) for name in ("little", "much", "pieces"))
    rounds.arrived(little, b"x" * LITTLE)
    rounds.arrived(much, b"x" * (LITTLE + 1))
    rounds.arrived(pieces, b"x" * LITTLE)
    rounds.arrived(pieces, b"x")
    assert [client.listens for client in (little, much, pieces)] == [True, False, False]
    await asyncio.sleep(0)
    assert [client.listens for client in (little, much, pieces)] == [True, True, True]
    assert rounds.waiting == 0


async def test_another_tenant_is_read_next_however_many_wait(read: list[tuple[str, bytes]]):
    rounds = Rounds()
    for n in range(100):
        rounds.arrived(Client("storm", f"storm {n}", read), b"x")
    rounds.arrived(Client("calm", "calm", read), b"y")
    before = len(read)
    for _ in range(2):
        await asyncio.sleep(0)
    assert ("calm", b"y") in read[: before + 2 * CONTESTED]
    assert len(read) == before + 2 * CONTESTED, "while another one comes, a round reads fewer"


async def test_what_comes_while_it_waits_is_read_with_what_came_before(read: list[tuple[str, bytes]]):
    rounds = Rounds()
    for n in range(ALONE):
        rounds.arrived(Client("a", f"{n}", read), b"x")
    client = Client("a", "late", read)
    rounds.arrived(client, b"1")
    rounds.arrived(client, b"2")
    assert rounds.waiting == 1
    await asyncio.sleep(0)
    assert read[-1] == ("late", b"12")


async def test_who_is_gone_is_not_read(read: list[tuple[str, bytes]]):
    rounds = Rounds()
    crowd = [Client("a", f"client {n}", read) for n in range(ALONE + 2)]
    for client in crowd:
        rounds.arrived(client, b"x")
    for gone in (crowd[0], crowd[-1], crowd[-1]):
        rounds.leave(gone)
    assert rounds.waiting == 1
    await asyncio.sleep(0)
    assert [name for name, _ in read] == [client.name for client in crowd[:-1]]
    rounds.leave(crowd[-2])
    assert rounds.waiting == 0


async def test_a_tenant_of_whom_nobody_waits_is_read_at_once_while_a_crowd_of_another_waits(
    read: list[tuple[str, bytes]],
):
    rounds = contested(read)
    await asyncio.sleep(0)  # in this round it was not known that others come
    came = [Client(f"calm {n}", f"calm {n}", read) for n in range(FRESH + 1)]
    for client in (Client("storm", "no place before its tenant's others", read), *came):
        rounds.arrived(client, b"y")
    assert [name for name, _ in read][-FRESH - 1 :] == ["storm 8", *(client.name for client in came[:-1])]


async def test_the_loop_rests_from_a_crowd_while_others_come_and_reads_them_meanwhile(
    read: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("selfhost.rounds.REST", 1000)
    rounds = contested(read)
    for _ in range(10 * BREATH):
        await asyncio.sleep(0)
    before = len(read)
    assert before < ALONE + 2 * BREATH + 2
    rounds.arrived(Client("calm", "again", read), b"y")
    assert read[before:] == [("again", b"y")]


async def test_the_loop_rests_from_no_crowd_that_is_alone_nor_from_a_few(
    read: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("selfhost.rounds.REST", 1000)
    alone = Rounds()
    for n in range(3 * CROWD):
        alone.arrived(Client("a", f"{n}", read), b"x")
    few = contested(read, many=CROWD // 2)
    for _ in range(3 * CROWD):
        await asyncio.sleep(0)
    assert alone.waiting == few.waiting == 0


async def test_after_its_rest_the_loop_reads_on(read: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch):
    loop = asyncio.get_running_loop()
    later: list[float] = []
    call_later = loop.call_later

    def called_later(seconds: float, *callback: Any) -> asyncio.TimerHandle:
        later.append(seconds)
        return call_later(seconds, *callback)

    monkeypatch.setattr(loop, "call_later", called_later)
    rounds = contested(read)
    await until(lambda: rounds.waiting == 0)
    assert len(read) == 2 * CROWD + 1
    assert later.count(REST) == (CROWD - ALONE) // BREATH, "after so many, and not after each"


def contested(read: list[tuple[str, bytes]], many: int = 2 * CROWD) -> Rounds:
    """So many of one tenant have come, and then one of another."""
    rounds = Rounds()
    for n in range(many):
        rounds.arrived(Client("storm", f"storm {n}", read), b"x")
    rounds.arrived(Client("calm", "calm", read), b"y")
    return rounds
