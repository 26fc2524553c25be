"""Tasks on a life's volume, in the place of its database: storing what it holds, and beginning with an archive.

One StatefulSet has the database's pod or a task's, and Kubernetes lets no second one be until the
first is gone. What it has changes only while it wants no replica, each change fenced by a step as any other.
"""

import asyncio
import json
from contextlib import aclosing

from shared.adapters.k8s.api import AlreadyExists, Object, ObjectConflict, ObjectGone
from shared.adapters.k8s.fences import TRIES, Fences, fence
from shared.adapters.k8s.parts import Parts, copied, scaled
from shared.adapters.k8s.pods import Pods
from shared.adapters.k8s.readiness import containers, observed, sentence, standing, up, waiting
from shared.adapters.k8s.watching import everything
from shared.domain.errors import ClusterUnavailable
from shared.manifests import database, tasks
from shared.manifests.mariadb import CONTAINER, Spec
from shared.manifests.tasks import RESTORED, TASK, Job, Kind
from shared.ports.cluster import Life, Outcome, Task

SETTLES = 0.1  # seconds between two looks at what a controller has noticed
RESTARTS = 2  # of a container after which its task has failed


class Tasks:
    """Runs tasks for the lives of one control plane."""

    def __init__(self, fences: Fences, parts: Parts, pods: Pods, spec: Spec):
        self._fences = fences
        self._api = fences.api
        self._parts = parts
        self._pods = pods
        self._spec = spec
        self._beginning = asyncio.Lock()

    async def store(self, life: Life, step: int, task: Task) -> Outcome:
        workload = await self._fences.own("StatefulSet", life.generation)
        if workload is not None:
            fence(workload, step)
        volume = await self._parts.volume(life, must_exist=True)
        return await self._run(life, step, Job(Kind.STORE, task), volume, workload)

    async def restore(self, life: Life, step: int, task: Task, *, wait: bool) -> Outcome:
        workload = await self._fences.own("StatefulSet", life.generation)
        if workload is not None:
            fence(workload, step)
        volume = await self._parts.volume(life, must_exist=bool(life.volume) or workload is not None)
        claim = await self._fences.own("PersistentVolumeClaim", life.generation)
        if claim is not None and (claim["metadata"].get("annotations") or {}).get(RESTORED) == task.name:
            return Outcome(done=True)
        job = Job(Kind.RESTORE, task)
        outcome = await self._run(life, step, job, volume, workload)
        if wait and outcome == Outcome():
            outcome = await self._wait(life.generation, job)
        if outcome.done:
            await self._mark(life.generation, task.name)
        return outcome

    async def end(self, life: Life, step: int, workload: Object) -> Object:
        """Have the task in the StatefulSet's place ended; the StatefulSet, which wants no replica then.

        Waits until the task's pod is gone, without a time limit of its own.
        """
        changed = await self._fences.change(life.generation, step, lambda found: scaled(found, 0), workload)
        async with aclosing(self._pods.follow(life.generation)) as states:
            async for seen in states:
                if not seen.objects:
                    break
        while changed is not None and not settled(changed):
            await asyncio.sleep(SETTLES)
            changed = await self._fences.own("StatefulSet", life.generation)
        if changed is None:
            raise ClusterUnavailable(f"{database.name(life.generation)} went away while its task was ended")
        fence(changed, step)
        await self.drop_secret(life.generation, workload)
        return changed

    async def _run(self, life: Life, step: int, job: Job, volume: str, workload: Object | None) -> Outcome:
        """Bring the task one step closer to running, or say what is known of it."""
        marked = (workload["metadata"].get("annotations") or {}).get(TASK) if workload else None
        wanted = workload["spec"].get("replicas", 0) if workload else 0
        pods, _ = await everything(self._api, "Pod", self._pods.selector(life.generation))
        if marked == job.mark and wanted:
            return judged(pods, job)
        if wanted or pods or (workload is not None and not settled(workload)):
            await self._fences.change(life.generation, step, lambda found: scaled(found, 0), workload)
            return Outcome()
        if job.kind is Kind.RESTORE:
            return await self._begin(life, step, job, volume, workload)
        async with self._beginning:  # whoever comes next counts this one's pod, or is all but too early for that
            if await self._full():
                return Outcome(waits=True)
            return await self._begin(life, step, job, volume, workload)

    async def _full(self) -> bool:
        """Whether as many pods store something as may."""
        most = self._spec.archives_at_once
        if not most:
            return False
        storing = f"{database.PLANE}={self._fences.plane},{TASK}={Kind.STORE}"
        return len((await self._api.page("Pod", storing, limit=most)).items) >= most

    async def _begin(self, life: Life, step: int, job: Job, volume: str, workload: Object | None) -> Outcome:
        await self.drop_secret(life.generation, workload)  # an earlier task's
        plane = self._fences.plane
        made = await self._parts.provide(life, volume, step, workload)
        await self._provide(life, volume, job)
        ordinary = database.stateful_set(life, self._spec, plane, volume, step, replicas=1)["spec"]["template"]
        template = tasks.template(life, self._spec, plane, job, ordinary)

        def started(found: Object) -> Object:
            if found["spec"].get("replicas"):  # of an earlier step, but its pod would stay
                raise ClusterUnavailable(f"{found['metadata']['name']} was started meanwhile", retry_after=1)
            new = scaled(found, 1)
            new["spec"]["template"] = template
            new["metadata"]["annotations"][TASK] = job.mark
            return new

        if await self._fences.change(life.generation, step, started, workload or made) is None:
            raise ClusterUnavailable(f"{database.name(life.generation)} went away while its task was started")
        return Outcome()

    async def _provide(self, life: Life, volume: str, job: Job) -> None:
        plane, place = self._fences.plane, job.task.place
        if place.url:
            await self._parts.make(tasks.network_policy(plane, place.url))
        if place.claim:
            await self._parts.make(tasks.archive_claim(place.claim, self._spec))
        metadata = database.metadata_of(life, plane, volume)
        manifest = tasks.secret(metadata, life, job)
        name = manifest["metadata"]["name"]
        await self._drop(name, life.generation)  # its credential ends within the hour
        try:
            await self._api.create(manifest)
        except AlreadyExists:
            raise ClusterUnavailable(f"Secret {name} is still there", retry_after=1) from None

    async def drop_secret(self, generation: str, workload: Object | None) -> None:
        """Have the credentials of the task that a StatefulSet names on the cluster no more."""
        if mark := ((workload or {}).get("metadata", {}).get("annotations") or {}).get(TASK):
            await self._drop(tasks.secret_name(generation, mark), generation)

    async def _drop(self, name: str, generation: str) -> None:
        for _ in range(TRIES):
            found = await self._api.get("Secret", name)
            if found is None:
                return
            self._fences.check(found, generation)
            metadata = found["metadata"]
            try:
                await self._api.delete("Secret", metadata["name"], metadata["uid"], metadata["resourceVersion"])
            except ObjectConflict:
                continue

    async def _wait(self, generation: str, job: Job) -> Outcome:
        async with aclosing(self._pods.follow(generation)) as states:
            async for seen in states:
                outcome = judged(list(seen.objects.values()), job)
                if outcome != Outcome():
                    return outcome
        raise AssertionError("following pods never ends")

    async def _mark(self, generation: str, archive: str) -> None:
        """Write on the volume claim what it holds, so that nothing is restored onto it again."""
        for _ in range(TRIES):
            found = await self._fences.own("PersistentVolumeClaim", generation)
            if found is None:
                break
            new = copied(found)
            new["metadata"]["annotations"][RESTORED] = archive
            try:
                await self._api.replace(new)
                return
            except ObjectConflict:
                continue
            except ObjectGone:
                break
        raise ClusterUnavailable(f"the volume {database.name(generation)} went away or keeps changing", retry_after=1)


