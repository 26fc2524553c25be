"""The archiver's image: it stores and fetches as a pod does it, tells kubelet, and ends when it is asked to."""

import base64
import contextlib
import json
import secrets
import time

import pytest
from harness import IMAGES, NAMESPACE, Api, busybox, until
from kubernetes import client

FILE = "/kept/x.archive"
CONFINED = {
    "runAsNonRoot": True,
    "runAsUser": 999,
    "runAsGroup": 999,
    "fsGroup": 999,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def archiver(command: str, **settings: str) -> dict:
    common = {
        "ARCHIVE_KEY": base64.b64encode(bytes(32)).decode(),
        "ARCHIVE_CONTEXT": "default/alice x",
        "ARCHIVE_FILE": FILE,
        "ARCHIVE_DUMP": "/work/dump",
    }
    return {
        "name": command,
        "image": f"{IMAGES}archiver:1",
        "args": [command],
        "env": [{"name": name, "value": value} for name, value in (common | settings).items()],
        "resources": {"limits": {"memory": "128Mi", "cpu": "1"}, "requests": {"memory": "8Mi", "cpu": "1m"}},
    }


def pod(name: str, claim: str, before: list[dict], last: dict) -> dict:
    """One after the other, with a folder of their own at /work and the claim at /kept."""
    mounts = [{"name": "work", "mountPath": "/work"}, {"name": "kept", "mountPath": "/kept"}]
    rights = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    *earlier, last = [{**c, "volumeMounts": mounts, "securityContext": rights} for c in (*before, last)]
    manifest = busybox(name, [])
    manifest["spec"] |= {
        "initContainers": earlier,
        "containers": [last],
        "securityContext": CONFINED,
        "volumes": [
            {"name": "work", "emptyDir": {}},
            {"name": "kept", "persistentVolumeClaim": {"claimName": claim}},
        ],
    }
    return manifest


def shell(name: str, script: str) -> dict:
    (container,) = busybox(name, ["sh", "-ec", script])["spec"]["containers"]
    return container | {"name": name}


def told(status: client.V1ContainerStatus) -> str:
    return status.state.terminated.message


@pytest.fixture
def claim(robot: Api):
    name = f"archives-{secrets.token_hex(4)}"  # an earlier test's may still be going
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    robot.core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": name}, "spec": spec})
    yield name
    with contextlib.suppress(client.ApiException):
        robot.core.delete_namespaced_persistent_volume_claim(name, NAMESPACE)


def test_what_one_pod_stores_another_fetches(robot: Api, claim: str) -> None:
    dump = shell("dump", "dd if=/dev/urandom of=/work/dump bs=1M count=20")
    checksum = shell("checksum", "sha256sum /work/dump")
    stored, before = robot.run_pod(pod("store", claim, [dump, archiver("store")], checksum))
    outcome = json.loads(told(stored.status.init_container_statuses[1]))
    assert outcome["size"] > 20 << 20

    wanted = {"ARCHIVE_SHA256": outcome["sha256"], "ARCHIVE_SIZE": str(outcome["size"])}
    fetched, after = robot.run_pod(pod("fetch", claim, [archiver("fetch", **wanted)], checksum))
    assert json.loads(told(fetched.status.init_container_statuses[0])) == outcome
    assert before == after != ""


def test_a_failure_is_told_to_kubelet(robot: Api, claim: str) -> None:
    ended, log = robot.run_pod(pod("store", claim, [], archiver("store")))
    (status,) = ended.status.container_statuses
    assert status.state.terminated.exit_code == 1
    assert told(status) == log == "/work/dump: No such file or directory\n"


def test_it_has_all_that_a_blob_takes(robot: Api, claim: str) -> None:
    url = "http://192.0.2.1/account/archives/x.archive?sig=0123456789abcdefghij"
    dump = shell("dump", "echo dump >/work/dump")
    container = archiver("store", ARCHIVE_FILE="", ARCHIVE_URL=url)
    imports = {**container, "command": ["python3", "-c", "import archiver.blob"], "args": []}
    ended, log = robot.run_pod(pod("store", claim, [dump], imports))
    assert ended.status.phase == "Succeeded", log


def test_it_ends_when_it_is_asked_to(robot: Api, claim: str) -> None:
    pipe = shell("pipe", f"mkfifo {FILE}")
    wanted = {"ARCHIVE_SHA256": "0" * 64, "ARCHIVE_SIZE": "1"}
    robot.core.create_namespaced_pod(NAMESPACE, pod("waits", claim, [pipe], archiver("fetch", **wanted)))
    until(lambda: robot.phase("waits") == "Running")
    began = time.monotonic()
    robot.delete_pod("waits", grace=300)
    assert time.monotonic() - began < 30
