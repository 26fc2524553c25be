"""What a task's pod says of it, and what is on the cluster while it runs and after it."""

import json
from typing import Any

import pytest

from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.tasks import judged
from shared.manifests.mariadb import Spec
from shared.manifests.tasks import Job, Kind
from shared.ports.archives import Place
from shared.ports.cluster import Outcome, Task
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes

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
