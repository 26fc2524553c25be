"""A server that is killed while a database is archived, and again while the next one begins with that.

Parts of the cluster die with it, see `losing`.
"""

import httpx
import pytest

from tests.end_to_end import servers
from tests.end_to_end.conditions import FOUND_TOGETHER, until
from tests.end_to_end.namespaces import KINDS
from tests.end_to_end.servers import HOUR, Died
from tests.end_to_end.test_archive import database


@pytest.fixture(scope="module")
def server(namespace, folder, real_cluster):
    settings = {"PLAYGROUND_ARCHIVE": "volume:archives", "PLAYGROUND_ARCHIVER_IMAGE": real_cluster.archiver}
    settings |= {"PLAYGROUND_ARCHIVE_STORAGE": "256Mi", "PLAYGROUND_RETENTION": "PT6H"}
    with servers.running(folder / "server", namespace, **settings) as started:
        yield started


def passes(server, user, state):
    """Passes of the reaper until the lease is in that state."""

    def there():
        server.turn(10)
        server.reap()
        return server.state(user) == state

    until(there, FOUND_TOGETHER)


def orphans(server, namespace):
    """Lives that no lease owns; those of other tests' users may be on their way."""
    return namespace.standing().keys() - {lease["generation"] for lease in server.leases().values()}


@pytest.mark.parametrize(
    ("storing", "fetching"),
    [
        ("after write archiving", "after make PersistentVolumeClaim"),
        ("after make Secret", "after scale to 1"),
        ("after scale to 1", "before start"),
        ("before write deleting", "after start"),
        ("after remove StatefulSet", "before write running"),
    ],
)
def test_a_crash_loses_nothing_on_the_way_there_or_back(server, namespace, revive, user, storing, fetching):
    server.source(user).keep("kept")
    server.look_twice()
    server.settle(user)
    server.listen(7 * HOUR)
    server.tell("crash", storing, 1)
    with pytest.raises(Died):
        passes(server, user, "none")
    revive()
    passes(server, user, "none")
    until(lambda: not orphans(server, namespace), FOUND_TOGETHER)

    server.tell("crash", fetching, 1)
    with pytest.raises(httpx.TransportError):
        while True:  # a try may be over before it comes to that point
            assert server.create_db(user).status_code == 503
    revive()
    assert database(server, user).kept() == ["kept"]
    until(lambda: not orphans(server, namespace), FOUND_TOGETHER)
    assert namespace.standing()[server.leases()[user]["generation"]] == set(KINDS)
