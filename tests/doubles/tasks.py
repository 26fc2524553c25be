"""Archives in memory: what a task's pod does there, and the port `Archives` over it."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.adapters.k8s.api import Object
from shared.manifests.tasks import ARCHIVER, FETCH, TASK, Kind
from shared.ports.archives import Place

if TYPE_CHECKING:
    from tests.doubles.kubernetes import Kubernetes


def sealed(data: Sequence[str]) -> tuple[str, int]:
    """Checksum and size of what was stored."""
    text = json.dumps(list(data)).encode()
    return hashlib.sha256(text).hexdigest(), len(text)


def run(cluster: "Kubernetes", pod: Object, broken: str) -> Object | None:
    """The status of a task's pod that has done its work, or cannot; None if its server is to run now."""
    kind = pod["metadata"]["labels"].get(TASK)
    if kind is None:
        return None
    workload = cluster.objects["StatefulSet", pod["metadata"]["name"].removesuffix("-0")]
    name = workload["metadata"]["annotations"][TASK].partition(".")[2]
    claim = cluster.objects["PersistentVolumeClaim", workload["metadata"]["name"]]
    data = cluster.volumes[claim["metadata"]["uid"]]
    if broken:
        return _ended(ARCHIVER if kind == Kind.STORE else FETCH, 1, broken, 2)
    if kind == Kind.STORE:
        cluster.archives[name] = list(data)
        told = dict(zip(("sha256", "size"), sealed(data), strict=True))
        return _ended(ARCHIVER, 0, json.dumps(told), 0)
    fetch, *_ = pod["spec"]["initContainers"]
    wanted = {item["name"]: item.get("value") for item in fetch["env"]}
    found = sealed(cluster.archives.get(name, ()))
    if name not in cluster.archives or found != (wanted["ARCHIVE_SHA256"], int(wanted["ARCHIVE_SIZE"])):
        return _ended(FETCH, 1, "it is not what was stored", 2)
    data[:] = cluster.archives[name]
    return None


def _ended(name: str, code: int, message: str, restarts: int) -> Object:
    state = {"terminated": {"exitCode": code, "message": message}}
    container = {"name": name, "state": state, "restartCount": restarts}
    where = "containerStatuses" if name == ARCHIVER else "initContainerStatuses"
    return {"phase": "Running", where: [container]}


class MemoryArchives:
    """The port `Archives` of what a cluster's pods have stored; `trouble` is raised by all it is asked."""

    def __init__(self, cluster: "Kubernetes"):
        self._cluster = cluster
        self.trouble: Exception | None = None

    async def to_write(self, name: str) -> Place:
        return self._place(name, "create")

    async def to_read(self, name: str) -> Place:
        return self._place(name, "read")

    async def holds(self, name: str, sha256: str, size: int) -> bool:
        self._place(name, "")
        return name in self._cluster.archives and sealed(self._cluster.archives[name]) == (sha256, size)

    async def close(self) -> None:
        """As the real ones have it."""

    def _place(self, name: str, credential: str) -> Any:
        if self.trouble:
            raise self.trouble
        return Place(url=f"https://archives.example/{name}?{credential}")
