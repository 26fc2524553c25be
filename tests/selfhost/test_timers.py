"""Timers: each on its schedule, never two runs at once, none lost for good, whatever the clock does."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from selfhost.errors import CannotStart, FunctionFailed
from selfhost.runtime import Runtime
from selfhost.timers import Timers
from selfhost.triggers import TimerTrigger
from tests.selfhost.clients import until

NOON = 1_767_268_800.0  # 2026-01-01 12:00:00 UTC
MINUTELY, HOURLY = "0 * * * * *", "0 0 * * * *"


class World:
    """A clock that a sleeper turns, and functions that note when they ran."""

    def __init__(self, *schedules: str, run_on_startup: bool = False) -> None:
        self.time = NOON
        self.runs: list[tuple[str, float, bool]] = []
        self.sleeps: list[float] = []
        self.ends_at = NOON
        self.during: Callable[[str], Awaitable[None] | None] = lambda name: None
        self.asleep: Callable[[float], float] = lambda seconds: seconds
        triggers = [TimerTrigger(f"t{index}", "timer", text, run_on_startup) for index, text in enumerate(schedules)]
        self.runtime = cast(Runtime, SimpleNamespace(timers=triggers, fire_timer=self.fire))

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Turns the clock by as much as asked, or as `asleep` says; for ever once the end is reached."""
        self.sleeps.append(seconds)
        if self.time >= self.ends_at:
            await asyncio.get_running_loop().create_future()
        self.time += self.asleep(seconds)
        await asyncio.sleep(0)

    async def fire(self, name: str, past_due: bool) -> None:
        self.runs.append((name, self.time - NOON, past_due))
        happening = self.during(name)
        if happening is not None:
            await happening

    def timers(self, **options: Any) -> Timers:
        return Timers(self.runtime, **{"jitter": 0, "settings": {}, "now": self.now, "sleep": self.sleep} | options)

    async def live(self, seconds: float, **options: Any) -> list[tuple[float, bool]]:
        """Run the timers until the clock has gone on by that much; when they ran, and whether late."""
        self.ends_at = NOON + seconds
        timers = self.timers(**options)
        timers.start()
        await until(lambda: self.sleeps and self.time >= self.ends_at)
        await timers.stop(patience=0)
        return [(at, past_due) for _, at, past_due in self.runs]


async def test_a_timer_fires_on_its_schedule() -> None:
    assert await World(MINUTELY).live(200) == [(60, False), (120, False), (180, False)]


async def test_two_timers_keep_their_own_schedules() -> None:
    world = World("0 */2 * * * *", "30 * * * * *")
    await world.live(100)
    assert {name for name, *_ in world.runs} == {"t0", "t1"}


async def test_jitter_puts_a_run_off_but_never_into_the_next_tick() -> None:
    for _ in range(20):
        ((at, late),) = await World(HOURLY).live(3700, jitter=5)
        assert 3600 <= at <= 3605
        assert not late
    runs = await World("* * * * * *").live(30, jitter=5)
    assert [int(at) for at, _ in runs] == list(range(1, len(runs) + 1))


async def test_a_tick_slept_through_is_made_up_for_once_and_told_as_late() -> None:
    world = World(MINUTELY)
    naps = iter([30.0, 30.0, 600.0])  # the third sleep begins at 12:01:00 and lasts ten minutes
    world.asleep = lambda seconds: max(seconds, next(naps, 0))
    assert await world.live(800) == [(60, False), (660, True), (720, False), (780, False)]


async def test_the_clock_is_glanced_at_often() -> None:
    world = World(HOURLY)
    await world.live(4000)
    assert max(world.sleeps) <= 30


async def test_a_clock_set_back_does_not_silence_a_timer() -> None:
    world = World(MINUTELY)
    jumps = iter([30.0, 30.0, -7200.0])
    world.asleep = lambda seconds: next(jumps, seconds)
    world.ends_at = NOON + 61
    timers = world.timers()
    timers.start()
    await until(lambda: len(world.runs) >= 3)
    await timers.stop(patience=0)
    assert world.runs[:3] == [("t0", 60, False), ("t0", 60 - 7200 + 60, False), ("t0", 60 - 7200 + 120, False)]


