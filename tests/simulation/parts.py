"""What the simulation is made of: doubles that tell it what they see, and the lines that lead to them."""

import asyncio
import contextvars
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from shared.adapters.sealing import KeyRing, new_key
from shared.domain.errors import ArchiveUnavailable, ClusterUnavailable, StoreUnavailable
from shared.domain.leases import Event, Lease, Owner
from shared.domain.policy import MINUTE
from shared.ports.cluster import Evidence, Outcome, Workload
from tests.doubles.cluster import MemoryCluster
from tests.doubles.machines import Machines, Pod
from tests.doubles.machines import Workload as Made
from tests.doubles.memory import MemoryStore
from tests.model.network import Network, Wire

if TYPE_CHECKING:
    from tests.simulation.world import Simulation

KEYS = KeyRing.parse(new_key())
ERRORS = {"cluster": ClusterUnavailable, "archive": ArchiveUnavailable, "store": StoreUnavailable}
DEATH = 2e-5  # of a process, at a request
SLOW = 0.08  # of all requests, that take longer than nothing
SPOILT = 0.04  # of all archives, that are not there when somebody looks


class Lines(Network):
    """The network of the model, on which nobody waits to be delivered: what it does, it does in time."""

    world: "Simulation"

    async def send(self, sender: str, to: str, name: str, call: Any) -> Any:
        world = self.world
        random, process = world.rng.random, world.alive.get(sender)
        if process is None:
            raise asyncio.CancelledError  # the dead send nothing
        world.requests += 1
        if world.mortal and random() < DEATH:
            if random() < 0.5:
                await call()  # it was sent, and nobody is there to read the answer
            world.kill(process)
            await world.loop.create_future()
        share = world.weather.share(to)
        if share and random() < share:
            await self._fail(to, call, dead=share == 1.0)
        elif random() < SLOW:
            await asyncio.sleep(world.rng.expovariate(10.0))
        return await call()

    async def _fail(self, to: str, call: Any, *, dead: bool) -> None:
        """Refused at once, or after a while not carried out, carried out unheard, or carried out much later."""
        world = self.world
        fate = world.rng.random()
        if fate < 0.4:
            raise ERRORS[to]("refused")
        await asyncio.sleep(world.rng.uniform(0.5, 8.0))
        if not dead and fate < 0.7:
            await call()
        elif not dead and fate < 0.8 and to == "store":
            late = self._late(call, world.rng.uniform(1.0, MINUTE))
            world.loop.create_task(late, context=contextvars.Context())  # it dies with nobody
        raise ERRORS[to]("timed out")

    async def _late(self, call: Any, seconds: float) -> None:
        await asyncio.sleep(seconds)
        try:
            await call()
        except tuple(ERRORS.values()):
            pass
        except Exception as error:
            if type(error).__name__ not in ("Conflict", "Fenced"):
                raise


class Listed:
    """Workloads asked for in one request. No generator, which would have to be closed for whoever dies over it."""

    def __init__(self, wire: "HeardWire"):
        self._wire = wire
        self._rest: Iterator[Workload] | None = None

    def __aiter__(self) -> "Listed":
        return self

    async def __anext__(self) -> Workload:
        if self._rest is None:

            async def ask() -> list[Workload]:
                return [workload async for workload in self._wire._server.workloads()]

            found = await self._wire._network.send(self._wire._sender, self._wire._to, "workloads", ask)
            self._rest = iter(found)
        for workload in self._rest:
            return workload
        raise StopAsyncIteration


class HeardWire(Wire):
    """The way to the cluster, telling the simulation what a process came to know of a server."""

    def workloads(self) -> "Listed":
        return Listed(self)

    async def evidence(self, generation: str) -> Evidence | None:
        async def ask() -> Evidence | None:
            return await self._server.evidence(generation)

        heard: Evidence | None = await self._network.send(self._sender, self._to, "evidence", ask)
        life = self._network.world.lives.get(generation)
        if heard is not None and life is not None:
            life.asked = life.asking
        return heard


class WatchedCluster(MemoryCluster):
    """The cluster, telling the simulation when a server is asked what it counts."""

    world: "Simulation"

    async def evidence(self, generation: str) -> Evidence | None:
        answer = await super().evidence(generation)
        if answer is not None and generation in self.world.lives:
            self.world.lives[generation].asking = self.world.asked(generation)
        return answer


class WatchedMachines(Machines):
    """The machines, telling the simulation of every act; now and then they lose what was just archived."""

    world: "Simulation"

    def changed(self, owner: Owner) -> None:
        self.world.acted(owner)

    def _comes_up(self, found: Made, pod: Pod) -> None:
        super()._comes_up(found, pod)
        if pod.outcome != Outcome() and found.task is not None:
            what = "stored" if found.stores else "fetched"
            owner = found.volume.life.owner
            self.world.note(owner, f"cluster: {what} {found.task.name}: {pod.outcome.failure or found.volume.data}")
            if found.stores and self.world.rng.random() < SPOILT:
                self.archives.pop(found.task.name, None)
                self.world.note(owner, f"cluster: {found.task.name} was lost just now")


class SimulatedStore(MemoryStore):
    """The store, telling the simulation of every write; nothing can be done about an owner in trouble."""

    world: "Simulation"

    def _try(self, owner: Owner) -> None:
        if owner in self.world.unreachable:
            raise StoreUnavailable("this partition is overloaded")

    async def get(self, owner: Owner, id: str) -> Lease | None:
        self._try(owner)
        return await super().get(owner, id)

    async def beat(self, owner: Owner, id: str, now: float, due: float) -> bool:
        self._try(owner)
        return await super().beat(owner, id, now, due)

    async def create(self, lease: Lease, event: Event) -> Lease:
        self._try(lease.owner)
        written = await super().create(lease, event)
        self.world.witness(None, written, event)
        return written

    async def replace(self, lease: Lease, event: Event | None = None) -> Lease:
        self._try(lease.owner)
        before = self.peek(lease.owner, lease.id)
        written = await super().replace(lease, event)
        self.world.witness(before, written, event)
        return written

    def everything(self) -> list[Lease]:
        """All leases, past all troubles."""
        return list(self._leases.values())


class Queue:
    """The port `Looks`: what is posted comes at once, late, twice or never."""

    def __init__(self, world: "Simulation"):
        self._world = world

    async def post(self, owner: Owner, id: str) -> None:
        draw, rng = self._world.rng.random(), self._world.rng
        if draw < 0.03:
            self._world.note(owner, "queue: a look is lost")
            return
        for _ in range(2 if draw < 0.08 else 1):
            later = rng.uniform(1.0, 20 * MINUTE) if draw > 0.95 else rng.uniform(0.0, 2.0)
            self._world.loop.call_later(later, self._world.look_at, owner, id)
