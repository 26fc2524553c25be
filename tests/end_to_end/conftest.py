"""A namespace and a server for each module, and users of their own for each test."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.cluster_fixture import RealCluster
from tests.end_to_end import namespaces, servers

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
