"""Fires the timer functions of an app on their schedules, as long as the server runs.

A timer never overlaps itself. A tick that nobody was awake for (the machine slept, the run before
took too long) is made up for once, with `past_due`. Two servers may fire the same timer: what a
timer does here is idempotent and fenced by the store.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping

from selfhost import ncrontab
from selfhost.errors import CannotStart, FunctionFailed
from selfhost.runtime import Runtime
from selfhost.triggers import TimerTrigger

_log = logging.getLogger(__name__)

LATE = 10.0
"""Seconds after its tick and jitter from which a run is past due; a clock set back by less was only nudged."""

GLANCE = 30.0
"""Longest sleep, in seconds: sleep does not count while the machine sleeps, and clocks are set."""


class Timers:
    """One task for each timer of a runtime that has started."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        jitter: float = 2.0,
        settings: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`jitter`: seconds, at most, that a run is put off so that many servers spread.

        Raises CannotStart naming the function whose schedule is wrong.
        """
        self._runtime = runtime
        self._jitter = jitter
        self._now = now
        self._sleep = sleep
        self._stopping = False
        self._running: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._schedules: dict[str, str] = {}
        for timer in runtime.timers:
            try:
                schedule = ncrontab.resolve(timer.schedule, settings)
                ncrontab.next_after(schedule, now())
            except ValueError as error:
                raise CannotStart(f"function {timer.name}: its schedule: {error}") from error
            self._schedules[timer.name] = schedule

    def start(self) -> None:
        """Begin to wait for the first ticks."""
        for timer in self._runtime.timers:
            self._tasks[timer.name] = asyncio.create_task(self._keep(timer), name=f"timer {timer.name}")

    async def stop(self, patience: float) -> None:
        """Fire no more; give runs under way `patience` seconds, then cancel them."""
        self._stopping = True
        for name, task in self._tasks.items():
            if name not in self._running:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=patience)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _keep(self, timer: TimerTrigger) -> None:
        schedule = self._schedules[timer.name]
        if timer.run_on_startup:
            await self._fire(timer.name, past_due=False)
        tick = ncrontab.next_after(schedule, self._now())
        while not self._stopping:
            following = ncrontab.next_after(schedule, tick)
            # Never so much that a tick runs into the next.
            put_off = random.uniform(0, min(self._jitter, (following - tick) / 4))
            if not await self._wait_until(tick + put_off):
                tick = min(tick, ncrontab.next_after(schedule, self._now()))  # the clock was set back
                continue
            now = self._now()
            past_due = now > tick + put_off + LATE
            await self._fire(timer.name, past_due)
            # Of the ticks that passed unseen only the last counts: it was made up for by this run.
            tick = ncrontab.next_after(schedule, now) if past_due else following

    async def _wait_until(self, due: float) -> bool:
        """False as soon as the clock is seen to have been set back, by more than a nudge."""
        last = self._now()
        while last < due:
            await self._sleep(min(due - self._now(), GLANCE))
            now = self._now()
            if now < last - LATE:
                return False
            last = max(last, now)
        return True

    async def _fire(self, name: str, past_due: bool) -> None:
        self._running.add(name)
        try:
            await self._runtime.fire_timer(name, past_due)
        except FunctionFailed:
            pass  # logged where it failed; the next tick comes all the same
        finally:
            self._running.discard(name)
