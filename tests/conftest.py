"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests import cluster_fixture


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[cluster_fixture.RealCluster]:
    """A cluster to test on; brought up when the first test wants it."""
    with cluster_fixture.real_cluster() as cluster:
        yield cluster
