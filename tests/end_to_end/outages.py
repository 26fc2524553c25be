"""Parts of the cluster stop, die and are cut off, and come back."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.cluster_fixture import Devcluster

API_SERVER = "kube-apiserver"
LOSSES = ((), ("etcd",), (API_SERVER,), ("kubelet",), ("etcd", API_SERVER, "kubelet"))
# Whose watches wait longer after each outage.
CLIENTS = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")

Outage = Callable[[Devcluster], AbstractContextManager[None]]


@contextmanager
def stopped(devcluster: Devcluster) -> Iterator[None]:
    """Connections to the API server are taken and nothing is answered."""
    devcluster.run("kill", API_SERVER, "STOP")
    yield
    devcluster.run("kill", API_SERVER, "CONT")


@contextmanager
def killed(devcluster: Devcluster) -> Iterator[None]:
    """Connections to the API server are refused."""
    devcluster.run("kill", API_SERVER, "KILL")
    yield
    devcluster.run("start", API_SERVER)


@contextmanager
def cut(devcluster: Devcluster) -> Iterator[None]:
    """Nothing comes through, not even a refusal."""
    devcluster.run("cut")
    yield
    devcluster.run("heal")


@contextmanager
def frozen(devcluster: Devcluster, part: str) -> Iterator[None]:
    """A part does nothing, and goes on where it was."""
    devcluster.run("kill", part, "STOP")
    try:
        yield
    finally:
        devcluster.run("kill", part, "CONT")


@contextmanager
def lost(devcluster: Devcluster, parts: tuple[str, ...]) -> Iterator[None]:
    """These parts are dead, and then all of the cluster runs again; who had lost the API server begins anew."""
    for part in parts:
        devcluster.run("kill", part)
    yield
    for client in CLIENTS:
        if client not in parts:
            devcluster.run("kill", client)
    devcluster.run("up")


def losses(test: str) -> tuple[str, ...]:
    """What is lost in the test of this name: always the same, and over many tests everything."""
    return LOSSES[zlib.crc32(test.encode()) % len(LOSSES)]
