"""What a task's pod says of it, and what is on the cluster while it runs and after it."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.tasks import judged
from shared.domain.errors import ClusterUnavailable
from shared.manifests.mariadb import Spec
from shared.manifests.tasks import Job, Kind
from shared.ports.archives import Place
from shared.ports.cluster import Outcome, Task
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Request
from tests.doubles.tasks import sealed

TOLD = json.dumps({"sha256": "ab", "size": 7})
URL = "https://archives.example/x?sig=1"


def job(kind: Kind) -> Job:
    return Job(kind, Task("x-3", "a2V5", "acme/alice x-3", Place(url=URL)))


def pod(kind: str, *containers: dict[str, Any], first: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    status = {"containerStatuses": list(containers), "initContainerStatuses": list(first)}
    annotations = {"playground.dev/task": f"{kind}.x-3"}
    labels = {"playground.dev/task": kind.partition(".")[0]}
    return {"metadata": {"name": "p", "uid": "u", "labels": labels, "annotations": annotations}, "status": status}


def ended(name: str, code: int, message: str, restarts: int = 0, where: str = "state") -> dict[str, Any]:
    return {"name": name, where: {"terminated": {"exitCode": code, "message": message}}, "restartCount": restarts}


UP = {"name": "mariadb", "state": {"running": {}}, "started": True}
STARTING = {"name": "mariadb", "state": {"running": {}}, "started": False}
NO_IMAGE = {"name": "fetch", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
BACK_OFF = {"name": "pack", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 1,
            "lastState": {"terminated": {"exitCode": 1, "message": "no room"}}}  # fmt: skip
DONE = Outcome(done=True, sha256="ab", size=7)


@pytest.mark.parametrize(
    ("kind", "pods", "outcome"),
    [
        (Kind.STORE, [], Outcome()),
        (Kind.STORE, [pod("store", ended("archiver", 0, TOLD))], DONE),
        (Kind.STORE, [pod("store", ended("archiver", 0, TOLD, 4, "lastState"))], DONE),
        (Kind.STORE, [pod("store", ended("archiver", 1, "no answer", 1))], Outcome()),
        (Kind.STORE, [pod("store", ended("archiver", 1, "no answer\n", 2))],
         Outcome(failure="archiver failed: no answer")),
        (Kind.STORE, [pod("store", ended("archiver", 0, "hello"))],
         Outcome(failure="the archiver said nothing that can be read: hello")),
        (Kind.STORE, [pod("store", first=(BACK_OFF,))], Outcome()),
        (Kind.STORE, [pod("store", first=(BACK_OFF | {"restartCount": 2},))], Outcome(failure="pack failed: no room")),
        (Kind.STORE, [pod("restore", ended("archiver", 0, TOLD))], Outcome()),
        (Kind.STORE, [pod("store.earlier", ended("archiver", 0, TOLD))], Outcome()),
        (Kind.RESTORE, [pod("restore", STARTING)], Outcome()),
        (Kind.RESTORE, [pod("restore", ended("mariadb", 1, "syntax", 1, "lastState"))],
         Outcome(failure="mariadb failed: syntax")),
        (Kind.RESTORE, [pod("restore", UP)], Outcome(done=True)),
        (Kind.RESTORE, [pod("restore", first=(NO_IMAGE,))], Outcome(failure="the image cannot be pulled: not found")),
        (Kind.RESTORE, [pod("restore", UP) | {"metadata": {"name": "p", "labels": {}, "deletionTimestamp": "now"}}],
         Outcome()),
    ],
)  # fmt: skip
def test_what_its_pod_says_of_a_task(kind: Kind, pods: list[dict[str, Any]], outcome: Outcome):
    assert judged(pods, job(kind)) == outcome


async def test_each_try_has_a_credential_of_its_own_and_none_is_left_behind():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    for step, name in ((2, "x-2"), (6, "x-6")):
        task = Task(name, "a2V5", "c", Place(url=f"{URL}{name}"))
        for further in range(3):
            await cluster.store(alice, step + further, task)
        [secret] = [secret for secret in kubernetes.find("Secret") if "url" in secret["stringData"]]
        assert secret["stringData"]["url"] == f"{URL}{name}"
        await cluster.stop(alice.generation, step + 3)
    assert [policy["metadata"]["name"] for policy in kubernetes.find("NetworkPolicy")] == [
        f"pg-{alice.generation}", "playground-tasks-plane-a-443"
    ]  # fmt: skip
    await cluster.start(alice, 10)
    assert [secret["metadata"]["name"] for secret in kubernetes.find("Secret")] == [f"pg-{alice.generation}"]
    [workload] = kubernetes.find("StatefulSet")
    assert "playground.dev/task" not in workload["metadata"]["annotations"]


async def test_on_a_volume_no_way_out_is_opened():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    for step in (2, 3):
        await cluster.store(alice, step, Task("x-2", "a2V5", "c", Place(claim="archives", path="x-2.archive")))
    assert [policy["metadata"]["name"] for policy in kubernetes.find("NetworkPolicy")] == [f"pg-{alice.generation}"]
    assert "archives" in [claim["metadata"]["name"] for claim in kubernetes.find("PersistentVolumeClaim")]


class Meanwhile:
    """Between an act's read of the StatefulSet and its write somebody does something, once."""

    def __init__(self, kubernetes: Kubernetes, act: Callable[[], Awaitable[object]]):
        self._act: Callable[[], Awaitable[object]] | None = act
        kubernetes.gate = self._gate

    async def _gate(self, request: Request) -> None:
        act, before = self._act, request.moment == "before"
        if act is not None and before and (request.verb, request.kind) == ("replace", "StatefulSet"):
            self._act = None
            await act()


