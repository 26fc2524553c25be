"""The revocation list: one signature for all who ask within ten minutes, and an old list where none can be made."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.domain import enrolment
from shared.domain.errors import AuthorityUnavailable
from shared.domain.holders import Holder, Issued
from shared.domain.policy import CLOCK_SKEW, DAY
from shared.domain.revocation_list import AGAIN, GOOD, REMADE, RevocationList
from tests.domain.issuing import ALICE, Desk
from tests.domain.rig import LoopClock, virtual


class Slow:
    """A CA whose key is far away: each try takes seconds, and may come to nothing."""

    def __init__(self, seconds: float = 9.0):
        self.clock, self.seconds, self.broken, self.tries = LoopClock(), seconds, False, 0
        self.list = RevocationList(self, self, self.clock)  # type: ignore[arg-type]

    async def revoked(self, since: float) -> Sequence[Holder]:
        return []

    async def revocation_list(self, revoked: Sequence[Issued], number: int, now: float, until: float) -> bytes:
        self.tries += 1
        await asyncio.sleep(self.seconds)
        if self.broken:
            raise AuthorityUnavailable("no answer")
        return b"%d" % self.tries

    async def ask(self, times: int = 1) -> float:
        """How long so many have to wait who ask at once."""
        began = self.clock.monotonic()
        await asyncio.gather(*(self.list.current() for _ in range(times)), return_exceptions=True)
        return self.clock.monotonic() - began


async def listed(desk: Desk, made: RevocationList) -> list[str]:
    return (await made.current()).decode().split()


async def test_what_is_revoked_is_on_it_until_nobody_accepts_it_any_more():
    desk = Desk()
    made = RevocationList(desk.store, desk.authority, desk.clock)
    token = await enrolment.invite(desk.store, desk.clock, ALICE, DAY, "operator")
    issued = (await enrolment.enrol(desk.issuing, token, b"a key")).issued
    await enrolment.enrol(desk.issuing, await enrolment.invite(desk.store, desk.clock, ALICE, DAY, "ops"), b"other")
    assert await listed(desk, made) == []
    await enrolment.revoke(desk.store, desk.clock, ALICE, "", issued.serial)
    desk.clock.turn(REMADE)
    assert await listed(desk, made) == [issued.serial]
    desk.clock.turn(issued.until + CLOCK_SKEW - desk.clock.now() - 1)
    assert await listed(desk, made) == [issued.serial]
    desk.clock.turn(REMADE)
    assert await listed(desk, made) == []


@virtual
async def test_all_who_ask_within_ten_minutes_share_one_signature():
    slow = Slow()
    assert await slow.ask(100) == 9.0
    await asyncio.sleep(REMADE - 1)
    assert await slow.ask(100) == 0.0 and slow.tries == 1
    await asyncio.sleep(1)
    assert await slow.ask(100) == 9.0 and slow.tries == 2


@virtual
async def test_who_asks_while_no_list_can_be_made_waits_for_one_try_at_most():
    slow = Slow()
    slow.broken = True
    assert await slow.ask(100) == 9.0, "not each for all tries of those before it"
    with pytest.raises(AuthorityUnavailable):
        await slow.list.current()
    assert slow.tries == 1
    await asyncio.sleep(AGAIN)
    slow.broken = False
    assert await slow.ask() == 9.0 and await slow.list.current() == b"2"
    await asyncio.sleep(REMADE)
    slow.broken = True
    assert await slow.ask(100) == 9.0
    assert await slow.list.current() == b"2"
    assert slow.tries == 3


@virtual
async def test_an_old_list_serves_no_longer_than_it_is_good():
    slow = Slow(seconds=0.0)
    await slow.ask()
    slow.broken = True
    await asyncio.sleep(GOOD - CLOCK_SKEW - 1)
    assert await slow.list.current() == b"1"
    await asyncio.sleep(1)
    with pytest.raises(AuthorityUnavailable):
        await slow.list.current()
    slow.broken = False
    await asyncio.sleep(AGAIN)
    assert await slow.list.current() != b"1"


async def test_each_list_has_a_higher_number_than_the_one_before():
    desk = Desk()
    for _ in range(3):  # processes, one after the other
        await RevocationList(desk.store, desk.authority, desk.clock).current()
        desk.clock.turn(0.01)
    numbers = [number for _, number in desk.authority.lists]
    assert numbers == sorted(set(numbers))
