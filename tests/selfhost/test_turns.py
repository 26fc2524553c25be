"""Turns: few at once, each group its own, and none is lost whoever comes, goes or stays."""

import asyncio
from collections.abc import Awaitable
from itertools import pairwise

from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from selfhost.turns import CROWD, Rules, Turns
from tests.domain.rig import virtual
from tests.virtual import VirtualLoop

LONG = 5.0


class Hall:
    """Who had a turn, and in which order."""

    def __init__(
        self, at_once: int = 1, share: int = 10_000, queue: int = 10_000, in_a_round: int = 0, contested: int = 0
    ):
        self.turns = Turns(Rules(at_once, share, queue, LONG, in_a_round, contested))
        self.order: list[str] = []
        self.acting = self.most = 0

    async def visit(self, group: str, seconds: float = 1.0, who: object = None) -> None:
        who = who or object()
        if not self.turns.begin(who, group):
            await self.turns.wait(who, group)
        self.order.append(group)
        self.acting += 1
        self.most = max(self.most, self.acting)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.acting -= 1
            self.turns.end(who)

    def many(self, group: str, count: int, seconds: float = 1.0) -> Awaitable[list[None]]:
        return asyncio.gather(*(self.visit(group, seconds) for _ in range(count)))

    def empty(self) -> bool:
        turns = self.turns
        return not (turns._begun or turns._of or turns._queues or turns._group or turns.waiting)


@virtual
async def test_no_more_act_at_once_than_there_are_turns():
    hall = Hall(at_once=4)
    await hall.many("a", 20)
    assert (hall.most, len(hall.order)) == (4, 20) and hall.empty()
    assert asyncio.get_running_loop().time() == 5.0


@virtual
async def test_groups_are_called_in_turn_however_many_of_one_wait():
    hall = Hall()
    await asyncio.gather(hall.many("a", 5), hall.many("b", 2), hall.many("c", 2))
    assert "".join(hall.order) == "aabcabcaa"


@virtual
async def test_behind_anothers_thousand_one_waits_for_two_of_them():
    hall = Hall()
    storm = asyncio.ensure_future(hall.many("a", 1000))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await hall.visit("b", seconds=0)
    assert asyncio.get_running_loop().time() - began <= 2.0, "who is at it, and the one who was next"
    await storm
    assert hall.empty()


@virtual
async def test_a_group_has_no_more_than_its_share_and_another_need_not_wait_for_it():
    hall = Hall(at_once=4, share=3)
    storm = asyncio.ensure_future(hall.many("a", 30))
    await asyncio.sleep(0)
    assert hall.acting == 3
    await hall.visit("b", seconds=0)
    assert asyncio.get_running_loop().time() == 0
    await storm
    assert hall.most == 4 and hall.empty()
    assert asyncio.get_running_loop().time() == 10.0


@virtual
async def test_no_more_begin_in_one_round_of_the_loop_than_may():
    hall = Hall(at_once=10, in_a_round=2)
    storm = asyncio.ensure_future(hall.many("a", 10))
    seen = [0]
    while len(hall.order) < 10:
        await asyncio.sleep(0)
        seen.append(len(hall.order))
    assert max(after - before for before, after in pairwise(seen)) == 2
    await storm
    assert asyncio.get_running_loop().time() == 1.0 and hall.empty()


@virtual
async def test_a_turn_that_is_long_keeps_nobody_waiting():
    hall = Hall(at_once=2)
    slow = asyncio.ensure_future(hall.many("a", 6, seconds=100))
    await asyncio.sleep(0)
    await hall.visit("b")
    assert asyncio.get_running_loop().time() == LONG + 1
    await slow
    assert hall.most > 2 and hall.empty()


@virtual
async def test_all_turns_that_are_free_at_once_are_given_though_another_group_has_its_share():
    hall = Hall(at_once=4, share=2)
    slow = [asyncio.ensure_future(hall.many("c", 2, seconds=100))]
    await asyncio.sleep(1)
    slow.append(asyncio.ensure_future(hall.many("a", 3, seconds=100)))
    await asyncio.sleep(0)
    await hall.many("b", 2)
    assert asyncio.get_running_loop().time() == LONG + 1, "both when the first two turns are long"
    await asyncio.gather(*slow)
    assert hall.empty()


@virtual
async def test_a_long_turn_is_found_out_by_who_comes_later_too():
    hall = Hall()
    slow = asyncio.ensure_future(hall.visit("a", seconds=100))
    await asyncio.sleep(LONG)
    assert hall.turns.begin("b", "b")
    hall.turns.end("b")
    await slow
    assert hall.empty()


@virtual
async def test_who_leaves_the_queue_gets_no_turn_and_keeps_nobody_from_theirs():
    hall = Hall()
    first = asyncio.ensure_future(hall.visit("a"))
    leaving, cancelled, last = (asyncio.ensure_future(hall.visit("a", who=who)) for who in ("leaves", "ends", "last"))
    await asyncio.sleep(0)
    assert hall.turns.waiting == 3
    hall.turns.leave("leaves")
    hall.turns.leave("nobody")
    cancelled.cancel()
    assert hall.turns.waiting == 2
    await asyncio.gather(first, leaving, cancelled, last, return_exceptions=True)
    assert leaving.cancelled() and cancelled.cancelled()
    assert hall.order == ["a", "a"] and hall.empty()


