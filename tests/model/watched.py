"""What a world is made of: processes, their clocks, and doubles that tell it what they see."""

import asyncio
import contextvars
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.adapters.k8s.api import Object
from shared.adapters.k8s.databases import Databases
from shared.domain.beats import RecentBeats
from shared.domain.control import Control
from shared.domain.leases import Event, Lease, Owner
from shared.ports.cluster import Evidence
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.memory import MemoryStore
from tests.virtual import VirtualLoop

if TYPE_CHECKING:
    from tests.model.world import World

T0 = 1_800_000_000.0


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
    born: float = 0.0
    ready: bool = False
    used_at: float = float("-inf")  # last moment at which a connection was open or came
    asking: "Asked | None" = None  # what its server said, whether or not anybody heard it
    asked: "Asked | None" = None  # the last that a look heard
    moved_at: float = float("-inf")  # last transition
    slept_at: float | None = None  # when it was seen to be at 0 replicas
    unwanted: bool = False  # its owner had it deleted
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
        self.world.witness(None, written, event)
        return written

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        before = await super().get(lease.owner, lease.id)
        written = await super().replace(lease, event)
        self.world.witness(before, written, event)
        return written


class WatchedKubernetes(Kubernetes):
    """Kubernetes, telling the world when a server is asked what it counts, and knowing what leads to it."""

    world: "World"

    def __init__(self, **how: Any):
        super().__init__(**how)
        self.addresses: dict[str, str] = {}  # `host:port` → generation, whether or not it is there any more
        self.passwords: dict[str, str] = {}  # generation → what its server was made with

    def _create(self, manifest: Object) -> Object:
        made = super()._create(manifest)
        generation = made["metadata"].get("name", "").removeprefix("pg-")
        if made["kind"] == "Service":
            self.addresses[f"{made['spec']['clusterIP']}:3306"] = generation
        if made["kind"] == "Secret" and "password" in made["stringData"]:
            self.passwords[generation] = made["stringData"]["password"]
        return made

    def _run(self, pod: str, argv: Any) -> Any:
        output = super()._run(pod, argv)
        self.world.lives[pod.removeprefix("pg-").removesuffix("-0")].asking = self.world.truth(pod)
        return output

    def replicas(self, generation: str) -> int:
        workload = self.objects.get(("StatefulSet", f"pg-{generation}"))
        return workload["spec"]["replicas"] if workload else 0


class HeardDatabases(Databases):
    """The real adapter, telling the world what its caller came to know."""

    world: "World"

    async def evidence(self, generation: str) -> Evidence | None:
        heard = await super().evidence(generation)
        if heard is not None:
            self.world.lives[generation].asked = self.world.lives[generation].asking
        return heard


@dataclass
class Member:
    """One process among several."""

    name: str
    work: list[asyncio.Task[Any]] = field(default_factory=list, kw_only=True)  # what it was asked to do
    tasks: list[asyncio.Task[Any]] = field(default_factory=list, kw_only=True)  # and everything that runs for it


@dataclass
class Process(Member):
    """One instance of the control plane."""

    control: Control
    recent: RecentBeats


PROCESS: contextvars.ContextVar[Member] = contextvars.ContextVar("PROCESS")


class PostedLooks:
    """Looks that a process posted: any process may pick them up, or nobody."""

    def __init__(self, posted: list[tuple[Owner, str]]):
        self._posted = posted

    async def post(self, owner: Owner, id: str) -> None:
        self._posted.append((owner, id))


def owned_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
    """Every task belongs to the process in whose context it began, and dies with it."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **kwargs)
    context = kwargs.get("context")
    process = context.get(PROCESS) if context else PROCESS.get(None)
    if process is not None:
        process.tasks.append(task)
    return task
