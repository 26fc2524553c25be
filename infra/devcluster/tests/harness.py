"""What the tests do to a cluster, and how they wait: for conditions, never for a time."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pymysql
from kubernetes import client, config
from kubernetes.stream import stream

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parent / "devcluster.py"
IMAGES = "devcluster.local/"
NAMESPACE = "demo"
PASSING = (OSError, client.ApiException, pymysql.Error, urllib.error.URLError, StopIteration)


def until[T](check: Callable[[], T], seconds: float = 60, every: float = 0.05) -> T:
    """The first true value of check, which may fail with what passes by itself."""
    end = time.monotonic() + seconds
    last: BaseException | None = None
    while time.monotonic() < end:
        try:
            if value := check():
                return value
            last = None
        except PASSING as error:
            last = error
        time.sleep(every)
    raise TimeoutError(f"not within {seconds} s; last: {last!r}")


class Cluster:
    """One cluster in a state directory of its own."""

    def __init__(self, folder: pathlib.Path, **environment: str):
        self.folder = folder
        kept = {k: v for k, v in os.environ.items() if k not in ("DEVCLUSTER_NET", "DEVCLUSTER_DIR")}
        self.environment = {**kept, **environment, "DEVCLUSTER_DIR": str(folder)}

    def command(self, *args: Any) -> list[str]:
        return [sys.executable, str(SCRIPT), *map(str, args)]

    def run(self, *args: Any, check: bool = True, seconds: float = 580) -> str:
        done = subprocess.run(
            self.command(*args),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0 or not check, f"{args}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    def start(self, *args: Any) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(self.command(*args), env=self.environment, **pipes)

    def status(self) -> dict:
        return json.loads(self.run("status", "--json", check=False))

    def whole(self) -> bool:
        """Everything runs and the node is ready; such a status is an exit code of 0."""
        return subprocess.run(self.command("status"), env=self.environment, capture_output=True).returncode == 0

    def kubeconfig(self, user: str = "admin") -> str:
        return self.run("kubeconfig", user).strip()

    def kubectl(self, *args: Any, user: str = "robot") -> str:
        return self.run("kubectl", f"--kubeconfig={self.kubeconfig(user)}", *args)

    def init(self) -> int:
        """The first process of the cluster, as the machine numbers it."""
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                if words[-2:] == [b"_init", os.fsencode(self.folder)] and b"unshare" not in words[0]:
                    return int(entry.name)
        raise LookupError("no init")

    def kill_container(self, pod: client.V1Pod) -> None:
        """SIGKILL to the first process of a pod's container, and so to all of them."""
        container = pod.status.container_statuses[0].container_id.removeprefix("containerd://")
        self.run("exec", "ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", container)


class Api:
    """The cluster's API as one of its users."""

    def __init__(self, kubeconfig: str):
        self.client = config.new_client_from_config(kubeconfig)
        self.core = client.CoreV1Api(self.client)
        self.apps = client.AppsV1Api(self.client)
        self.batch = client.BatchV1Api(self.client)
        self.net = client.NetworkingV1Api(self.client)

    def close(self) -> None:
        self.client.close()

    def execute(self, pod: str, *command: str, namespace: str = NAMESPACE) -> str:
        """Output and errors of a command in a pod's only container."""
        call = self.core.connect_get_namespaced_pod_exec
        answer = stream(call, pod, namespace, command=list(command), stdout=True, stderr=True, _preload_content=False)
        try:
            answer.run_forever(timeout=60)
            return answer.read_all()
        finally:
            answer.sock.shutdown()  # its own close() leaves the socket open where the server closed first

    def phase(self, pod: str, namespace: str = NAMESPACE) -> str:
        return self.core.read_namespaced_pod(pod, namespace).status.phase

    def log(self, pod: str, namespace: str = NAMESPACE, **options) -> str:
        return self.core.read_namespaced_pod_log(pod, namespace, **options)

    def delete_pod(self, pod: str, namespace: str = NAMESPACE, grace: int = 0) -> None:
        """Delete and wait until it is gone."""
        with contextlib.suppress(client.ApiException):
            self.core.delete_namespaced_pod(pod, namespace, grace_period_seconds=grace)
        until(lambda: pod not in [p.metadata.name for p in self.core.list_namespaced_pod(namespace).items])

    def run_pod(self, manifest: dict) -> tuple[client.V1Pod, str]:
        """Run a pod to its end; what became of it, and its log."""
        name = manifest["metadata"]["name"]
        self.core.create_namespaced_pod(NAMESPACE, manifest)
        try:
            until(lambda: self.phase(name) in ("Succeeded", "Failed"), 30)
            return self.core.read_namespaced_pod(name, NAMESPACE), self.log(name)
        finally:
            self.delete_pod(name)


def busybox(name: str, command: list[str], labels: dict | None = None, memory: str = "64Mi", **spec) -> dict:
    container = {
        "name": "c",
        "image": f"{IMAGES}busybox:1.35",
        "command": command,
        "resources": {"limits": {"memory": memory, "cpu": "200m"}, "requests": {"memory": "8Mi", "cpu": "1m"}},
    }
    short = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {**short, "containers": [container], **spec}}


def sql(host: str, statement: str, user: str, password: str, database: str | None = None) -> tuple:
    with (
        contextlib.closing(
            pymysql.connect(
                host=host, user=user, password=password, database=database, connect_timeout=2, autocommit=True
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        return cursor.fetchall()


def http(
    url: str, host: str = "", token: str = "", method: str = "GET", data: bytes | None = None
) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/json"}
    headers |= {"Host": host} if host else {}
    headers |= {"Authorization": f"token {token}"} if token else {}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.read()
