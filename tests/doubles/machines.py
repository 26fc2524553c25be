"""What a cluster in memory consists of, and what time does to it; `cluster.MemoryCluster` acts on it.

Nothing here runs by itself: whoever asks after a life first has happen what time has brought it, which costs
nothing for the thousands that nobody asks after. How long things take (seconds) is said by `starts`, `stops`
and `tasks`, asked anew each time.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.domain.leases import Owner
from shared.manifests.mariadb import AddressKind
from shared.ports.clock import Clock, SystemClock
from shared.ports.cluster import Life, Outcome, Task
from tests.doubles.kubernetes import Deletion
from tests.doubles.mariadb import Server
from tests.doubles.tasks import sealed


@dataclass(slots=True)
class Volume:
    """A volume claim, what is on it, and the address that hangs on it."""

    life: Life
    plane: str
    number: int
    made_at: float
    kind: AddressKind
    data: list[str] = field(default_factory=list)
    restored: str = ""  # the archive that it was filled from
    orphan_since: float | None = None

    @property
    def uid(self) -> str:
        return f"volume-{self.number}"


@dataclass(slots=True)
class Pod:
    """A database server, or a task in its place. `up_at`: when it serves or is done; `gone_at`: told to end."""

    name: str
    up_at: float
    gone_at: float | None = None
    server: Server | None = None
    outcome: Outcome = field(default_factory=Outcome)
    up: bool = False


@dataclass(slots=True)
class Workload:
    """What wants a pod. `task` is the one that has the server's place, `stores` whether it stores or fetches."""

    volume: Volume
    made_at: float
    step: int
    replicas: int = 0
    task: Task | None = None
    stores: bool = False
    pod: Pod | None = None
    orphan_since: float | None = None


def at_once() -> float:
    return 0.0


class Machines:
    """All workloads and volumes by generation, whosesoever they are, and what is wrong with the cluster.

    `refused`: why no pod is taken, `image`: why none runs, `full`: why none has room, `broken_tasks`: why what
    stores or fetches archives fails ("" each: nothing is wrong).
    """

    def __init__(self, clock: Clock | None = None, *, starts: Callable[[], float] = at_once,
                 stops: Callable[[], float] = at_once, tasks: Callable[[], float] = at_once):  # fmt: skip
        self.clock = clock or SystemClock()
        self._starts, self._stops, self._tasks = starts, stops, tasks
        self.refused = self.image = self.full = self.broken_tasks = ""
        self.workloads: dict[str, Workload] = {}
        self.volumes: dict[str, Volume] = {}
        self.archives: dict[str, list[str]] = {}  # name → what was stored
        self.deletions: list[Deletion] = []
        self.most_at_once: dict[str, int] = defaultdict(int)  # owner → most generations with a replica
        self._wanted: dict[Owner, set[str]] = defaultdict(set)
        self._serial = 0

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    def workload(self, generation: str) -> Workload | None:
        """A life's workload as it is by now."""
        found = self.workloads.get(generation)
        if found is None:
            return None
        now, since = self.clock.monotonic(), self.clock.monotonic()
        if found.pod is not None and found.pod.gone_at is not None and found.pod.gone_at <= now:
            since, found.pod = found.pod.gone_at, None
        if found.pod is None and found.replicas and not self.refused:
            takes = self._tasks() if found.task else self._starts()
            found.pod = Pod(f"pod-{self.serial()}", since + takes)
        pod = found.pod
        if pod is not None and not pod.up and pod.gone_at is None and pod.up_at <= now and not self.stuck():
            pod.up = True
            self._comes_up(found, pod)
        return found

    def stuck(self) -> str:
        """Why a pod that is there does not come up."""
        if self.image:
            return f"the image cannot be pulled: {self.image}"
        return f"no node has room for it: {self.full}" if self.full else ""

    def server(self, generation: str) -> Server:
        """The running server of a life. Raises LookupError."""
        found = self.workload(generation)
        if found is None or found.pod is None or found.pod.server is None or found.pod.gone_at is not None:
            raise LookupError(f"no server of {generation} runs")
        return found.pod.server

    def restart(self, generation: str) -> None:
        """The server ends and starts again: connections and counters are gone."""
        found = self.workload(generation)
        if found is not None and found.pod is not None and found.pod.server is not None:
            found.pod.server, found.pod.name = Server(found.volume.data), f"pod-{self.serial()}"

    def lose_pod(self, generation: str) -> None:
        """Its node is gone; whoever asks next finds another pod on its way."""
        if (found := self.workload(generation)) is not None:
            found.pod = None

    def replicas(self, generation: str) -> int:
        found = self.workloads.get(generation)
        return found.replicas if found else 0

    def storing(self, plane: str) -> int:
        """How many pods of a control plane store something, or have done so and still stand."""
        return sum(w.replicas > 0 and w.task is not None and w.stores and w.volume.plane == plane
                   for w in self.workloads.values())  # fmt: skip

    def wanted(self, owner: Owner) -> list[Life]:
        """The lives of this owner that want a pod."""
        return [self.volumes[generation].life for generation in sorted(self._wanted[owner])]

    def scale(self, found: Workload, replicas: int) -> None:
        """Want so many pods from now on."""
        generation, owner = found.volume.life.generation, found.volume.life.owner
        found.replicas = replicas
        if not replicas and found.pod is not None and found.pod.gone_at is None:
            found.pod.gone_at = self.clock.monotonic() + self._stops()
        if replicas:
            self._wanted[owner].add(generation)
        else:
            self._wanted[owner].discard(generation)
        self.most_at_once[owner.key] = max(self.most_at_once[owner.key], len(self._wanted[owner]))
        self.changed(owner)

    def give(self, volume: Volume, life: Life) -> None:
        """From now on it is of the owner that `life` names."""
        self._wanted[volume.life.owner].discard(life.generation)
        volume.life = life

    def drop_workload(self, generation: str) -> None:
        if (found := self.workloads.get(generation)) is not None:
            self.scale(found, 0)
            del self.workloads[generation]

    def drop_volume(self, generation: str) -> None:
        if (volume := self.volumes.pop(generation, None)) is not None:
            owner = volume.life.owner
            self.deletions.append(Deletion(f"pg-{generation}", volume.uid, owner.key, tuple(volume.data)))
            self.changed(owner)

    def changed(self, owner: Owner) -> None:
        """Somebody acted on what is this owner's: for whoever watches."""

    def _comes_up(self, found: Workload, pod: Pod) -> None:
        task, data = found.task, found.volume.data
        if task is None:
            pod.server = Server(data)
        elif self.broken_tasks:
            pod.outcome = Outcome(failure=f"{'archiver' if found.stores else 'fetch'} failed: {self.broken_tasks}")
        elif found.stores:
            self.archives[task.name] = list(data)
            sha256, size = sealed(data)
            pod.outcome = Outcome(done=True, sha256=sha256, size=size)
        elif task.name not in self.archives or sealed(self.archives[task.name]) != (task.sha256, task.size):
            pod.outcome = Outcome(failure="fetch failed: it is not what was stored")
        else:
            data[:] = self.archives[task.name]
            pod.outcome = Outcome(done=True)
