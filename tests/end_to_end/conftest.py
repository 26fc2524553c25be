"""A namespace and a server for each module, and users of their own for each test."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.cluster_fixture import Devcluster, RealCluster
from tests.end_to_end import namespaces, outages, servers

HERE = Path(__file__).parent
numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)  # before -m chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="module")
def namespace(real_cluster: RealCluster, folder: Path) -> Iterator[namespaces.Namespace]:
    with namespaces.namespace(real_cluster, folder) as made:
        yield made


@pytest.fixture(scope="module")
def server(namespace: namespaces.Namespace, folder: Path) -> Iterator[servers.Server]:
    with servers.running(folder / "server", namespace) as started:
        yield started


Run = Callable[..., AbstractContextManager[servers.Server]]


@pytest.fixture
def another(namespace: namespaces.Namespace, tmp_path: Path) -> Run:
    """`with another(PLAYGROUND_…="…") as server` runs a control plane of its own in the module's namespace."""

    def run(where: namespaces.Namespace | None = None, **settings: str) -> AbstractContextManager[servers.Server]:
        return servers.running(tmp_path / f"server{next(numbers)}", where or namespace, **settings)

    return run


@pytest.fixture
def user() -> str:
    """Somebody who has nothing yet."""
    return f"user-{next(numbers)}"


@pytest.fixture
def devcluster(real_cluster: RealCluster) -> Iterator[Devcluster]:
    """A cluster that may be broken; whole again afterwards, however the test ended."""
    if real_cluster.devcluster is None:
        pytest.skip("a cluster that is not the tests' own is not broken by them")
    yield real_cluster.devcluster
    if not real_cluster.devcluster.whole():
        real_cluster.devcluster.run("heal")
        real_cluster.devcluster.run("kill", "kube-apiserver", "CONT", check=False)
        real_cluster.devcluster.run("up")


Losing = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def losing(real_cluster: RealCluster, request: pytest.FixtureRequest) -> Losing:
    """`with losing():` parts of the cluster are dead, which ones is this test's; afterwards all of it runs again.

    A cluster that is not the tests' own loses nothing.
    """
    parts = outages.losses(request.node.name)
    if not (real_cluster.devcluster and parts):
        return nullcontext
    devcluster: Devcluster = request.getfixturevalue("devcluster")
    return lambda: outages.lost(devcluster, parts)


@pytest.fixture
def revive(server: servers.Server, losing: Losing) -> Callable[[], None]:
    """Starts the server that has killed itself, and lets it make a pass before the cluster is whole again."""

    def begin_anew() -> None:
        server.await_death()
        with losing():
            server.start()
            server.turn(servers.CLAIM)
            server.reap()
            server.refill()

    return begin_anew