def has_task(workload: Object) -> bool:
    """Whether the pod in its place is, or would be, a task's."""
    return TASK in (workload["metadata"].get("annotations") or {})


def settled(workload: Object) -> bool:
    """Whether its controller knows that no replica is wanted: it makes no pod of an older template any more."""
    return not workload.get("status", {}).get("replicas") and observed(workload)


def judged(pods: list[Object], job: Job) -> Outcome:
    """What the task's pod says of it."""
    pod = standing(pods)
    if pod is None or (pod["metadata"].get("annotations") or {}).get(TASK) != job.mark:
        return Outcome()
    if job.kind is Kind.RESTORE and up(pod):
        return Outcome(done=True)
    for container in containers(pod):
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if container["name"] == tasks.ARCHIVER and ended.get("exitCode") == 0:
            return _stored(ended.get("message", ""))
        # A server that ends on what was restored will again.
        most = 1 if container["name"] == CONTAINER else RESTARTS
        if container.get("restartCount", 0) >= most and ended.get("exitCode"):
            return Outcome(failure=sentence(f"{container['name']} failed", ended.get("message", "").strip()))
    return Outcome(failure=waiting(pod, crashes=False))


def _stored(message: str) -> Outcome:
    try:
        told = json.loads(message)
        return Outcome(done=True, sha256=str(told["sha256"]), size=int(told["size"]))
    except (ValueError, KeyError, TypeError):
        return Outcome(failure=sentence("the archiver said nothing that can be read", message[:100]))
