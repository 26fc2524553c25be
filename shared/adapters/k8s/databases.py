"""Databases on Kubernetes: the port `Cluster` over the verbs of `api`.

The order of requests is the safety: a life begins with its volume claim and ends with it; a
StatefulSet is made with no replica, so that a create which is repeated or late starts nothing, and
only a fenced update starts one. All else of a life is owned by the claim: what a late create makes
of a dead life, Kubernetes collects.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

from shared.adapters.k8s.addresses import kind_of, slices_of
from shared.adapters.k8s.api import Api, Object, ObjectConflict, ObjectGone, WatchExpired
from shared.adapters.k8s.evidence import ask
from shared.adapters.k8s.fences import TRIES, Fences, fence
from shared.adapters.k8s.parts import Parts, copied, scaled, together
from shared.adapters.k8s.pods import Pods
from shared.adapters.k8s.readiness import View, judge, observed, seconds
from shared.adapters.k8s.sharing import Shared
from shared.adapters.k8s.tasks import Tasks, has_task
from shared.adapters.k8s.waiting import Wait
from shared.adapters.k8s.watching import everything
from shared.domain.errors import ClusterRefused, ClusterUnavailable
from shared.domain.leases import Owner
from shared.manifests import database
from shared.manifests.mariadb import AddressKind, Spec
from shared.manifests.tasks import TASK
from shared.ports.cluster import Evidence, Life, Outcome, Status, Task, Workload

# Starts, stops and deletions of one process that are at the API server at once, first come first served: requests are
# paced, and who came first is to be done with its dozen while the others have not begun, rather than all be done last.
ACTS = 8


class Databases:
    """`ports.cluster.Cluster` for one control plane (`plane`, its random id) in one namespace.

    `patience` is for how long (seconds) nobody may have room for a pod before that ends a wait.
    """

    def __init__(self, api: Api, spec: Spec, plane: str, *, domain: str = "cluster.local", patience: float = 5.0):
        self._api = api
        self._spec = spec
        self._plane = plane
        self._domain = domain
        self._patience = patience
        self._fences = Fences(api, plane)
        self._parts = Parts(self._fences, spec)
        self._acts = asyncio.Semaphore(ACTS)
        self._pods = Pods(api, plane)
        self._tasks = Tasks(self._fences, self._parts, self._pods, spec)
        self._waits = Shared[str, Status]()

    async def start(self, life: Life, step: int) -> None:
        async with self._acts:
            workload = await self._fences.own("StatefulSet", life.generation)
            if workload is not None:
                fence(workload, step)
            if workload is None or not has_task(workload):
                await self._start(life, step, workload, after_task=False)
                return
        ended = await self._tasks.end(life, step, workload)  # may wait, and nobody shall wait with it
        async with self._acts:
            await self._start(life, step, ended, after_task=True)

    async def _start(self, life: Life, step: int, workload: Object | None, *, after_task: bool) -> None:
        volume = await self._parts.volume(life, must_exist=bool(life.volume) or workload is not None)
        made = await self._parts.provide(life, volume, step, workload)
        wanted = database.stateful_set(life, self._spec, self._plane, volume, step, replicas=1)

        def started(found: Object) -> Object:
            if "deletionTimestamp" in found["metadata"]:
                raise ClusterUnavailable(f"{found['metadata']['name']} is being deleted")
            if has_task(found) and not after_task:  # whose pod would stay, and pass for the database's
                raise ClusterUnavailable(f"{found['metadata']['name']} was given a task meanwhile", retry_after=1)
            new = copied(found)
            new["metadata"]["labels"] |= wanted["metadata"]["labels"]
            new["metadata"]["labels"].pop(database.ORPHAN, None)
            new["metadata"]["annotations"] |= wanted["metadata"]["annotations"]
            for key in (database.ORPHAN_SINCE, TASK):
                new["metadata"]["annotations"].pop(key, None)
            new["spec"] |= {key: wanted["spec"][key] for key in ("replicas", "template", "updateStrategy")}
            return new

        if await self._fences.change(life.generation, step, started, workload or made) is None:
            raise ClusterUnavailable(f"{database.name(life.generation)} went away while it was started")

    async def store(self, life: Life, step: int, task: Task) -> Outcome:
        async with self._acts:
            return await self._tasks.store(life, step, task)

    async def restore(self, life: Life, step: int, task: Task, *, wait: bool) -> Outcome:
        return await self._tasks.restore(life, step, task, wait=wait)

    async def stop(self, generation: str, step: int) -> None:
        async with self._acts:
            await self._fences.change(generation, step, lambda found: scaled(found, 0))

    async def delete(self, generation: str, step: int, volume: str) -> bool:
        async with self._acts:
            return await self._delete(generation, step, volume)

    async def _delete(self, generation: str, step: int, volume: str) -> bool:
        # First no replica with our step: whoever would start it has read another resourceVersion.
        workload = await self._fences.change(generation, step, lambda found: scaled(found, 0))
        if workload is not None:
            await self._tasks.drop_secret(generation, workload)
            await self._fences.delete("StatefulSet", generation, step)
        if (await self._api.page("Pod", self._pods.selector(generation))).items:
            return False  # it is still writing, and still needs its policy
        claim = await self._fences.own("PersistentVolumeClaim", generation)
        if claim is not None and volume not in ("", claim["metadata"]["uid"]):
            raise ClusterRefused(f"the volume {database.name(generation)} is not the one of this lease; left alone")
        kinds = ("StatefulSet", "Service", "NetworkPolicy", "Secret")
        gone = await together(*(self._fences.delete(kind, generation, step) for kind in kinds))
        if not all(gone) and not all(await together(*(self._fences.delete(kind, generation, step) for kind in kinds))):
            return False
        if claim is None:
            return True
        metadata = claim["metadata"]
        try:
            await self._api.delete(
                "PersistentVolumeClaim", metadata["name"], metadata["uid"], metadata["resourceVersion"]
            )
        except ObjectConflict:
            return False
        return await self._fences.own("PersistentVolumeClaim", generation) is None

    async def status(self, generation: str) -> Status:
        workload, volume, service, (pods, slices) = await together(
            self._fences.own("StatefulSet", generation),
            self._fences.own("PersistentVolumeClaim", generation),
            self._fences.own("Service", generation),
            self._running(generation),
        )
        view = View(workload, volume, service, slices, pods)
        if workload and workload["spec"].get("replicas") and not view.pods:
            events, _ = await everything(self._api, "Event", fields=f"involvedObject.name={database.name(generation)}")
            view.events = _by_name(events)
        return self._judge(view)

    async def wait_ready(self, generation: str) -> Status:
        joined = self._waits.under_way(generation)
        status = await self._waits.join(generation, lambda: self._wait(generation))
        if joined and not status.ready:
            # That wait may have seen what was there before its caller acted; what is under way now has not.
            status = await self._waits.join(generation, lambda: self._wait(generation))
        return status

    async def _wait(self, generation: str) -> Status:
        workload, volume, service = await together(
            *(self._fences.own(kind, generation) for kind in ("StatefulSet", "PersistentVolumeClaim", "Service"))
        )
        # A spare that was given away serves already. A start may be renewing a Service of another kind just now: what
        # was read of that may be older than the step that the StatefulSet has.
        renewed = service is not None and kind_of(service) is self._spec.address
        if renewed and workload is not None and observed(workload):
            pods, slices = await self._running(generation)
            status = self._judge(View(workload, volume, service, slices, pods))
            if status.ready:
                return status
        wait = Wait(self._api, self._pods, generation, self._judge, self._patience)
        # A balancer's address comes late. Who comes before a start has made or renewed the Service waits for
        # that, too, and learns of a volume at the end.
        status = await wait.ready(volume, service, followed=self._changes(service))
        if status.ready and volume is None:
            made = await self._fences.own("PersistentVolumeClaim", generation)
            status = replace(status, volume=made["metadata"]["uid"] if made else "")
        return status

    async def _running(self, generation: str) -> tuple[dict[str, Object], dict[str, Object]]:
        """Its pods, and the slices of its Service."""
        pods, slices = await together(
            everything(self._api, "Pod", self._pods.selector(generation)),
            everything(self._api, "EndpointSlice", slices_of(generation)),
        )
        return _by_name(pods[0]), _by_name(slices[0])

    def _changes(self, service: Object | None) -> bool:
        """Whether the Service is not yet what it will be when its database is ready."""
        kind = kind_of(service) if service is not None else None
        return kind is AddressKind.LOAD_BALANCER or kind is not self._spec.address

    def _judge(self, view: View) -> Status:
        return judge(view, self._domain)

    async def evidence(self, generation: str) -> Evidence | None:
        return await ask(self._api, self._pods.selector(generation))

    async def workloads(self) -> AsyncIterator[Workload]:
        known = set()
        for kind in ("StatefulSet", "PersistentVolumeClaim"):
            after: str | None = None
            while after != "":
                try:
                    page = await self._api.page(kind, f"{database.PLANE}={self._plane}", after=after or "")
                except WatchExpired:  # whoever reads was slower than the token lives
                    after = None
                    continue
                for item in page.items:
                    if item["metadata"]["name"] not in known:
                        known.add(item["metadata"]["name"])
                        yield _workload(item)
                after = page.after

    async def mark_orphan(self, workload: Workload, now: float) -> None:
        for _ in range(TRIES):
            found = await self._fences.own("StatefulSet", workload.generation)
            found = found or await self._fences.own("PersistentVolumeClaim", workload.generation)
            if found is None or _workload(found).orphan_since != workload.orphan_since:
                return  # another pass was here, or a start
            new = copied(found)
            if workload.orphan_since is None:
                new["metadata"]["annotations"][database.ORPHAN_SINCE] = datetime.fromtimestamp(now, UTC).isoformat()
            else:
                new["metadata"]["labels"][database.ORPHAN] = "true"
                if found["kind"] == "StatefulSet":
                    new["spec"]["replicas"] = 0
            try:
                await self._api.replace(new)
            except ObjectConflict:
                continue  # its controller writes a status
            except ObjectGone:
                pass
            return


def _by_name(items: list[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in items}


def _workload(item: Object) -> Workload:
    metadata = item["metadata"]
    annotations = metadata.get("annotations") or {}
    try:
        since = seconds(annotations[database.ORPHAN_SINCE])
    except (KeyError, ValueError):
        since = None
    return Workload(
        owner=Owner.from_key(annotations.get(database.OWNER, "")),
        lease=annotations.get(database.LEASE, ""),
        generation=metadata["labels"].get(database.GENERATION, ""),
        replicas=item["spec"].get("replicas", 0),
        created_at=seconds(metadata["creationTimestamp"]),
        orphan_since=since,
    )
