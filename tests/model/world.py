"""A store, a cluster, owners at work, and several control-plane processes that may die.

The code that runs in the processes is the real one: functions of `shared.domain` over the real
`Databases` adapter. Doubles are the store, Kubernetes, the network and the clocks. The world sees
everything and checks, at every write, what must never be.
"""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from shared.adapters.k8s.databases import Databases
from shared.adapters.sealing import KeyRing, new_key
from shared.domain import databases, reaper
from shared.domain.beats import RecentBeats
from shared.domain.control import Control
from shared.domain.errors import ClusterUnavailable, PlaygroundError, StoreUnavailable
from shared.domain.hearing import Hearing
from shared.domain.leases import Event, Lease, Owner, State
from shared.domain.look import look_now
from shared.domain.policy import CLOCK_SKEW, Policy
from shared.manifests.mariadb import Spec
from shared.ports.cluster import Evidence
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.mariadb import Server
from tests.doubles.memory import MemoryStore
from tests.model.network import Network, Request, Wire
from tests.virtual import VirtualLoop

T0 = 1_800_000_000.0
OWNERS = (Owner("t", "alice"), Owner("t", "bob/../x"))
POLICY = Policy(delete_without_archive=True)
KEYS = KeyRing.parse(new_key())
SPEC = Spec(image="mariadb")
UNSURE = 2 * CLOCK_SKEW + 60.0  # how far two processes and a slow look may disagree about a period


class WorldClock:
    """A process's clocks: true time plus how wrong it is."""

    def __init__(self, loop: VirtualLoop, wrong: float = 0.0):
        self._loop, self._wrong = loop, wrong

    def now(self) -> float:
        return T0 + self._loop.time() + self._wrong

    def monotonic(self) -> float:
        return self._loop.time()


@dataclass
class Life:
    """What is true of one generation, whatever anybody believes."""

    owner: Owner
    ready: bool = False
    used_at: float = float("-inf")  # last moment at which a connection was open or came
    asking: "Asked | None" = None  # what its server said, whether or not anybody heard it
    asked: "Asked | None" = None  # the last that a look heard
    moved_at: float = float("-inf")  # last transition
    slept_at: float | None = None  # when it was seen to be at 0 replicas
    data: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """What was true when a server was asked: when, how long since its last use, whether it worked."""

    at: float
    unused_for: float
    executing: bool


class WatchedStore(MemoryStore):
    """The store, telling the world of every transition."""

    world: "World"

    async def create(self, lease: Lease, event: Event) -> Lease:
        written = await super().create(lease, event)
        self.world.witness(None, written)
        return written

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        before = await super().get(lease.owner, lease.id)
        written = await super().replace(lease, event)
        self.world.witness(before, written)
        return written


class WatchedKubernetes(Kubernetes):
    """Kubernetes, telling the world when a server is asked what it counts."""

    world: "World"

    def _run(self, pod: str, argv: Any) -> Any:
        output = super()._run(pod, argv)
        self.world.lives[pod.removeprefix("pg-").removesuffix("-0")].asking = self.world.truth(pod)
        return output


class HeardDatabases(Databases):
    """The real adapter, telling the world what its caller came to know."""

    world: "World"

    async def evidence(self, generation: str) -> Evidence | None:
        heard = await super().evidence(generation)
        if heard is not None:
            self.world.lives[generation].asked = self.world.lives[generation].asking
        return heard


PROCESS: contextvars.ContextVar["Process"] = contextvars.ContextVar("PROCESS")


@dataclass
class Process:
    """One instance of the control plane."""

    name: str
    control: Control
    recent: RecentBeats
    work: list[asyncio.Task[Any]] = field(default_factory=list)  # what it was asked to do
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)  # and everything that runs for it


class PostedLooks:
    """Looks that a process posted: any process may pick them up, or nobody."""

    def __init__(self, posted: list[tuple[Owner, str]]):
        self._posted = posted

    async def post(self, owner: Owner, id: str) -> None:
        self._posted.append((owner, id))


