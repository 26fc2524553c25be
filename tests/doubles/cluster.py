"""A cluster in memory, on the level of its port: for as many lives as Kubernetes in memory is too slow for.

It passes the same contract suite as the real adapter. An act happens at once and as a whole, and in the order in
which acts arrive: what a single request of an act may meet is for `tests.doubles.kubernetes` to show.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from shared.domain.errors import ClusterRefused, ClusterUnavailable, Fenced, VolumeGone
from shared.manifests.mariadb import PORT, AddressKind
from shared.ports import cluster as port
from shared.ports.cluster import Evidence, Life, Outcome, Status, Task
from tests.doubles.machines import Machines, Volume, Workload

STOPPED = "it was stopped meanwhile"


class MemoryCluster:
    """`ports.cluster.Cluster` for one control plane. It looks every `step` seconds where it waits.

    `address` is the kind that a start gives; `patience` is for how long (seconds) nobody may have room for a
    pod before that ends a wait, `archives_at_once` how many may be stored at once (0: any number).
    """

    def __init__(self, machines: Machines, plane: str = "plane", *, address: AddressKind = AddressKind.CLUSTER_IP,
                 patience: float = 5.0, step: float = 1.0, archives_at_once: int = 0):  # fmt: skip
        self._archives_at_once = archives_at_once
        self._machines, self._plane, self._address = machines, plane, address
        self._patience, self._step = patience, step

    async def start(self, life: Life, step: int) -> None:
        found = self._fenced(life.generation, step)
        if found is not None and found.task is not None:
            await self._end_task(found, life.generation, step)
            found = self._fenced(life.generation, step)
            if found is None:
                raise ClusterUnavailable(f"{life.generation} went away while its task was ended")
        volume = self._volume(life, must_exist=bool(life.volume) or found is not None)
        volume.kind = self._address
        self._machines.give(volume, life)
        found = found or self._made(volume)
        found.step, found.task, found.orphan_since = step, None, None
        self._machines.scale(found, 1)

    async def _end_task(self, found: Workload, generation: str, step: int) -> None:
        found.step = step
        self._machines.scale(found, 0)
        while (now := self._machines.workload(generation)) is not None and now.pod is not None:
            await asyncio.sleep(self._step)
            self._fenced(generation, step)

    async def store(self, life: Life, step: int, task: Task) -> Outcome:
        found = self._fenced(life.generation, step)
        return self._run(step, task, self._volume(life, must_exist=True), found, stores=True)

    async def restore(self, life: Life, step: int, task: Task, *, wait: bool) -> Outcome:
        found = self._fenced(life.generation, step)
        volume = self._volume(life, must_exist=bool(life.volume) or found is not None)
        if volume.restored == task.name:
            return Outcome(done=True)
        outcome = self._run(step, task, volume, found, stores=False)
        while wait and outcome == Outcome():
            await asyncio.sleep(self._step)
            outcome = _told(self._own(life.generation), task)
        if outcome.done:
            volume.restored = task.name
        return outcome

    def _run(self, step: int, task: Task, volume: Volume, found: Workload | None, *, stores: bool) -> Outcome:
        """Bring the task one step closer to running, or say what is known of it."""
        if found is not None and found.replicas and found.task is not None and found.task.name == task.name:
            return _told(found, task)
        found = found or self._made(volume)
        found.step = step
        if found.replicas or found.pod is not None:
            self._machines.scale(found, 0)
            return Outcome()
        if stores and 0 < self._archives_at_once <= self._machines.storing(self._plane):
            return Outcome(waits=True)
        found.task, found.stores = task, stores
        self._machines.scale(found, 1)
        return Outcome()

    async def stop(self, generation: str, step: int) -> None:
        found = self._fenced(generation, step)
        if found is not None:
            found.step = step
            self._machines.scale(found, 0)

    async def delete(self, generation: str, step: int, volume: str) -> bool:
        found = self._fenced(generation, step)
        if found is not None:
            found.step = step
            self._machines.scale(found, 0)
            found = self._machines.workload(generation)
            if found is not None and found.pod is not None:
                return False
        there = self._own_volume(generation)
        if there is not None and volume not in ("", there.uid):
            raise ClusterRefused(f"the volume {generation} is not the one of this lease; left alone")
        self._machines.drop_workload(generation)
        self._machines.drop_volume(generation)
        return True

    async def status(self, generation: str) -> Status:
        return self._status(generation)

    def _status(self, generation: str) -> Status:
        volume, found = self._own_volume(generation), self._own(generation)
        pod = found.pod if found is not None else None
        standing = pod if pod is not None and pod.gone_at is None else None
        status = Status(
            exists=found is not None,
            pods=int(pod is not None),
            volume=volume.uid if volume else "",
            address=_address(volume, standing is not None) if volume else "",
        )
        if found is None:
            return status
        status = replace(status, step=found.step, replicas=found.replicas)
        if not found.replicas:
            return status
        if pod is None and self._machines.refused:
            return replace(status, failure=f"the cluster does not take the pod: {self._machines.refused}")
        if standing is None or not standing.up:
            return replace(status, failure=self._machines.stuck() if standing else "")
        return replace(status, ready=True, server=standing.name) if standing.server else status

    async def wait_ready(self, generation: str) -> Status:
        full_for = 0.0
        while True:
            status = self._status(generation)
            if status.ready:
                return status
            if status.replicas == 0:
                return replace(status, failure=STOPPED)
            if status.failure and (not self._machines.full or full_for >= self._patience):
                return status
            await asyncio.sleep(self._step)
            full_for += self._step if self._machines.full else 0.0

    async def evidence(self, generation: str) -> Evidence | None:
        try:
            found = self._own(generation)
            server = self._machines.server(generation)
        except (ClusterRefused, LookupError):
            return None
        assert found is not None and found.pod is not None
        if server.deaf or server.babbling:
            return None
        return Evidence(server.connections, server.connected, server.statements, server.executing > 0, found.pod.name)

    async def workloads(self) -> AsyncIterator[port.Workload]:
        for of, all_of_them in ((Workload, self._machines.workloads), (Volume, self._machines.volumes)):
            for generation in list(all_of_them):
                volume = self._machines.volumes.get(generation)
                if volume is None or volume.plane != self._plane:
                    continue
                item = all_of_them.get(generation)
                if item is not None and (of is Workload or generation not in self._machines.workloads):
                    replicas = item.replicas if isinstance(item, Workload) else 0
                    life = volume.life
                    yield port.Workload(life.owner, life.lease, generation, replicas, item.made_at, item.orphan_since)

    async def mark_orphan(self, workload: port.Workload, now: float) -> None:
        found = self._own(workload.generation)
        item = found or self._own_volume(workload.generation)
        if item is None or item.orphan_since != workload.orphan_since:
            return  # another pass was here, or a start
        if item.orphan_since is None:
            item.orphan_since = now
        elif found is not None:
            self._machines.scale(found, 0)

    def _own_volume(self, generation: str) -> Volume | None:
        volume = self._machines.volumes.get(generation)
        if volume is not None and volume.plane != self._plane:
            raise ClusterRefused(f"{generation} is not ours; left alone")
        return volume

    def _own(self, generation: str) -> Workload | None:
        self._own_volume(generation)
        return self._machines.workload(generation)

    def _fenced(self, generation: str, step: int) -> Workload | None:
        found = self._own(generation)
        if found is not None and found.step > step:
            raise Fenced(f"{generation} is at step {found.step}, this was step {step}")
        return found

    def _volume(self, life: Life, must_exist: bool) -> Volume:
        volume = self._own_volume(life.generation)
        if volume is None and not must_exist:
            machines = self._machines
            volume = Volume(life, self._plane, machines.serial(), machines.clock.now(), self._address)
            machines.volumes[life.generation] = volume
        if volume is None:
            raise VolumeGone(f"the volume {life.generation} is gone")
        if life.volume not in ("", volume.uid):
            raise VolumeGone(f"the volume {life.generation} is gone, another has its name")
        return volume

    def _made(self, volume: Volume) -> Workload:
        made = Workload(volume, self._machines.clock.now(), 0)
        self._machines.workloads[volume.life.generation] = made
        return made


def _told(found: Workload | None, task: Task) -> Outcome:
    """What is known of a task by now."""
    if found is None or found.pod is None or found.pod.gone_at is not None:
        return Outcome()
    return found.pod.outcome if found.task is not None and found.task.name == task.name else Outcome()


def _address(volume: Volume, served: bool) -> str:
    """As a cluster gives them: stable inside of it, a node's from outside."""
    match volume.kind:
        case AddressKind.CLUSTER_IP:
            return f"10.0.{volume.number // 256 % 256}.{volume.number % 256}:{PORT}"
        case _:
            return f"192.0.2.1:{30000 + volume.number}" if served else ""
