"""What a process remembers of the beats it answered: a storm costs a write, and nobody is told a lie."""

import asyncio
import gc

import pytest

from shared.domain import beats
from shared.domain.beats import RecentBeats, heart_beat, warning
from shared.domain.databases import NONE, UNKNOWN, Beat
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner, State
from tests.samples import ALICE

BOB = Owner("default", "bob")
RENEWED = Beat(True, "running")
USER = Principal("default", Role.USER, "alice")
HUB = Principal("default", Role.FRONTEND, "hub")


class Hands:
    """Its wall clock goes wrong on purpose: only the other one counts here."""

    def __init__(self) -> None:
        self.tick = 100.0

    def now(self) -> float:
        return -self.tick

    def monotonic(self) -> float:
        return self.tick


class Writer:
    """A write that answers what it is told, when it is told to."""

    def __init__(self, answer: Beat | Exception = RENEWED):
        self.answer, self.writes = answer, 0
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def __call__(self) -> Beat:
        self.writes += 1
        self.asked.set()
        await self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [(RENEWED, 30), (Beat(True, "waking"), 30), (NONE, 2), (UNKNOWN, 2), (Beat(False, "deleting"), 2)],
)
async def test_an_answer_is_repeated_as_long_as_it_holds_and_no_longer(answer: Beat, seconds: float):
    clock, write = Hands(), Writer(answer)
    recent = RecentBeats(clock)
    assert await recent.answer(ALICE, write) == answer
    clock.tick += seconds - 0.001
    assert await recent.answer(ALICE, write) == answer
    assert write.writes == 1
    clock.tick += 0.001
    await recent.answer(ALICE, write)
    assert write.writes == 2


async def test_a_new_answer_replaces_the_old():
    clock, write = Hands(), Writer(RENEWED)
    recent = RecentBeats(clock)
    await recent.answer(ALICE, write)
    clock.tick += 30
    write.answer = NONE
    assert [await recent.answer(ALICE, write) for _ in range(2)] == [NONE, NONE]
    assert write.writes == 2


async def test_the_time_it_holds_begins_before_the_write():
    clock, write = Hands(), Writer()
    recent = RecentBeats(clock)
    write.go.clear()
    answer = asyncio.create_task(recent.answer(ALICE, write))
    await write.asked.wait()
    clock.tick += 29
    write.go.set()
    await answer
    clock.tick += 1
    await recent.answer(ALICE, write)
    assert write.writes == 2


async def test_those_who_come_together_share_one_write():
    write, recent = Writer(), RecentBeats(Hands())
    write.go.clear()
    waiting = [asyncio.create_task(recent.answer(ALICE, write)) for _ in range(100)]
    await asyncio.sleep(0)
    write.go.set()
    assert await asyncio.gather(*waiting) == [RENEWED] * 100
    assert write.writes == 1


async def test_owners_are_told_apart():
    mine, others, recent = Writer(RENEWED), Writer(NONE), RecentBeats(Hands())
    assert [await recent.answer(ALICE, mine), await recent.answer(BOB, others)] == [RENEWED, NONE]
    assert [await recent.answer(ALICE, mine), await recent.answer(BOB, others)] == [RENEWED, NONE]
    assert (mine.writes, others.writes) == (1, 1)