class World:
    def __init__(self, policy: Policy = POLICY) -> None:
        self.loop = VirtualLoop(hurry=False)
        self.loop.set_task_factory(_owned_task)
        self.policy = policy
        self.network = Network()
        self.clock = WorldClock(self.loop)
        self.kubernetes = WatchedKubernetes(clock=self.clock, auto=True)
        self.kubernetes.world = self
        self.store = WatchedStore(clock=self.clock)
        self.store.world = self
        self.posted: list[tuple[Owner, str]] = []
        self.lives: dict[str, Life] = {}
        self.acknowledged: dict[Owner, float] = defaultdict(lambda: float("-inf"))
        self.broken: AssertionError | None = None
        self.deletions_seen = 0
        self.births = 0
        self.processes: list[Process] = []
        for wrong in (CLOCK_SKEW / 2, -CLOCK_SKEW / 2):
            self.processes.append(self.new_process(wrong))

    def new_process(self, wrong: float) -> Process:
        self.births += 1
        name, clock = f"process-{self.births}", WorldClock(self.loop, wrong)
        api = Wire(self.kubernetes, self.network, name, "cluster", direct=frozenset({"watch", "page"}))
        cluster = HeardDatabases(api, SPEC, "plane")
        cluster.world = self
        leases = Wire(self.store, self.network, name, "store")
        control = Control(leases, cluster, PostedLooks(self.posted), KEYS, clock, self.policy)
        return Process(name, control, RecentBeats(clock))

    @property
    def now(self) -> float:
        return self.clock.now()

    # --- what processes do

    def begin(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def run() -> Any:
            try:
                return await work
            except PlaygroundError as error:
                return error

        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        task = self.loop.create_task(run(), context=context)
        process.work.append(task)
        self.settle()
        return task

    def settle(self) -> None:
        """Let everything happen that needs neither time nor the network; no task may have broken."""
        self.loop.settle()
        if self.broken:
            raise self.broken
        for process in self.processes:
            for task in [task for task in process.work if task.done()]:
                process.work.remove(task)
                task.result()
            process.tasks[:] = [task for task in process.tasks if not task.done()]

    def create_db(self, process: Process, owner: Owner) -> asyncio.Task[Any]:
        return self.begin(process, databases.create(process.control, owner))

    def heart_beat(self, process: Process, owner: Owner) -> asyncio.Task[Any]:
        began = self.now

        async def beat() -> databases.Beat:
            control = process.control
            answer = await process.recent.answer(
                owner, lambda: databases.beat(control.leases, control.looks, control.clock, control.policy, owner)
            )
            if answer.renewed and answer.state == State.RUNNING:
                # It may repeat what was written up to 30 s ago.
                self.acknowledged[owner] = max(self.acknowledged[owner], began - 30)
            return answer

        return self.begin(process, beat())

    def reap(self, process: Process) -> asyncio.Task[Any]:
        return self.begin(process, reaper.reap(process.control, Hearing(process.control.clock.now())))

    def look(self, process: Process) -> asyncio.Task[Any] | None:
        if not self.posted:
            return None
        owner, id = self.posted.pop(0)
        return self.begin(process, look_now(process.control, owner, id))

    def crash(self, process: Process) -> None:
        """The process is gone where it stands; what it sent may still arrive."""
        for request in self.network.under_way:
            if request.sender == process.name and request.awaited:
                request.answer.cancel()  # nobody listens
        self.abandon(process)
        self.processes[self.processes.index(process)] = self.new_process(process.control.clock.now() - self.now)

    def abandon(self, process: Process) -> None:
        """End a process's tasks without their doing anything any more, not even clean up."""
        calm, self.network.calm = self.network.calm, False
        sent = list(self.network.under_way)
        for task in process.tasks:
            task.cancel()
        self.loop.settle()
        self.network.under_way[:] = sent  # what they tried on their way out was never sent
        self.network.calm = calm

    # --- what the network does

    def deliver(self, request: Request, **how: Any) -> None:
        self.loop.create_task(self.network.deliver(request, **how))
        self.settle()
        self.check()

    def calm_down(self) -> None:
        """From now on the network works; what was under way arrives first."""
        while self.network.under_way:
            self.deliver(self.network.under_way[0])
        self.network.calm = True

    def lost(self, request: Request) -> Exception:
        return ClusterUnavailable("lost") if request.to == "cluster" else StoreUnavailable("lost")

    # --- what owners do

    def server(self, owner: Owner) -> tuple[Life, Server] | None:
        """The owner's database server, if one runs that its lease names."""
        lease = self.lease(owner)
        if lease is None or lease.generation not in self.lives:
            return None
        try:
            return self.lives[lease.generation], self.kubernetes.controllers.server(lease.generation)
        except LookupError:
            return None

    def lease(self, owner: Owner) -> Lease | None:
        """What the store holds, without any network in between."""
        return self.store.peek(owner, databases.ID)

    def truth(self, pod: str) -> Asked:
        life = self.lives[pod.removeprefix("pg-").removesuffix("-0")]
        server = self.kubernetes.controllers.server(pod.removeprefix("pg-").removesuffix("-0"))
        unused_for = 0.0 if server.connections else self.now - life.used_at
        return Asked(self.now, unused_for, bool(server.executing))

    def used(self, life: Life) -> None:
        """A connection of this life's owner is open now, or was a moment ago."""
        life.used_at = max(life.used_at, self.now)

    def pass_time(self, seconds: float) -> None:
        """Time passes; a connection that stays open is use all the while."""
        self.loop.pass_time(seconds)
        for owner in OWNERS:
            found = self.server(owner)
            if found and found[1].connections:
                self.used(found[0])
        self.settle()
        self.check()

    def close(self) -> None:
        for process in self.processes:
            self.abandon(process)
        self.loop.close()

    # --- what must never be

    def witness(self, before: Lease | None, after: Lease) -> None:
        """`moved`, its verdict kept for `settle`: the code under test may catch what is raised in here."""
        try:
            self.moved(before, after)
        except AssertionError as error:
            self.broken = self.broken or error

    def moved(self, before: Lease | None, after: Lease) -> None:
        """A write has happened: check the transition, learn what it says."""
        assert after.due_at <= after.look_by, f"due after it must be looked at: {after}"
        assert after.due_at <= self.now + max(self.policy.retention, self.policy.tombstone) + UNSURE
        life = self.lives.setdefault(after.generation, Life(after.owner))
        if before is not None and before.state is after.state:
            return
        moved_before, life.moved_at = life.moved_at, self.now
        match after.state:
            case State.RUNNING:
                life.ready, life.slept_at = True, None
            case State.HIBERNATING if before is not None and before.state is State.RUNNING:
                self.check_hibernation(after, life)
            case State.HIBERNATED:
                # The write may have been under way for days: what it says of the past must be possible.
                assert moved_before - UNSURE <= after.since <= self.now + UNSURE, "asleep since it was awake"
                life.slept_at = max(moved_before, after.since)
            case State.FAILED:
                assert not life.ready, "a life that was ready counts as failed"
            case State.DELETING:
                assert not life.ready or self.may_delete(life), f"deleting {after.generation} too early"

    def check_hibernation(self, lease: Lease, life: Life) -> None:
        capped = "no use was proved" in lease.reason
        period = self.policy.hard_cap if capped else self.policy.grace
        heard = self.acknowledged[lease.owner]
        assert self.now - heard >= period - UNSURE, f"hibernated {self.now - heard:.0f} s after an acknowledged beat"
        asked = life.asked
        if asked is not None and self.now - asked.at < 60:
            assert not asked.executing, "hibernated although a statement ran when its server was asked"
        if not capped:
            assert asked is not None and asked.unused_for >= period - UNSURE, "hibernated although it was in use"

    def may_delete(self, life: Life) -> bool:
        return (
            self.policy.delete_without_archive
            and life.slept_at is not None
            and self.now - life.slept_at >= self.policy.retention - UNSURE
        )

    def check(self) -> None:
        for owner in OWNERS:
            lease = self.lease(owner)
            if lease is not None and lease.state is State.RUNNING:
                workload = self.kubernetes.objects.get(("StatefulSet", f"pg-{lease.generation}"))
                assert workload and workload["spec"]["replicas"] == 1, f"{lease.generation} runs only by its lease"
        for owner, most in self.kubernetes.most_at_once.items():
            assert most <= 1, f"{most} generations of {owner} had a replica at once"
        for deletion in self.kubernetes.deletions[self.deletions_seen :]:
            life = self.lives.get(deletion.name.removeprefix("pg-"))
            if life is not None and life.ready:
                assert self.may_delete(life), f"storage of {deletion.name} was deleted too early"
                lease = self.lease(life.owner)
                current = lease is not None and f"pg-{lease.generation}" == deletion.name
                assert not current or lease.state in (State.DELETING, State.RELEASED)
        self.deletions_seen = len(self.kubernetes.deletions)


def _owned_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
    """Every task belongs to the process in whose context it began, and dies with it."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **kwargs)
    context = kwargs.get("context")
    process = context.get(PROCESS) if context else PROCESS.get(None)
    if process is not None:
        process.tasks.append(task)
    return task