async def test_a_start_that_finds_a_task_at_its_write_begins_anew():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    await cluster.stop(alice.generation, 2)
    task = Task("x-3", "a2V5", "c", Place(url=URL))
    Meanwhile(kubernetes, lambda: cluster.store(alice, 3, task))
    with pytest.raises(ClusterUnavailable, match="given a task meanwhile"):
        await cluster.start(alice, 4)
    await cluster.start(alice, 4)
    assert (await cluster.status(alice.generation)).ready
    [pod] = kubernetes.find("Pod")
    assert "playground.dev/task" not in pod["metadata"]["labels"]


async def test_a_task_that_finds_a_start_at_its_write_begins_anew():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    await cluster.stop(alice.generation, 2)
    task = Task("x-4", "a2V5", "c", Place(url=URL))
    Meanwhile(kubernetes, lambda: cluster.start(alice, 3))
    with pytest.raises(ClusterUnavailable, match="started meanwhile"):
        await cluster.store(alice, 4, task)
    outcomes = [await cluster.store(alice, 4, task) for _ in range(3)]
    assert outcomes[-1].done
    [pod] = kubernetes.find("Pod")
    assert pod["metadata"]["labels"]["playground.dev/task"] == "store"


async def test_a_life_that_is_deleted_in_the_middle_of_a_task_leaves_no_credential_behind():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    for step in (2, 3):
        await cluster.store(alice, step, Task("x-2", "a2V5", "c", Place(url=URL)))
    assert len(kubernetes.find("Secret")) == 2
    while not await cluster.delete(alice.generation, 4, ""):
        pass
    assert kubernetes.find("Secret") == []


async def test_a_restored_volume_is_marked_so_that_nothing_is_restored_onto_it_again():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    kubernetes.archives["x-1"] = ["precious"]
    sha256, size = sealed(["precious"])
    task = Task("x-1", "a2V5", "c", Place(url=URL), sha256, size)
    assert (await cluster.restore(alice, 2, task, wait=True)).done
    [claim] = kubernetes.find("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["playground.dev/restored"] == "x-1"
    written = len([request for request in kubernetes.requests if request.writes])
    assert (await cluster.restore(alice, 3, task, wait=True)).done
    assert len([request for request in kubernetes.requests if request.writes]) == written


async def test_a_task_waits_until_the_controller_knows_that_no_replica_is_wanted():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    await cluster.stop(alice.generation, 2)
    [workload] = kubernetes.find("StatefulSet")
    kubernetes.auto = False
    unsettled = {
        **workload,
        "status": {**workload["status"], "observedGeneration": workload["metadata"]["generation"] - 1},
    }
    kubernetes.store(unsettled)
    assert await cluster.store(alice, 3, Task("x-3", "a2V5", "c", Place(url=URL))) == Outcome()
    [workload] = kubernetes.find("StatefulSet")
    assert workload["spec"]["replicas"] == 0


async def test_nothing_begins_on_a_volume_as_long_as_a_pod_is_there():
    kubernetes, alice = Kubernetes(auto=True), life()
    cluster = Databases(kubernetes, Spec(image="mariadb"), "plane-a")
    await cluster.start(alice, 1)
    kubernetes.controllers.asleep = True
    for step in (2, 3, 4):
        await cluster.store(alice, step, Task("x-2", "a2V5", "c", Place(url=URL)))
        [workload] = kubernetes.find("StatefulSet")
        assert workload["spec"]["replicas"] == 0, "its pod has not ended yet"
        assert workload["spec"]["template"]["spec"]["containers"][0]["name"] == "mariadb"
