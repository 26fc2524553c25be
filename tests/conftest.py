"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests import cluster_fixture


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a cluster stays in one process of several, one after the other; what is long begins first."""
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.xdist_group("cluster"))
    items.sort(key=lambda item: {"model", "simulation"}.isdisjoint(item.path.parts))


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[cluster_fixture.RealCluster]:
    """A cluster to test on; brought up when the first test wants it."""
    with cluster_fixture.real_cluster() as cluster:
        yield cluster