async def test_a_clock_nudged_back_costs_no_tick() -> None:
    world = World(MINUTELY)
    world.asleep = lambda seconds: seconds if len(world.sleeps) % 5 else -0.5
    runs = await world.live(400)
    assert [int(at) for at, _ in runs] == [60, 120, 180, 240, 300, 360]


async def test_a_clock_set_ahead_fires_once_and_goes_on() -> None:
    world = World(HOURLY)
    jumps = iter([86400.0])
    world.asleep = lambda seconds: next(jumps, seconds)
    assert await world.live(86400 + 4000) == [(86400, True), (90000, False)]


async def test_a_timer_never_overlaps_itself_and_makes_up_for_what_a_long_run_covered() -> None:
    world = World(MINUTELY)
    running: list[str] = []

    async def slow(name: str) -> None:
        assert not running
        running.append(name)
        world.time += 150 if len(world.runs) == 1 else 0
        await asyncio.sleep(0)
        running.remove(name)

    world.during = slow
    assert await world.live(310) == [(60, False), (210, True), (240, False), (300, False)]


async def test_a_failing_run_does_not_stop_the_next() -> None:
    world = World(MINUTELY)

    async def fail(name: str) -> None:
        raise FunctionFailed(name)

    world.during = fail
    assert await world.live(130) == [(60, False), (120, False)]


async def test_one_slow_timer_holds_no_other_up() -> None:
    world = World(MINUTELY, MINUTELY)
    blocked = asyncio.Event()

    async def block(name: str) -> None:
        if name == "t0":
            await blocked.wait()

    world.during = block
    await world.live(200)
    assert [name for name, *_ in world.runs].count("t0") == 1
    assert [name for name, *_ in world.runs].count("t1") >= 3


async def test_run_on_startup_fires_at_once() -> None:
    assert await World(HOURLY, run_on_startup=True).live(3700) == [(0, False), (3600, False)]


async def test_the_stop_lets_a_run_end_and_fires_no_more() -> None:
    world = World(MINUTELY)
    entered, may_end = asyncio.Event(), asyncio.Event()
    ended = []

    async def work(name: str) -> None:
        entered.set()
        await may_end.wait()
        ended.append(name)

    world.during = work
    world.ends_at = NOON + 1000
    timers = world.timers()
    timers.start()
    await entered.wait()
    stopping = asyncio.create_task(timers.stop(patience=10))
    await asyncio.sleep(0)
    assert not stopping.done()
    may_end.set()
    await stopping
    assert ended == ["t0"]
    assert len(world.runs) == 1


async def test_the_stop_cancels_a_run_that_does_not_end() -> None:
    world = World(MINUTELY)
    entered = asyncio.Event()

    async def hang(name: str) -> None:
        entered.set()
        await asyncio.get_running_loop().create_future()

    world.during = hang
    world.ends_at = NOON + 1000
    timers = world.timers()
    timers.start()
    await entered.wait()
    await timers.stop(patience=0.01)


async def test_without_timers_there_is_nothing_to_stop() -> None:
    timers = World().timers()
    timers.start()
    await timers.stop(patience=1)


def test_a_schedule_may_be_a_setting() -> None:
    World("%REAP%").timers(settings={"REAP": MINUTELY})


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("*/5 * * * *", "function t0: its schedule: it must have six fields"),
        ("%REAP%", "function t0: its schedule: the setting REAP is not set"),
        ("0 0 0 30 2 *", "function t0: its schedule: it never comes"),
    ],
)
def test_a_wrong_schedule_names_its_function(schedule: str, message: str) -> None:
    with pytest.raises(CannotStart, match=message):
        World(schedule).timers()
