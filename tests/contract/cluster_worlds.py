"""The clusters that the contract of `Cluster` is tested on, and what a test does to them from outside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from shared.adapters.k8s.databases import Databases
from shared.domain.leases import Owner, new_generation
from shared.manifests.mariadb import AddressKind, Spec
from shared.ports.cluster import Cluster, Life, Status
from tests.doubles.cluster import MemoryCluster
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.machines import Machines

PASSWORD = "Notebook1"
WORLDS = ["memory", "port", pytest.param("kubernetes", marks=pytest.mark.cluster)]


def life(volume: str = "", user: str = "alice") -> Life:
    return Life(Owner("acme", user), "database", new_generation(), PASSWORD, "Root1", volume)


class World(Protocol):
    """A cluster and the hand of fate."""

    def databases(self, plane: str = "plane-a", **changes: Any) -> Cluster:
        """A control plane on this cluster, its specification changed."""

    async def write(self, status: Status, generation: str, text: str) -> None:
        """Keep a text in the database, as its user."""

    async def read(self, status: Status, generation: str) -> list[str]:
        """The texts kept there."""

    def connected(self, status: Status, generation: str) -> Any:
        """`async with`: a connection of the user is open and runs nothing."""

    async def refuse_pods(self) -> None:
        """From now on the cluster takes no pod."""

    async def no_image(self) -> dict[str, Any]:
        """A change of the specification that names an image that cannot be had."""

    async def no_room(self) -> dict[str, Any]:
        """A change of the specification that fits on no node."""

    async def drop_workload(self, generation: str) -> None:
        """Delete the StatefulSet behind the control plane's back."""

    async def drop_volume(self, generation: str) -> None:
        """Delete the volume claim behind the control plane's back."""

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until the condition holds; returns what it returned."""


class Memory:
    """The real adapter on Kubernetes in memory."""

    def __init__(self) -> None:
        self.kubernetes = Kubernetes(auto=True)
        self.spec = Spec(image="mariadb:10.11")

    def databases(self, plane: str = "plane-a", **changes: Any) -> Databases:
        return Databases(self.kubernetes, replace(self.spec, **changes), plane, patience=0.01)

    async def write(self, status: Status, generation: str, text: str) -> None:
        self.kubernetes.controllers.server(generation).execute(text)

    async def read(self, status: Status, generation: str) -> list[str]:
        return list(self.kubernetes.controllers.server(generation).data)

    @asynccontextmanager
    async def connected(self, status: Status, generation: str) -> AsyncIterator[None]:
        server = self.kubernetes.controllers.server(generation)
        server.connect()
        yield
        server.disconnect()

    async def refuse_pods(self) -> None:
        self.kubernetes.controllers.refuse_pods = "exceeded quota: none"

    async def no_image(self) -> dict[str, Any]:
        self.kubernetes.controllers.waiting = ("ErrImagePull", "not found")
        return {"image": "nowhere/nothing:1"}

    async def no_room(self) -> dict[str, Any]:
        self.kubernetes.controllers.full = "0/1 nodes are available: 1 Insufficient cpu."
        return {"cpu": "1000", "cpu_limit": "1000"}

    async def drop_workload(self, generation: str) -> None:
        await self._drop("StatefulSet", generation)

    async def drop_volume(self, generation: str) -> None:
        await self._drop("PersistentVolumeClaim", generation)

    async def _drop(self, kind: str, generation: str) -> None:
        self.kubernetes.remove(self.kubernetes.objects[kind, f"pg-{generation}"])
        await self.kubernetes.settle()

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(5):  # what the condition asks for may take some acts
            await self.kubernetes.settle()
            if result := await condition():
                return result
        raise AssertionError("it never comes")


class Port:
    """The double of the port itself."""

    def __init__(self) -> None:
        self.machines = Machines()

    def databases(self, plane: str = "plane-a", address: AddressKind = AddressKind.CLUSTER_IP,
                  archives_at_once: int = 0, **_: Any) -> Cluster:  # fmt: skip
        return MemoryCluster(
            self.machines, plane, address=address, patience=0.01, step=0.001, archives_at_once=archives_at_once
        )

    async def write(self, status: Status, generation: str, text: str) -> None:
        self.machines.server(generation).execute(text)

    async def read(self, status: Status, generation: str) -> list[str]:
        return list(self.machines.server(generation).data)

    @asynccontextmanager
    async def connected(self, status: Status, generation: str) -> AsyncIterator[None]:
        server = self.machines.server(generation)
        server.connect()
        yield
        server.disconnect()

    async def refuse_pods(self) -> None:
        self.machines.refused = "exceeded quota: none"

    async def no_image(self) -> dict[str, Any]:
        self.machines.image = "not found"
        return {}

    async def no_room(self) -> dict[str, Any]:
        self.machines.full = "0/1 nodes are available: 1 Insufficient cpu."
        return {}

    async def drop_workload(self, generation: str) -> None:
        self.machines.drop_workload(generation)

    async def drop_volume(self, generation: str) -> None:
        self.machines.drop_volume(generation)

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        for _ in range(5):  # what the condition asks for may take some acts
            if result := await condition():
                return result
            await asyncio.sleep(0.001)
        raise AssertionError("it never comes")


@asynccontextmanager
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The one of WORLDS that a fixture is asked for."""
    if request.param == "memory":
        yield Memory()
        return
    if request.param == "port":
        yield Port()
        return
    from tests.contract.cluster_real import real_world

    async with real_world(request.getfixturevalue("real_cluster")) as world:
        yield world


async def ready(world: World, cluster: Cluster, of: Life, step: int) -> Status:
    """Its status when it is ready, after a start."""
    await cluster.start(of, step)
    async with asyncio.timeout(60):
        status = await cluster.wait_ready(of.generation)
    assert status.ready, status

    async def known() -> bool:  # a wait may know it a moment before a look does
        return await cluster.status(of.generation) == status

    await world.until(known)
    return status


async def without_pods(world: World, cluster: Cluster, generation: str) -> Status:
    """Its status when its last pod is gone."""

    async def gone() -> Status | None:
        status = await cluster.status(generation)
        return status if status.pods == 0 else None

    found: Status = await world.until(gone)
    return found
