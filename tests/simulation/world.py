"""A month of many lives in virtual time, over the real domain code: all that happens comes from a seed."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from unittest import mock

from shared.domain import databases
from shared.domain.errors import PlaygroundError
from shared.domain.hearing import LONGEST_SILENCE
from shared.domain.leases import SPARES, Event, Lease, Owner
from shared.domain.policy import DAY, HOUR, PLUGIN_INTERVAL, Policy
from shared.ports.cluster import Life as MadeLife
from tests.doubles.mariadb import Server
from tests.model.invariants import UNSURE
from tests.model.watched import Asked, Life, WorldClock, owned_task
from tests.simulation.bounds import number
from tests.simulation.instances import Instances
from tests.simulation.parts import Lines, SimulatedStore, WatchedCluster, WatchedMachines
from tests.simulation.story import Story
from tests.simulation.troubles import Trouble, Weather
from tests.simulation.users import User
from tests.virtual import VirtualLoop

POLICY = Policy(archives=True)
SETTLES = 2 * DAY  # without troubles and users, after which all is as it should be


class Simulation(Instances):
    """`users` lives for so many days. What was broken first ends it; `tale` says what led there."""

    def __init__(self, seed: int, users: int, days: float, policy: Policy = POLICY, storms: float = 1.0):
        self.seed, self.rng, self.days = seed, random.Random(seed), days
        self.tenants = {n: "u" if n % 5 == 4 else "t" for n in range(users)}
        self.policy = self.shared_out(policy, self.tenants.values())
        self.loop = VirtualLoop()
        self.loop.set_task_factory(owned_task)
        self.clock = WorldClock(self.loop)
        self.story, self.requests = Story(), 0
        self.weather = Weather(self.rng, days * DAY, users, storms)
        between = self.rng.uniform
        self.cluster = WatchedMachines(
            self.clock, starts=lambda: between(4, 30), stops=lambda: between(1, 40), tasks=lambda: between(20, 600)
        )
        self.store, self.lines = SimulatedStore(clock=self.clock), Lines()
        self.cluster.world = self.store.world = self.lines.world = self
        self.lives: dict[str, Life] = {}
        self.acknowledged: dict[Owner, float] = defaultdict(lambda: float("-inf"))
        self.holds: dict[Owner, float | None] = defaultdict(lambda: None)
        self.purges: set[Owner] = set()
        self.ends: set[Owner] = set()
        self.left: dict[Owner, tuple[list[str], float]] = {}
        self.broken: BaseException | None = None
        self.tale, self.deletions_seen = "", 0
        self.unreachable: dict[Owner, int] = {}
        self.ending = False
        self.begin_pool()
        self.begin_shares()
        self.begin_instances()
        self.users = [User(self, Owner(tenant, f"user-{n}"), n) for n, tenant in self.tenants.items()]
        self.over = self.loop.create_future()
        self.begin_bounds()

    @property
    def now(self) -> float:
        return self.clock.now()

    # --- troubles

    async def trouble(self) -> None:
        """Everything that was drawn, begun and ended when it is time; and deaths, restarts and orphans of their own."""
        for trouble in list(self.weather.all):
            self.loop.call_at(trouble.begin, self._switch, trouble, True)
            self.loop.call_at(trouble.end, self._switch, trouble, False)
        strangers = 0
        while self.loop.time() < self.days * DAY:
            await asyncio.sleep(self.rng.expovariate(1 / (3 * HOUR)))
            match self.rng.randrange(9):
                case 0 | 1 if (process := self.anybody()) is not None:
                    self.kill(process)
                case 2:
                    strangers += 1
                    await self._strand(Owner("t", f"stranger-{strangers}"))
                case 3:
                    spare = self.spare(self.rng.choice(self.slots))
                    if spare is not None and self.lives[spare.generation].owner == SPARES:
                        self.note(SPARES, f"cluster: the node of {spare.id} is gone")
                        self.cluster.lose_pod(spare.generation)
                case _:
                    user = self.rng.choice(self.users)
                    if found := self.server(user.owner):
                        self.note(user.owner, "cluster: the server starts again")
                        self.used(found[0])
                        self.cluster.restart(self.lease(user.owner).generation)

    def _switch(self, trouble: Trouble, on: bool) -> None:
        (self.weather.begins if on else self.weather.ends)(trouble)
        self.cluster.broken_tasks = "no room on the disk" if self.weather.share("tasks") else ""
        self.cluster.refused = "exceeded quota" if self.weather.share("pods") else ""
        self.unreachable = {self.users[t.owner].owner: 1 for t in self.weather.now.get("owner", [])}

    async def _strand(self, owner: Owner) -> None:
        """A database that runs and of which the store knows nothing: it was restored from an older copy."""
        life = MadeLife(owner, databases.ID, self.generation(), "p", "r")
        with suppress(PlaygroundError):
            await WatchedCluster(self.cluster).start(life, 1)

    def generation(self) -> str:
        self.births += 1
        return f"life{self.births:016d}"

    # --- what is true

    def lease(self, owner: Owner) -> Lease | None:
        return self.store.peek(owner, databases.ID)

    def server(self, owner: Owner) -> tuple[Life, Server] | None:
        """The owner's database server, if one runs that its lease names."""
        lease = self.lease(owner)
        if lease is None or lease.generation not in self.lives:
            return None
        try:
            return self.lives[lease.generation], self.cluster.server(lease.generation)
        except LookupError:
            return None

    def used(self, life: Life) -> None:
        life.used_at = max(life.used_at, self.now)

    def asked(self, generation: str) -> Asked:
        server, life = self.cluster.server(generation), self.lives[generation]
        return Asked(self.now, 0.0 if server.connections else self.now - life.used_at, bool(server.executing))

    def deaf(self, since: float) -> float:
        zero = self.now - self.loop.time()
        return self.weather.deaf.seconds(since - zero, self.loop.time())

    # --- what must be

    def note(self, owner: Owner, what: str) -> None:
        self.story.note(owner, self.loop.time(), what)

    def witness(self, before: Lease | None, after: Lease, event: Event | None) -> None:
        if event is not None:
            self.note(after.owner, f"{event.before or 'nothing'} → {event.after}: {event.reason} ({event.actor})")
        else:
            self.note(after.owner, f"looked at, {after.state}")
        super().witness(before, after, event)
        self.acted(after.owner)

    def acted(self, owner: Owner) -> None:
        try:
            self.check((owner,))
        except AssertionError as error:
            self.breaks(owner, error)

    def check_hibernation(self, lease: Lease, life: Life) -> None:
        super().check_hibernation(lease, life)
        now = self.loop.time()
        for front in self.weather.now.get("front", []):
            known = now - front.begin > LONGEST_SILENCE + UNSURE
            assert not known, "hibernated although nobody could be heard"
        for trouble in self.weather.all:
            ended = trouble.kind == "front" and trouble.end - trouble.begin > LONGEST_SILENCE + UNSURE
            soon = ended and trouble.end < now < trouble.end + 2 * PLUGIN_INTERVAL - UNSURE
            assert not soon, "hibernated before anybody could be heard again"

    def breaks(self, owner: Owner | None, error: BaseException) -> None:
        if self.broken is None:
            self.broken = error
            if owner is not None:
                self.tale = self.story.tell(owner, self.weather.told(number(owner), self.loop.time()))
            self.over.set_result(None)

    # --- the whole of it

    def run(self) -> None:
        """Raises AssertionError with the seed and a short story."""
        try:
            with self._quietly(), mock.patch.object(databases, "new_generation", self.generation):
                self.loop.run_until_complete(self._all())
        finally:
            self.loop.close()
        if self.broken is not None:
            raise AssertionError(f"seed {self.seed}: {self.broken!r}\n{self.tale}") from self.broken

    async def _all(self) -> None:
        works = (self.timers(), self.trouble(), self.rollouts(self.days * DAY), self.audits())
        tasks = [self.loop.create_task(work) for work in works]
        lives = [self.loop.create_task(user.live()) for user in self.users]
        for user, task in zip(self.users, lives, strict=True):
            task.add_done_callback(lambda task, user=user: self._ended(task, user.owner))
        await asyncio.wait((self.over,), timeout=self.days * DAY)
        self.ending = True
        for task in lives:
            task.cancel()
        for user in self.users:
            user.disconnect()
        if self.broken is None:
            await asyncio.wait((self.over,), timeout=SETTLES)
        if self.broken is None:
            await self.converged()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        self.alive.clear()
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, *tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None], owner: Owner) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.breaks(owner, error)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Nothing is logged, and what was only logged as a fault is one."""
        log, handler = logging.getLogger("playground"), _Faults(self)
        level, spreads = log.level, log.propagate
        log.addHandler(handler)
        log.propagate = False
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = spreads


class _Faults(logging.Handler):
    def __init__(self, world: Simulation):
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._world.breaks(None, record.exc_info[1])
