"""What all tests share."""

from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import cluster_fixture

ON_THE_CLUSTER = ("tests/end_to_end/", "tests/cluster/", "infra/devcluster/tests/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is long begins first."""
    items.sort(key=lambda item: {"model", "simulation"}.isdisjoint(item.path.parts))


class OneCluster(LoadScopeScheduling):
    """What uses a cluster stays in one process of several, one after the other: two exhaust a small machine."""

    def _split_scope(self, nodeid: str) -> str:
        on_it = nodeid.startswith(ON_THE_CLUSTER) or "[kubernetes" in nodeid
        return "cluster" if on_it else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """By name and not by a mark's group: pytest 9.2 keeps ids where pytest-xdist 3.8 writes none to."""
    return OneCluster(config, log)


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[cluster_fixture.RealCluster]:
    """A cluster to test on; brought up when the first test wants it."""
    with cluster_fixture.real_cluster() as cluster:
        yield cluster
