"""What a life consists of besides its pod: made where it is missing, brought to what is set today where it is there.

A start does both, and nothing else does: a database that runs keeps its address and its clients'
networks until it is started again.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

from shared.adapters.k8s.api import AlreadyExists, Object, ObjectConflict, ObjectGone
from shared.adapters.k8s.fences import TRIES, Fences
from shared.domain.errors import ClusterRefused, ClusterUnavailable, VolumeGone
from shared.manifests import database
from shared.manifests.mariadb import Spec, init_scripts
from shared.ports.cluster import Life

# What a Service of one type has and another may not have, besides what we ask for.
TYPED = ("externalTrafficPolicy", "loadBalancerSourceRanges", "healthCheckNodePort", "allocateLoadBalancerNodePorts",
         "loadBalancerClass", "loadBalancerIP")  # fmt: skip


class Parts:
    """Makes and renews the parts of one control plane's lives."""

    def __init__(self, fences: Fences, spec: Spec):
        self._fences = fences
        self._spec = spec

    async def volume(self, life: Life, must_exist: bool) -> str:
        """The UID of the life's claim, made if it may be missing.

        Raises VolumeGone if the API server knows no claim of that name, or another one.
        """
        found = None
        if not must_exist:
            found = await self.make(database.volume_claim(life, self._spec, self._fences.plane))
        found = found or await self._fences.own("PersistentVolumeClaim", life.generation)
        if found is None:
            raise VolumeGone(f"the volume {database.name(life.generation)} is gone")
        uid: str = found["metadata"]["uid"]
        if life.volume not in ("", uid):
            raise VolumeGone(f"the volume {database.name(life.generation)} is gone, another has its name")
        if "deletionTimestamp" in found["metadata"]:
            raise ClusterRefused(f"the volume {database.name(life.generation)} is being deleted")
        return uid

    async def provide(self, life: Life, volume: str, step: int, workload: Object | None) -> Object | None:
        """All that a pod needs to start, and the StatefulSet that was made if there was no `workload`."""
        plane = self._fences.plane
        policy = database.network_policy(life, self._spec, plane, volume)
        service = database.service(life, self._spec, plane, volume)
        renewed = {"spec": policy["spec"]}
        acts: list[Awaitable[Any]] = [
            self._ensure(policy, lambda found: owned(found, policy) | renewed, workload),
            self._ensure(service, lambda found: renewed_service(found, service), workload),
            self.make(database.secret(life, plane, volume)),
            self.make(init_scripts()),
        ]
        if workload is None:
            acts.append(self.make(database.stateful_set(life, self._spec, plane, volume, step, replicas=0)))
        elif owned(workload, policy) != workload:  # a spare that is given to somebody
            acts.append(self._renew("PersistentVolumeClaim", life.generation, lambda found: owned(found, policy)))
        made = await together(*acts)
        return made[-1] if workload is None else None

    async def make(self, manifest: Object) -> Object | None:
        """The object made, or None if its name was taken."""
        try:
            return await self._fences.api.create(manifest)
        except AlreadyExists:
            return None

    async def _ensure(self, wanted: Object, change: Callable[[Object], Object], workload: Object | None) -> None:
        """Have it made, or changed where it is there; where there is a `workload` it is looked for first."""
        kind, generation = wanted["kind"], wanted["metadata"]["labels"][database.GENERATION]
        found = await self._fences.own(kind, generation) if workload is not None else None
        if found is None and await self.make(wanted) is not None:
            return
        await self._renew(kind, generation, change, found)

    async def _renew(
        self, kind: str, generation: str, change: Callable[[Object], Object], found: Object | None = None
    ) -> None:
        """Put `change` of the object in its place, if that is another. `found` saves the first read."""
        for _ in range(TRIES):
            found = found or await self._fences.own(kind, generation)
            if found is None:
                break
            before = copied(found)
            wanted = change(before)
            if wanted == before:
                return
            try:
                await self._fences.api.replace(wanted)
                return
            except ObjectConflict:
                found = None  # a cloud's controller writes a status
            except ObjectGone:
                break
        raise ClusterUnavailable(f"{kind} {database.name(generation)} went away or keeps changing", retry_after=1)


def owned(found: Object, wanted: Object) -> Object:
    """`found` with the owner and lease that `wanted` names; `found` stays as it is."""
    annotations = {key: wanted["metadata"]["annotations"][key] for key in (database.OWNER, database.LEASE)}
    metadata = found["metadata"]
    return found | {"metadata": metadata | {"annotations": (metadata.get("annotations") or {}) | annotations}}


def renewed_service(found: Object, wanted: Object) -> Object:
    """`found` as `wanted` has it, with the addresses and ports that it was given; `found` stays as it is."""
    new = copy.deepcopy(found)
    new["metadata"]["annotations"] |= wanted["metadata"]["annotations"]
    spec, asked = new["spec"], wanted["spec"]
    same = spec.get("type") == asked["type"]
    for key in TYPED[:2] if same else TYPED:
        spec.pop(key, None)
    given = spec["ports"][0].get("nodePort")
    spec |= asked
    if given and asked["type"] != "ClusterIP":
        spec["ports"] = [asked["ports"][0] | {"nodePort": given}]
    return new


def copied(found: Object) -> Object:
    """What a replace sends: the object as read, without what the server alone writes."""
    new = copy.deepcopy({key: found[key] for key in found if key != "status"})
    new["metadata"].pop("managedFields", None)
    new["metadata"].setdefault("labels", {})
    new["metadata"].setdefault("annotations", {})
    return new


def scaled(found: Object, replicas: int) -> Object:
    """The StatefulSet with that many replicas."""
    new = copied(found)
    new["spec"]["replicas"] = replicas
    return new


async def together(*acts: Awaitable[Any]) -> list[Any]:
    """All of them at once; waits for every one, then raises the first error."""
    results = await asyncio.gather(*acts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
