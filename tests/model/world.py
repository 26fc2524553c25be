"""A store, a cluster, owners at work, and several control-plane processes that may die.

The code that runs in the processes is the real one: functions of `shared.domain` over the real
`Databases` adapter. Doubles are the store, Kubernetes, the network and the clocks. The world sees
everything and checks, at every write, what must never be.
"""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

from shared.adapters.k8s.databases import Databases
from shared.adapters.sealing import KeyRing, new_key
from shared.domain import databases
from shared.domain.beats import RecentBeats
from shared.domain.control import Control
from shared.domain.errors import ArchiveUnavailable, ClusterUnavailable, PlaygroundError, StoreUnavailable
from shared.domain.leases import Lease, Owner
from shared.domain.policy import CLOCK_SKEW, Policy
from shared.manifests.mariadb import Spec
from shared.ports.cluster import Life as MadeLife
from tests.doubles.mariadb import Server
from tests.doubles.tasks import MemoryArchives
from tests.model.acts import Acts
from tests.model.invariants import OWNERS, STRANGER
from tests.model.network import Network, Request, Wire
from tests.model.watched import (
    PROCESS,
    Asked,
    HeardDatabases,
    Life,
    PostedLooks,
    Process,
    WatchedKubernetes,
    WatchedStore,
    WorldClock,
    owned_task,
)
from tests.virtual import VirtualLoop

POLICY = Policy(delete_without_archive=True)
KEYS = KeyRing.parse(new_key())
SPEC = Spec(image="mariadb")


class World(Acts):
    def __init__(self, policy: Policy = POLICY) -> None:
        self.loop = VirtualLoop(hurry=False)
        self.loop.set_task_factory(owned_task)
        self.policy = policy
        self.network = Network()
        self.clock = WorldClock(self.loop)
        self.kubernetes = WatchedKubernetes(clock=self.clock, auto=True)
        self.kubernetes.world = self
        self.cluster = self.kubernetes
        self.store = WatchedStore(clock=self.clock)
        self.store.world = self
        self.posted: list[tuple[Owner, str]] = []
        self.lives: dict[str, Life] = {}
        self.acknowledged: dict[Owner, float] = defaultdict(lambda: float("-inf"))
        self.holds: dict[Owner, float | None] = defaultdict(lambda: None)
        self.purges: set[Owner] = set()
        self.ends: set[Owner] = set()
        self.left: dict[Owner, tuple[list[str], float]] = {}
        self.broken: BaseException | None = None
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
        archives = Wire(MemoryArchives(self.kubernetes), self.network, name, "archive")
        control = Control(leases, cluster, PostedLooks(self.posted), KEYS, clock, self.policy, archives)
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
        errors = {"cluster": ClusterUnavailable, "archive": ArchiveUnavailable, "store": StoreUnavailable}
        return errors[request.to]("lost")

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

    def strand(self, generation: str) -> None:
        """A database that runs, with data, and of which the store knows nothing: it was restored from an older copy."""
        life = MadeLife(STRANGER, databases.ID, generation, "p" * 32, "r" * 32)
        cluster = Databases(self.kubernetes, SPEC, "plane")
        self.run_alone(cluster.start(life, 1))
        claim = self.kubernetes.objects["PersistentVolumeClaim", f"pg-{generation}"]
        self.kubernetes.volumes[claim["metadata"]["uid"]].append("precious")

    def stranded(self) -> list[tuple[int, list[str]]]:
        """Of each such database: how many replicas it has, and what is on its volume."""
        return [
            (workload["spec"]["replicas"], self.kubernetes.volumes[volume["metadata"]["uid"]])
            for workload in self.kubernetes.find("StatefulSet")
            for volume in self.kubernetes.find("PersistentVolumeClaim")
            if volume["metadata"]["name"] == workload["metadata"]["name"]
            and workload["metadata"]["annotations"]["playground.dev/owner"] == STRANGER.key
        ]

    def run_alone(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that no process of ours does, and no network disturbs."""
        task = self.loop.create_task(work)
        self.loop.settle()
        task.result()
