"""One cluster for all tests, in a state directory of its own and beside any other that runs."""

import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # the package cluster

from harness import Api, Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory):
    cluster = Cluster(tmp_path_factory.mktemp("first") / "state")
    cluster.run("up", "--jupyter")
    yield cluster
    cluster.run("down")


@pytest.fixture(scope="session")
def node(cluster: Cluster) -> str:
    return cluster.status()["node"]


@pytest.fixture(scope="session")
def admin(cluster: Cluster):
    with contextlib.closing(Api(cluster.kubeconfig())) as api:
        yield api


@pytest.fixture(scope="session")
def robot(cluster: Cluster):
    with contextlib.closing(Api(cluster.kubeconfig("robot"))) as api:
        yield api
