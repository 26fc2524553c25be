"""One life on a cluster in memory, and a network that strikes once."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared.adapters.k8s.databases import Databases
from shared.domain.errors import ClusterUnavailable
from shared.manifests import database
from shared.manifests.mariadb import Spec
from shared.ports.cluster import Life
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request

SPEC = Spec(image="mariadb:10.11")


class Rig:
    """A cluster in memory, one life on it, and a network that strikes once."""

    def __init__(self) -> None:
        self.kubernetes = Kubernetes()
        self.cluster = Databases(self.kubernetes, SPEC, "plane-a", patience=0.01)
        self.life = life()
        self.generation = self.life.generation

    async def ready(self, step: int, of: Life | None = None) -> str:
        """The UID of the volume of the life, started."""
        await self.cluster.start(of or self.life, step)
        await self.kubernetes.settle()
        status = await self.cluster.status(self.generation)
        assert status.ready
        return status.volume

    async def struck(self, act: Callable[[], Awaitable[object]], fate: Fate, position: int) -> bool:
        """Run the act; `fate` strikes its request number `position`. False if it has no so many."""
        first = len(self.kubernetes.requests)

        async def gate(request: Request) -> Fate | None:
            return fate if request.moment == "before" and request.number == first + position else None

        self.kubernetes.gate = gate
        with suppress(ClusterUnavailable):
            await act()
        self.kubernetes.gate = passing
        return len(self.kubernetes.requests) > first + position

    async def arrive(self) -> None:
        """All that the network still holds arrives, and the controllers see it."""
        while self.kubernetes.late:
            await self.kubernetes.deliver()
            await self.kubernetes.settle()
        await self.kubernetes.settle()

    async def deleted(self, step: int, volume: str) -> None:
        for _ in range(9):
            await self.kubernetes.settle()
            if await self.cluster.delete(self.generation, step, volume):
                return
        raise AssertionError("it is never gone")

    def standing(self) -> dict[str, int | None]:
        """What there is of the life, and how many replicas are wanted of it."""
        return {
            kind: item["spec"].get("replicas") if kind == "StatefulSet" else None
            for (kind, name), item in self.kubernetes.objects.items()
            if name.startswith(database.name(self.generation)) and kind != "Event"
        }


async def passing(request: Request) -> Fate | None:
    return None
