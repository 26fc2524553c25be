"""A round of the loop reads few, of every tenant in turn, and nobody's bytes are lost or out of order."""

import asyncio

import pytest

from selfhost.rounds import ALONE, CONTESTED, Rounds


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
    assert [client.listens for client in crowd] == [True] * ALONE + [False] * (2 * ALONE + 1)
    for many in (2, 3):
        await asyncio.sleep(0)
        assert len(read) == many * ALONE
    await asyncio.sleep(0)
    assert [name for name, _ in read] == [client.name for client in crowd]
    assert rounds.waiting == 0 and all(client.listens for client in crowd)


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