@pytest.mark.parametrize("gone", [1, 3])
async def test_whoever_hangs_up_does_not_undo_the_beat(gone: int):
    write, recent = Writer(), RecentBeats(Hands())
    write.go.clear()
    waiting = [asyncio.create_task(recent.answer(ALICE, write)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in waiting[:gone]:
        task.cancel()
    await asyncio.gather(*waiting[:gone], return_exceptions=True)
    write.go.set()
    assert await asyncio.gather(*waiting[gone:]) == [RENEWED] * (3 - gone)
    assert await recent.answer(ALICE, write) == RENEWED
    assert write.writes == 1


async def test_a_write_that_broke_is_not_remembered():
    write, recent = Writer(RuntimeError("a bug")), RecentBeats(Hands())
    waiting = [asyncio.create_task(recent.answer(ALICE, write)) for _ in range(2)]
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in failed] == [RuntimeError, RuntimeError]
    write.answer = RENEWED
    assert await recent.answer(ALICE, write) == RENEWED


async def test_it_forgets_the_oldest_before_it_grows_too_large(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(beats, "OWNERS", 3)
    clock = Hands()
    recent = RecentBeats(clock)
    writers = {name: Writer() for name in "abcd"}

    async def answer(name: str) -> None:
        await recent.answer(Owner("default", name), writers[name])

    await answer("a")
    clock.tick += 20
    await answer("b")
    await answer("c")
    clock.tick += 10
    await answer("a")  # written again, so b is the oldest now
    await answer("d")
    for name in "acd":
        await answer(name)
    assert {name: write.writes for name, write in writers.items()} == {"a": 2, "b": 1, "c": 1, "d": 1}
    await answer("b")
    assert writers["b"].writes == 2


async def test_who_is_remembered_already_drives_out_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(beats, "OWNERS", 2)
    clock = Hands()
    recent = RecentBeats(clock)
    write, others = Writer(), Writer(NONE)
    await recent.answer(ALICE, write)
    await recent.answer(BOB, others)
    clock.tick += 2
    await recent.answer(BOB, others)  # again, as it no longer holds
    await recent.answer(ALICE, write)
    assert (write.writes, others.writes) == (1, 2)


class Written:
    """Remembers for whom was written."""

    def __init__(self) -> None:
        self.owners: list[Owner] = []

    async def __call__(self, owner: Owner) -> Beat:
        self.owners.append(owner)
        return RENEWED


@pytest.mark.parametrize(
    ("caller", "user_id"),
    [
        (USER, "bob"), (USER, "Alice"), (USER, ""), (HUB, ""), (HUB, "a" * 129), (HUB, "a b"), (HUB, "a&b"),
        (Principal("default", Role.WORKER, "alice"), "alice"),
    ],
)  # fmt: skip
async def test_a_beat_for_nobody_or_for_somebody_elses_is_no_error_and_no_write(caller: Principal, user_id: str):
    written = Written()
    assert await heart_beat(RecentBeats(Hands()), written, caller, user_id) == NONE
    assert written.owners == []


@pytest.mark.parametrize(
    ("caller", "user_id", "owner"),
    [
        (USER, "alice", ALICE),
        (HUB, "bob", BOB),
        (Principal("elsewhere", Role.ADMIN, "hub"), "alice", Owner("elsewhere", "alice")),
    ],
)
async def test_a_beat_is_written_for_whom_it_is(caller: Principal, user_id: str, owner: Owner):
    written = Written()
    assert await heart_beat(RecentBeats(Hands()), written, caller, user_id) == RENEWED
    assert written.owners == [owner]


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (None, None),
        (20 * 60, None),
        (11 * 3600, None),
        (20 * 60 - 1, "this database is taken away in 20 min unless it is used"),
        (61, "this database is taken away in 2 min unless it is used"),
        (1, "this database is taken away in 1 min unless it is used"),
        (0, "this database is being taken away"),
        (-9000, "this database is being taken away"),
    ],
)
def test_who_has_less_than_two_beats_left_is_warned(left: float | None, said: str | None):
    assert warning(Beat(False, "any", None if left is None else 1000.0 + left), 1000.0) == said


async def test_what_no_longer_holds_is_forgotten_when_somebody_else_beats():
    clock = Hands()
    recent = RecentBeats(clock)
    await recent.answer(ALICE, Writer(RENEWED))
    clock.tick += 30
    await recent.answer(BOB, Writer(RENEWED))
    assert len(recent) == 1


async def test_the_garbage_collector_has_nothing_to_follow_in_what_is_remembered():
    recent = RecentBeats(Hands())
    await recent.answer(ALICE, Writer(Beat(True, State.RUNNING, 1000.0)))
    [(key, value)] = recent._answers.items()
    gc.collect()  # which is when Python sees of a tuple what it is made of
    assert not gc.is_tracked(key)
    assert not gc.is_tracked(value)
