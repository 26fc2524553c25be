"""What is revoked is refused within 30 s; what is not to be known stops all but beats after a minute."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared.domain.errors import NotAuthenticated, PlaygroundError, StoreUnavailable
from shared.domain.holders import Holder, Issued
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR
from shared.domain.revocations import BEAT, Revocations
from tests.domain.rig import LoopClock, virtual

ALICE = Principal("default", Role.USER, "alice", "ab")


class Shelf:
    """What `Holders.revoked` finds. `trouble` is raised, `seconds` is how long an answer takes."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.holders: list[Holder] = []
        self.asked: list[float] = []
        self.seconds = 0.0
        self.trouble: Exception | None = None

    async def revoked(self, since: float) -> Sequence[Holder]:
        self.asked.append(since)
        found = [each for each in self.holders if each.revoked_at > since]
        await asyncio.sleep(self.seconds)
        if self.trouble:
            raise self.trouble
        return found

    def revoke(self, who: Principal = ALICE, until: float = 30 * DAY) -> None:
        now = self.clock.now()
        issued = Issued(who.serial, who.role, now - DAY, now + until, revoked_at=now)
        self.holders.append(Holder(Owner(who.tenant, who.name), (), (issued,), now))


async def accepted(revocations: Revocations, who: Principal = ALICE, *, beat: bool = False) -> bool:
    try:
        await revocations.check(who, beat=beat)
    except NotAuthenticated:
        return False
    return True


@pytest.mark.parametrize("beat", [False, True])
@pytest.mark.parametrize("every", [1.0, 9.0, 14.0, 29.0])
@virtual
async def test_what_is_revoked_is_refused_within_30_s_however_often_somebody_calls(every: float, beat: bool):
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    assert await accepted(revocations, beat=beat)
    shelf.revoke()
    revoked_at = shelf.clock.now()
    while await accepted(revocations, beat=beat):
        assert shelf.clock.now() - revoked_at < 30
        await asyncio.sleep(every)
    await asyncio.sleep(HOUR)
    assert not await accepted(revocations, beat=beat)


@virtual
async def test_after_an_hour_without_a_call_the_first_waits_for_the_truth():
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    await accepted(revocations)
    await asyncio.sleep(HOUR)
    shelf.revoke()
    shelf.seconds = 0.5
    assert not await accepted(revocations)


@virtual
async def test_it_is_read_once_in_ten_seconds_whoever_calls():
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    shelf.seconds = 0.2
    for _ in range(30):
        await asyncio.gather(*(accepted(revocations) for _ in range(50)))
        await asyncio.sleep(1)
    assert len(shelf.asked) <= 4


@virtual
async def test_what_was_written_by_a_clock_that_is_behind_is_found_all_the_same():
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    await accepted(revocations)
    shelf.revoke()
    shelf.holders = [replace(each, revoked_at=each.revoked_at - 2 * CLOCK_SKEW) for each in shelf.holders]
    await asyncio.sleep(30)
    assert not await accepted(revocations)


@virtual
async def test_a_minute_without_news_ends_everything_but_beats():
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    assert await accepted(revocations)
    shelf.trouble = StoreUnavailable("gone", retry_after=1)
    for _ in range(5):
        await asyncio.sleep(11)
        assert await accepted(revocations), "what was known a moment ago still counts"
    await asyncio.sleep(5)
    with pytest.raises(StoreUnavailable, match="cannot be read: gone"):
        await accepted(revocations)
    assert await accepted(revocations, beat=True)
    shelf.trouble = None
    assert await accepted(revocations)


@virtual
async def test_an_outage_is_one_line_and_when_it_is_over_beats_wait_for_news_as_before(
    caplog: pytest.LogCaptureFixture,
):
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    shelf.trouble = StoreUnavailable("gone")
    for _ in range(10):
        await accepted(revocations, beat=True)
        await asyncio.sleep(20)
    assert caplog.text.count("cannot be read: gone") == 1
    shelf.trouble, shelf.seconds = None, 0.5
    assert await accepted(revocations)
    await asyncio.sleep(HOUR)
    shelf.revoke()
    assert not await accepted(revocations, beat=True)


@virtual
async def test_what_is_known_is_as_old_as_the_beginning_of_its_read():
    shelf = Shelf()
    shelf.seconds = 4.0
    revocations = Revocations(shelf.revoked, shelf.clock)
    assert await accepted(revocations)
    assert revocations.age == 4.0


@virtual
async def test_a_process_that_never_heard_anything_refuses_all_but_beats():
    shelf = Shelf()
    shelf.trouble = StoreUnavailable("gone")
    revocations = Revocations(shelf.revoked, shelf.clock)
    with pytest.raises(StoreUnavailable):
        await accepted(revocations)
    assert await accepted(revocations, beat=True)


@virtual
async def test_what_is_known_to_be_revoked_stays_so_while_nothing_can_be_read():
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    shelf.revoke()
    assert not await accepted(revocations)
    shelf.trouble = StoreUnavailable("gone")
    await asyncio.sleep(HOUR)
    assert not await accepted(revocations, beat=True)


@virtual
async def test_a_beat_waits_a_second_for_a_store_that_hangs_and_then_no_more():
    shelf = Shelf()
    shelf.seconds, shelf.trouble = 5.0, StoreUnavailable("no answer")
    revocations = Revocations(shelf.revoked, shelf.clock)
    began = shelf.clock.now()
    assert await accepted(revocations, beat=True)
    assert shelf.clock.now() - began == pytest.approx(BEAT)
    await asyncio.sleep(5)
    began = shelf.clock.now()
    assert await accepted(revocations, beat=True)
    assert shelf.clock.now() == began


@virtual
async def test_a_bug_of_ours_lets_nobody_in_and_says_no_more_than_that():
    shelf = Shelf()
    shelf.trouble = ZeroDivisionError("x")
    revocations = Revocations(shelf.revoked, shelf.clock)
    with pytest.raises(PlaygroundError) as told:
        await accepted(revocations)
    assert type(told.value) is PlaygroundError
    assert await accepted(revocations, beat=True)


@virtual
async def test_nobody_ends_a_certificate_of_another_tenant_or_name():
    shelf = Shelf()
    for who in (replace(ALICE, tenant="other"), replace(ALICE, name="bob"), replace(ALICE, serial="cd")):
        shelf.revoke(who)
    assert await accepted(Revocations(shelf.revoked, shelf.clock))


@virtual
async def test_what_has_ended_is_forgotten_within_a_day_or_two():
    shelf = Shelf()
    revocations = Revocations(shelf.revoked, shelf.clock)
    shelf.revoke(until=DAY)
    assert not await accepted(revocations)
    await asyncio.sleep(3 * DAY)
    assert await accepted(revocations)
    assert 0.0 in shelf.asked[1:], "all of it was read anew"


@virtual
async def test_whoever_hangs_up_ends_nobody_elses_wait():
    shelf = Shelf()
    shelf.seconds = 2.0
    shelf.revoke()
    revocations = Revocations(shelf.revoked, shelf.clock)
    first, second = (asyncio.create_task(accepted(revocations)) for _ in range(2))
    await asyncio.sleep(1)
    first.cancel()
    assert not await second
    assert len(shelf.asked) == 1


@virtual
async def test_closing_ends_what_is_under_way():
    shelf = Shelf()
    shelf.seconds = 100.0
    revocations = Revocations(shelf.revoked, shelf.clock)
    await accepted(revocations, beat=True)
    await revocations.close()
    assert len(asyncio.all_tasks()) == 1
