"""The cluster that tests run on: PLAYGROUND_KUBECONFIG's, or a development cluster of the session's own.

PLAYGROUND_TEST_IMAGE names a database image and PLAYGROUND_CLIENT_NETWORKS from where this process connects,
where they cannot be known. The session's own cluster is taken down at its end, unless PLAYGROUND_KEEP_CLUSTER
is set: then the next session finds it running.
"""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kubernetes import client, config

ROOT = Path(__file__).parents[1]
NAMESPACE_PREFIX = "pg-test-"  # whatever is called so on a cluster of ours belongs to a session


@dataclass(frozen=True)
class Devcluster:
    """A development cluster in a state directory of its own."""

    folder: Path

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`devcluster.py` with these arguments. Raises RuntimeError with what it said."""
        kept = {name: value for name, value in os.environ.items() if name != "DEVCLUSTER_NET"}
        done = subprocess.run(
            [sys.executable, ROOT / "infra/devcluster/devcluster.py", *arguments],
            env={**kept, "DEVCLUSTER_DIR": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and done.returncode:
            raise RuntimeError(f"devcluster.py {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}")
        return done

    def whole(self) -> bool:
        """Whether everything runs and the node is ready."""
        return self.run("status", check=False).returncode == 0

    def up(self) -> None:
        """Bring it up; what a session that crashed has left is begun anew, one that was kept is used."""
        if not (os.environ.get("PLAYGROUND_KEEP_CLUSTER") and self.whole()):
            self.run("down")
        self.run("up")


@dataclass(frozen=True)
class RealCluster:
    """How to use a cluster; `devcluster` is None where it is not ours to break."""

    kubeconfig: str
    server: str
    image: str
    archiver: str
    client_networks: tuple[str, ...]
    devcluster: Devcluster | None = None


@contextmanager
def real_cluster() -> Iterator[RealCluster]:
    """The cluster, for as long as the context lasts."""
    if given := os.environ.get("PLAYGROUND_KUBECONFIG"):
        yield _described(given, None)
        return
    with _own_folder() as folder:
        devcluster = Devcluster(folder)
        devcluster.up()
        try:
            cluster = _described(str(folder / "admin.kubeconfig"), devcluster)
            sweep(cluster)
            yield cluster
        finally:
            if not os.environ.get("PLAYGROUND_KEEP_CLUSTER"):
                devcluster.run("down")


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A state directory that no other session uses now."""
    parent = ROOT / ".playground"
    parent.mkdir(mode=0o700, exist_ok=True)
    for name in ("test-cluster", *(f"test-cluster-{number}" for number in range(2, 9))):
        with open(parent / f"{name}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield parent / name
            return
    raise RuntimeError(f"eight test sessions use a cluster each in {parent}")


def _described(kubeconfig: str, devcluster: Devcluster | None) -> RealCluster:
    configuration = client.Configuration()
    config.load_kube_config(kubeconfig, client_configuration=configuration, persist_config=False)
    networks = os.environ.get("PLAYGROUND_CLIENT_NETWORKS") or _own_address(configuration.host)
    image = os.environ.get("PLAYGROUND_TEST_IMAGE", "devcluster.local/mariadb:10.11")
    archiver = os.environ.get("PLAYGROUND_TEST_ARCHIVER", "devcluster.local/archiver:1")
    return RealCluster(kubeconfig, configuration.host, image, archiver, tuple(networks.split(",")), devcluster)


def _own_address(server: str) -> str:
    """From where this machine speaks to the cluster."""
    address = urlsplit(server)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address.hostname, address.port or 443))
        return f"{probe.getsockname()[0]}/32"


def sweep(cluster: RealCluster) -> None:
    """Delete the namespaces of sessions that did not come to it."""
    with config.new_client_from_config(cluster.kubeconfig, persist_config=False) as api:
        core = client.CoreV1Api(api)
        for namespace in core.list_namespace().items:
            if namespace.metadata.name.startswith(NAMESPACE_PREFIX) and not namespace.metadata.deletion_timestamp:
                core.delete_namespace(namespace.metadata.name)
