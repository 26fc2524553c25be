"""Kubernetes in memory: an `Api` that keeps the API server's rules, behind a `Network` that can fail.

Controllers (see `Controllers`) act only in `step()` and `settle()`; with `auto` they settle after
every request.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.adapters.k8s.api import (
    AlreadyExists,
    Change,
    Object,
    ObjectConflict,
    ObjectGone,
    Output,
    Page,
    WatchExpired,
)
from shared.domain.errors import ClusterRefused
from shared.manifests import database
from shared.ports.clock import Clock
from tests.doubles.controllers import Controllers
from tests.doubles.mariadb import Server
from tests.doubles.network import Gate, Network, open_gate

PROTECTION = "kubernetes.io/pvc-protection"
FIXED = ("serviceName", "selector", "podManagementPolicy", "volumeClaimTemplates")


@dataclass(frozen=True, slots=True)
class Deletion:
    """A volume claim that is gone, and what was on it."""

    name: str
    uid: str
    owner: str
    data: tuple[str, ...]


class Ticking:
    """A clock that is a second later whenever it is asked: the API server's timestamps are whole seconds."""

    def __init__(self) -> None:
        self._now = 1_700_000_000.0

    def now(self) -> float:
        self._now += 1
        return self._now

    def monotonic(self) -> float:
        return self.now()


def copied(item: Any) -> Any:
    """What comes out of JSON again: several times as fast as copy.deepcopy, and as the wire does it."""
    return json.loads(json.dumps(item))


