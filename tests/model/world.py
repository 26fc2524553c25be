"""A store, a cluster, owners at work, and several control-plane processes that may die.

The code that runs in the processes is the real one: functions of `shared.domain` over the real
`Databases` adapter. Doubles are the store, Kubernetes, the network and the clocks. The world sees
everything and checks, at every write, what must never be.
"""

from collections import defaultdict

from shared.adapters.k8s.databases import Databases
from shared.adapters.sealing import KeyRing, new_key
from shared.domain import databases
from shared.domain.beats import RecentBeats
from shared.domain.control import Control, Pool
from shared.domain.credentials import USER
from shared.domain.leases import Lease, Owner
from shared.domain.policy import CLOCK_SKEW, Policy
from shared.manifests.mariadb import Spec
from shared.ports.cluster import Life as MadeLife
from tests.doubles.mariadb import Server
from tests.doubles.tasks import MemoryArchives
from tests.model.acts import Acts
from tests.model.invariants import OWNERS, STRANGER
from tests.model.network import Wire
from tests.model.stage import Stage
from tests.model.watched import (
    Asked,
    HeardDatabases,
    Life,
    PostedLooks,
    Process,
    WatchedKubernetes,
    WatchedStore,
    WorldClock,
)

POLICY = Policy(delete_without_archive=True)
KEYS = KeyRing.parse(new_key())
SPEC = Spec(image="mariadb")
NO_POOL = Pool()


class World(Stage[Process], Acts):
    def __init__(self, policy: Policy = POLICY, pool: Pool = NO_POOL) -> None:
        super().__init__()
        self.policy, self.pool = policy, pool
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
        self.deletions_seen = 0
        for wrong in (CLOCK_SKEW / 2, -CLOCK_SKEW / 2):
            self.processes.append(self.new_process(wrong))

    def new_process(self, wrong: float, pool: Pool | None = None) -> Process:
        """`pool` is what it wants there to be; what everybody is to want in the end, unless it is said."""
        name, clock = self.name(), WorldClock(self.loop, wrong)
        api = Wire(self.kubernetes, self.network, name, "cluster", direct=frozenset({"watch", "page"}))
        cluster = HeardDatabases(api, SPEC, "plane")
        cluster.world = self
        leases = Wire(self.store, self.network, name, "store")
        archives = Wire(MemoryArchives(self.kubernetes), self.network, name, "archive")
        control = Control(leases, cluster, PostedLooks(self.posted), KEYS, clock, self.policy, archives,
                          self.pool if pool is None else pool)  # fmt: skip
        return Process(name, control, RecentBeats(clock))

    def another(self, process: Process) -> Process:
        return self.new_process(process.control.clock.now() - self.now, process.control.pool)

    def answered(self, owner: Owner, source: str) -> None:
        """What create_db says leads to the server that has this password."""
        password, address = source.removeprefix(f"mysql://{USER}:").removesuffix(")/?maxAllowedPacket=0").split("@tcp(")
        generation = self.kubernetes.addresses[address]
        assert self.kubernetes.passwords[generation] == password, f"{owner} was told another server's password"
        assert self.lives[generation].owner == owner, f"{owner} was told how to reach somebody else's server"

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
        super().pass_time(0.0)

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