@virtual
async def test_who_is_called_just_when_it_gives_up_gives_its_turn_back():
    hall = Hall()
    first, second = (asyncio.ensure_future(hall.visit("a")) for _ in range(2))
    await asyncio.sleep(0)
    hall.turns.end(next(iter(hall.turns._begun)))  # calls the second
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert hall.order == ["a"] and hall.empty()


@virtual
async def test_a_full_queue_says_when_a_turn_would_come_at_the_latest():
    hall = Hall(at_once=2, queue=3)
    tasks = [asyncio.ensure_future(hall.visit("a", seconds=100)) for _ in range(5)]
    await asyncio.sleep(0)
    assert hall.turns.crowded("b") == 0
    tasks.append(asyncio.ensure_future(hall.visit("b")))
    await asyncio.sleep(0)
    assert hall.turns.crowded("a") == 15, "3 before it, 2 queues, 2 at once, 5 s each"
    assert hall.turns.crowded_out == 1
    await asyncio.gather(*tasks)


@virtual
async def test_the_latest_turn_is_told_by_a_groups_share_and_by_how_many_groups_wait():
    narrow = Hall(at_once=4, share=2, queue=3)
    tasks = [asyncio.ensure_future(narrow.visit("a", seconds=100)) for _ in range(5)]
    many = Hall(at_once=1, queue=2)
    tasks += [asyncio.ensure_future(many.visit(group, seconds=100)) for group in "xaabbccdd"]
    await asyncio.sleep(0)
    assert narrow.turns.crowded("a") == 8, "3 before it, 2 at once, 5 s each"
    assert many.turns.crowded("a") == 40, "2 before it in each of 4 queues, 5 s each"
    await asyncio.gather(*tasks)


@virtual
async def test_who_comes_new_overtakes_nobody_of_its_group_though_a_turn_is_long():
    turns = Turns(Rules(at_once=1, share=1, queue=10, long=0.0))
    assert turns.begin("first", "a")
    second = asyncio.ensure_future(turns.wait("second", "a"))
    await asyncio.sleep(0)
    assert not turns.begin("third", "a")
    await second
    assert list(turns._begun) == ["second"]


comings = st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 9), st.integers(0, 20), st.booleans())


@hypothesis(max_examples=300, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.lists(comings, max_size=25))
def test_whoever_comes_goes_or_stays_long_no_turn_is_lost(
    at_once: int, share: int, in_a_round: int, comings: list[tuple[str, int, int, int, bool]]
):
    hall = Hall(at_once, share, in_a_round=in_a_round)

    async def come(group: str, at: int, takes: int, gives_up_after: int, cancelled: bool) -> None:
        await asyncio.sleep(at)
        who = object()
        task = asyncio.ensure_future(hall.visit(group, takes, who))
        if gives_up_after:
            give_up = task.cancel if cancelled else lambda: hall.turns.leave(who)
            asyncio.get_running_loop().call_later(gives_up_after, give_up)
        await asyncio.gather(task, return_exceptions=True)
        assert len(hall.turns._begun) <= at_once and all(turns <= share for turns in hall.turns._of.values())

    async def story() -> None:
        await asyncio.gather(*(come(*coming) for coming in comings))
        async with asyncio.timeout(LONG):
            await hall.visit("last", seconds=0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert hall.empty()


# While others come, too


@virtual
async def test_a_group_has_fewer_turns_while_another_comes_and_all_of_its_share_a_second_after_that():
    hall = Hall(at_once=20, share=8, contested=2)
    await asyncio.gather(hall.many("a", 8))
    assert hall.most == 8, "it was alone"
    hall.most = 0
    await asyncio.gather(hall.many("b", 8), hall.many("a", 8))
    assert hall.most == 4 and hall.empty()
    await asyncio.sleep(1.0)
    hall.most = 0
    await hall.many("a", 8)
    assert hall.most == 8


@virtual
async def test_who_keeps_a_crowd_waiting_while_another_comes_has_one_turn():
    hall = Hall(at_once=20, share=8, contested=2)
    crowd = hall.many("a", CROWD + 20, seconds=0.1)
    calm = asyncio.create_task(calmly(hall))
    await asyncio.sleep(1.0)
    acting = []
    for _ in range(10):
        acting.append(hall.turns._of["a"])
        await asyncio.sleep(0.1)
    assert set(acting[:3]) == {1} and acting[-1] == 2, "the crowd has become small"
    await asyncio.gather(crowd, calm)
    assert hall.empty()


async def calmly(hall: Hall) -> None:
    for _ in range(40):
        await hall.visit("b", seconds=0.01)
        await asyncio.sleep(0.1)


@virtual
async def test_how_long_a_crowd_waits_is_told_by_the_turns_it_has_while_others_come():
    hall = Hall(at_once=20, share=8, queue=4, contested=2)
    tasks = [asyncio.create_task(hall.visit("a", 10.0)) for _ in range(12)]
    await asyncio.sleep(0)
    assert hall.turns.crowded("a") == 4 * LONG / 2
    await asyncio.gather(*tasks)
