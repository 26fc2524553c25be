"""The control plane's instances: each with a clock of its own, dying where it stands, replaced by another."""

import asyncio
import contextvars
import random
from collections.abc import Coroutine
from typing import Any

from shared.domain import canary, pool
from shared.domain.beats import RecentBeats
from shared.domain.control import Control
from shared.domain.errors import PlaygroundError
from shared.domain.hearing import LONGEST_SILENCE, Hearing
from shared.domain.leases import SPARES, Owner
from shared.domain.look import look_now
from shared.domain.policy import CLOCK_SKEW, MINUTE
from tests.doubles.tasks import MemoryArchives
from tests.model.acts import Acts
from tests.model.network import Wire
from tests.model.shares import WatchedStarts
from tests.model.watched import PROCESS, Process, WorldClock
from tests.simulation.bounds import RECONCILED, Bounds
from tests.simulation.parts import KEYS, HeardWire, Lines, Queue, WatchedCluster
from tests.simulation.shares import INSTANCES
from tests.simulation.spares import POOLS
from tests.simulation.troubles import Trouble
from tests.virtual import VirtualLoop

# Minutes between two passes over the pool. Every 5 s, as it is set by default, a month has half a million of them,
# which take as long as all the rest; and even so the pool is empty only where many come at once.
REFILLED = 5


class Instances(Bounds, Acts):
    """What runs in them is the real code; what they are asked to do, `Acts` says."""

    rng: random.Random
    loop: VirtualLoop
    lines: Lines

    def begin_instances(self) -> None:
        self.births = 0
        self.alive: dict[str, Process] = {}
        for _ in range(INSTANCES):
            self.new_process()
        self.leader = next(iter(self.alive))  # in which timers fire

    def new_process(self) -> None:
        self.births += 1
        name = f"instance-{self.births}"
        clock = WorldClock(self.loop, self.rng.uniform(-CLOCK_SKEW / 2, CLOCK_SKEW / 2))
        there = WatchedCluster(self.cluster)
        there.world = self
        cluster = HeardWire(there, self.lines, name, "cluster")
        leases = Wire(self.store, self.lines, name, "store")
        archives = Wire(MemoryArchives(self.cluster), self.lines, name, "archive")
        starts = WatchedStarts(self.places, self.breaks)
        control = Control(leases, cluster, Queue(self), KEYS, clock, self.policy, archives, self.pool, starts)
        self.alive[name] = Process(name, control, RecentBeats(clock))

    def begin(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def run() -> Any:
            try:
                return await work
            except PlaygroundError as error:
                return error

        def ended(task: asyncio.Task[Any]) -> None:
            work.close()  # it may never have begun
            if not task.cancelled() and (error := task.exception()) is not None:
                self.breaks(None, error)

        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        task = self.loop.create_task(run(), context=context)
        task.add_done_callback(ended)
        if len(process.tasks) > 200:
            process.tasks[:] = [task for task in process.tasks if not task.done()]
        return task

    def kill(self, process: Process) -> None:
        """An instance is gone where it stands; another one comes some time later."""
        if self.alive.pop(process.name, None) is None:
            return
        for task in process.tasks:
            task.cancel()
        again = self.rng.uniform(20.0, 10 * MINUTE)
        if not self.alive:
            now = self.loop.time()
            self.weather.add(Trouble(now, now + again, "nobody"))
        self.loop.call_later(again, self.new_process, context=contextvars.Context())

    async def rollouts(self, seconds: float) -> None:
        """Everybody is to want another pool, now and then: one instance after the other is replaced."""
        for wanted in POOLS[1:]:
            await asyncio.sleep(seconds / (len(POOLS) + 1) * self.rng.uniform(0.8, 1.2))
            self.note(SPARES, f"there are to be {wanted.size} of the {wanted.template} template")
            self.pool = wanted
            for process in list(self.alive.values()):
                self.kill(process)
                self.wanted_at = self.now
                await asyncio.sleep(self.rng.uniform(MINUTE, 15 * MINUTE))

    def anybody(self) -> Process | None:
        return self.rng.choice(list(self.alive.values())) if self.alive else None

    async def hearing(self, process: Process) -> Hearing:
        return await canary.hearing(process.control.leases)

    def look_at(self, owner: Owner, id: str) -> None:
        if (process := self.anybody()) is not None:
            self.begin(process, look_now(process.control, owner, id))

    def refill(self, process: Process) -> asyncio.Task[Any]:
        return self.begin(process, pool.refill(process.control))

    async def timers(self) -> None:
        """Each fires in one instance, which is another one when that dies or now and then, and sometimes in two."""
        reaping: asyncio.Task[Any] | None = None
        filling: asyncio.Task[Any] | None = None
        minute = 0
        while True:
            await asyncio.sleep(MINUTE)
            minute += 1
            if self.leader not in self.alive or self.rng.random() < 3e-4:
                if not self.alive:
                    continue
                self.leader = self.rng.choice(list(self.alive))
                now = self.loop.time()  # another clock: its canary may leave a gap
                self.weather.add(Trouble(now, now + 2 * LONGEST_SILENCE, "another leader"))
            process = self.alive[self.leader]
            if not self.weather.share("front"):
                self.begin(process, canary.heard(process.control.leases, process.control.clock.now()))
            if reaping is None or reaping.done():
                reaping = self.reap(process)
            if minute % REFILLED == 0 and (filling is None or filling.done()):
                filling = self.refill(process)
            if self.rng.random() < 0.01 and (other := self.anybody()) is not None:
                self.reap(other)
                self.refill(other)
            if minute * MINUTE % RECONCILED == 0:
                began = self.now
                self.reconcile(process).add_done_callback(lambda task, began=began: self.compared(task, began))