class Kubernetes(Network):
    """The API server of one namespace, its store and its network."""

    def __init__(self, *, gate: Gate = open_gate, clock: Clock | None = None, auto: bool = False, page_size: int = 500):
        super().__init__(gate)
        self.clock = clock or Ticking()
        self.auto = auto
        self.page_size = page_size
        self.objects: dict[tuple[str, str], Object] = {}
        self.volumes: dict[str, list[str]] = defaultdict(list)  # claim's UID → what was written on it
        self.archives: dict[str, list[str]] = {}  # name → what was stored
        self.servers: dict[str, Server] = {}  # pod's UID → what runs in it
        self.deletions: list[Deletion] = []
        self.most_at_once: dict[str, int] = defaultdict(int)  # owner → most generations with a replica
        self.forbidden: set[str] = set()  # `verb resource`
        self.cuts = 0
        self._version = self._serial = 0
        self._history: list[tuple[int, str, Object]] = []
        self._forgotten = 0
        self._news = asyncio.Condition()
        self.controllers = Controllers(self)

    # --- the verbs of `Api`

    async def get(self, kind: str, name: str) -> Object | None:
        return await self.through("get", kind, name, lambda: copied(self.objects.get((kind, name))))

    async def create(self, manifest: Object) -> Object:
        kind, name = manifest["kind"], manifest["metadata"].get("name", "")
        sent = copied(manifest)
        return await self.through("create", kind, name, lambda: self._create(copied(sent)))

    async def replace(self, manifest: Object) -> Object:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        sent = copied(manifest)
        return await self.through("replace", kind, name, lambda: self._replace(copied(sent)))

    async def delete(self, kind: str, name: str, uid: str, version: str) -> None:
        await self.through("delete", kind, name, lambda: self._delete(kind, name, uid, version))

    async def page(self, kind: str, labels: str = "", fields: str = "", after: str = "", limit: int = 500) -> Page:
        most = min(limit, self.page_size)
        return await self.through("page", kind, labels or fields, lambda: self._page(kind, labels, fields, after, most))

    async def run(self, pod: str, container: str, argv: Sequence[str]) -> Output:
        return await self.through("run", "Pod", pod, lambda: self._run(pod, argv))

    async def watch(self, kind: str, labels: str, fields: str, version: str) -> AsyncGenerator[Change]:
        await self.through("watch", kind, labels or fields, lambda: None)
        at, cuts = int(version), self.cuts
        while True:
            if at < self._forgotten:
                raise WatchExpired
            async with self._news:
                await self._news.wait_for(lambda at=at: self._version > at or self.cuts > cuts)
                if self.cuts > cuts:
                    return
                news = [entry for entry in self._history if entry[0] > at]
                at = self._version
            for _, type, item in news:
                if item["kind"] == kind and _selected(item, labels, fields):
                    yield Change(type, copied(item))  # type: ignore[arg-type]

    async def close(self) -> None:
        """As the real one has it."""

    # --- what a test does to it

    async def cut_watches(self) -> None:
        """End every watch, as a lost connection does."""
        self.cuts += 1
        await self._tell()

    def forget(self) -> None:
        """Compact: a watch from an older resourceVersion than now is answered 410."""
        self._forgotten = self._version
        self._history.clear()

    # --- the controllers

    async def step(self) -> bool:
        """Let one controller do one thing; False if none has anything to do."""
        done = self.controllers.step()
        await self._tell()
        return done

    async def settle(self) -> None:
        """Let the controllers go on until none has anything to do."""
        while self.controllers.step():
            pass
        await self._tell()

    async def changed(self) -> None:
        await (self.settle() if self.auto else self._tell())

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # --- the store; controllers use it too

    def find(self, kind: str) -> list[Object]:
        """The stored objects of a kind themselves, oldest first: change them through `store`."""
        return [item for (other, _), item in self.objects.items() if other == kind]

    def store(self, item: Object, type: str = "MODIFIED") -> Object:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        key = (item["kind"], item["metadata"]["name"])
        if type == "DELETED":
            del self.objects[key]
        else:
            self.objects[key] = item
        self._history.append((self._version, type, copied(item)))
        self._count()
        return item

    def _create(self, manifest: Object) -> Object:
        kind, metadata = manifest["kind"], manifest["metadata"]
        if kind == "SelfSubjectAccessReview":
            asked = manifest["spec"]["resourceAttributes"]
            what = f"{asked['verb']} {asked['resource']}" + (asked["subresource"] and f"/{asked['subresource']}")
            return manifest | {"status": {"allowed": what not in self.forbidden}}
        if (kind, metadata["name"]) in self.objects:
            raise AlreadyExists
        self._serial += 1
        metadata |= {"uid": f"uid-{self._serial}", "creationTimestamp": self.now(), "generation": 1,
                     "namespace": "test", "managedFields": [self._manager()]}  # fmt: skip
        manifest["status"] = {}
        if kind == "PersistentVolumeClaim":
            metadata["finalizers"] = [PROTECTION]
        if kind == "Service":
            manifest["spec"]["clusterIP"] = f"10.0.{self._serial // 256}.{self._serial % 256}"
            self._give_port(manifest)
        return copied(self.store(manifest, "ADDED"))

    def _replace(self, manifest: Object) -> Object:
        kind, metadata = manifest["kind"], manifest["metadata"]
        old = self.objects.get((kind, metadata["name"]))
        if old is None:
            raise ObjectGone
        if any(metadata[key] != old["metadata"][key] for key in ("uid", "resourceVersion")):
            raise ObjectConflict
        if kind == "StatefulSet" and any(manifest["spec"].get(key) != old["spec"].get(key) for key in FIXED):
            raise ClusterRefused("updates to statefulset spec for these fields are forbidden")
        if kind == "Service":
            if manifest["spec"].get("clusterIP") != old["spec"]["clusterIP"]:
                raise ClusterRefused("spec.clusterIP: Invalid value: may not change once set")
            self._give_port(manifest)
        for key in ("uid", "creationTimestamp", "generation", "namespace", "managedFields", "deletionTimestamp"):
            metadata.pop(key, None)
            if key in old["metadata"]:
                metadata[key] = copied(old["metadata"][key])
        manifest["status"] = old["status"]
        if manifest == old:
            return copied(old)  # as the real one: no change, no new resourceVersion
        metadata["managedFields"] = [self._manager()]
        if manifest.get("spec") != old.get("spec"):
            metadata["generation"] += 1
        return copied(self.store(manifest))

    def _give_port(self, service: Object) -> None:
        [port] = service["spec"]["ports"]
        outside = service["spec"]["type"] != "ClusterIP"
        if not outside and ("nodePort" in port or "externalTrafficPolicy" in service["spec"]):
            raise ClusterRefused("spec: may not be used when `type` is 'ClusterIP'")
        if outside and "nodePort" not in port:
            self._serial += 1
            port["nodePort"] = 30000 + self._serial

    def _delete(self, kind: str, name: str, uid: str, version: str) -> None:
        found = self.objects.get((kind, name))
        if found is None:
            return
        if (uid, version) != (found["metadata"]["uid"], found["metadata"]["resourceVersion"]):
            raise ObjectConflict
        self.remove(found)

    def remove(self, found: Object) -> None:
        """Delete, or mark where a finalizer or a running pod holds it."""
        metadata = found["metadata"]
        if metadata.get("finalizers") or found["kind"] == "Pod":
            if "deletionTimestamp" not in metadata:
                metadata["deletionTimestamp"] = self.now()
                self.store(found)
            return
        self.store(found, "DELETED")

    def lose_volume(self, claim: Object) -> None:
        """A claim and its data go."""
        metadata = claim["metadata"]
        data = tuple(self.volumes.pop(metadata["uid"], ()))
        owner = metadata["annotations"][database.OWNER]
        self.deletions.append(Deletion(metadata["name"], metadata["uid"], owner, data))
        self.store(claim, "DELETED")

    def _page(self, kind: str, labels: str, fields: str, after: str, limit: int) -> Page:
        names = sorted(i["metadata"]["name"] for i in self.find(kind) if _selected(i, labels, fields))
        rest = [name for name in names if name > after]
        items = [copied(self.objects[kind, name]) for name in rest[:limit]]
        more = items[-1]["metadata"]["name"] if len(rest) > limit else ""
        return Page(items, str(self._version), more)

    def _run(self, pod: str, argv: Sequence[str]) -> Output:
        found = self.objects.get(("Pod", pod))
        if found is None or found["metadata"]["uid"] not in self.servers:
            raise ClusterRefused(f'pods "{pod}" not found')
        return self.servers[found["metadata"]["uid"]].answer(argv)

    def _manager(self) -> Object:
        return {"manager": "playground", "operation": "Update", "time": self.now()}

    def now(self) -> str:
        return datetime.fromtimestamp(int(self.clock.now()), UTC).isoformat().replace("+00:00", "Z")

    def _count(self) -> None:
        running: dict[str, int] = defaultdict(int)
        for item in self.find("StatefulSet"):
            if item["spec"]["replicas"] > 0:
                running[item["metadata"].get("annotations", {}).get(database.OWNER, "")] += 1
        for owner, number in running.items():
            self.most_at_once[owner] = max(self.most_at_once[owner], number)


def _selected(item: Object, labels: str, fields: str) -> bool:
    for selector in filter(None, labels.split(",")):
        key, _, value = selector.partition("=")
        if (item["metadata"].get("labels") or {}).get(key) != value:
            return False
    for selector in filter(None, fields.split(",")):
        path, _, value = selector.partition("=")
        found: Any = item
        for part in path.split("."):
            found = found.get(part, {})
        if found != value:
            return False
    return True
