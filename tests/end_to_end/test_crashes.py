"""A server that is killed, as by kill -9, at a named point, and parts of the cluster with it; the next one goes on.

Whatever the point, and whatever was dead while it began: within two passes of the reaper every lease stands,
the cluster has the objects of the living leases and no others, no data of a life that was ready is lost, and
create_db works.
"""

from contextlib import suppress

import httpx
import pytest

from tests.end_to_end import servers
from tests.end_to_end.conditions import FOUND_TOGETHER, until
from tests.end_to_end.namespaces import KINDS
from tests.end_to_end.servers import HOUR, MINUTE, Died

SLEEPER = "sleeper"


@pytest.fixture(scope="module")
def server(namespace, folder):
    settings = {"PLAYGROUND_DELETE_WITHOUT_ARCHIVE": "true", "PLAYGROUND_RETENTION": "PT6H"}
    with servers.running(folder / "server", namespace, **settings) as started:
        yield started


def two_passes(server, namespace, user):
    """The state after two passes, with whatever the cluster does after the first one done."""
    server.reap_when_due()
    for lease in server.leases().values():
        until(lambda lease=lease: not changing(namespace, lease), FOUND_TOGETHER)
    server.reap_when_due()
    until(lambda: not namespace.going(), FOUND_TOGETHER)
    return server.state(user)


def changing(namespace, lease):
    generation = lease["generation"]
    match lease["state"]:
        case "pending" | "waking":
            return not namespace.started(generation)
        case "hibernating" | "deleting":
            return namespace.pods(generation)
    return False


def check_nothing_is_orphaned(server, namespace):
    """Each life is whole and a lease's, once the cluster has done what it was told; no pass of ours helps it."""
    complete = {lease["generation"]: set(KINDS) for lease in server.leases().values()}
    with suppress(TimeoutError):
        until(lambda: namespace.standing() == complete, FOUND_TOGETHER)
    assert namespace.standing() == complete


@pytest.mark.parametrize("point", ["after write deleting", "after remove PersistentVolumeClaim"])
def test_a_crash_in_a_deletion_leaves_nothing_and_the_next_life_is_new(server, namespace, revive, user, point):
    server.source(user).keep("gone")
    server.look_twice()
    server.settle(user)
    server.listen(7 * HOUR)
    server.tell("crash", point, 1)
    with pytest.raises(Died):
        server.reap()
        server.turn(31 * MINUTE)
        server.reap()
    revive()
    assert two_passes(server, namespace, user) == "none"
    check_nothing_is_orphaned(server, namespace)
    assert server.served_again(user).sql("SHOW DATABASES LIKE 'mine'") == ()


@pytest.fixture
def sleeper(server):
    """The source of a database that serves and has something in it; one for all of these tests."""
    source = server.served_again(SLEEPER)
    source.keep("slept on")
    return source


@pytest.mark.parametrize(
    "point",
    [
        "before write hibernating",
        "after write hibernating",
        "before stop",
        "after scale to 0",
        "before write hibernated",
    ],
)
def test_a_crash_on_the_way_to_sleep_ends_asleep_with_all_data(server, namespace, revive, sleeper, point):
    server.listen(31 * MINUTE)
    server.reap()
    server.listen(12 * HOUR)
    server.tell("crash", point, 1)
    with pytest.raises(Died):
        server.reap()
        server.settle(SLEEPER)
    revive()
    if server.state(SLEEPER) == "running":  # it could not be asked for its use, which counts as use
        until(lambda: namespace.answers(server.leases()[SLEEPER]["generation"]), FOUND_TOGETHER)
        server.listen(31 * MINUTE)
    assert two_passes(server, namespace, SLEEPER) == "hibernated"
    check_nothing_is_orphaned(server, namespace)
    assert server.served_again(SLEEPER) == sleeper
    assert "slept on" in until(sleeper.kept)


@pytest.mark.parametrize(
    ("point", "becomes"),
    [
        ("before write waking", "hibernated"),  # the beat was not acknowledged: the plugin beats again
        ("after write waking", "running"),
        ("before start", "running"),
        ("after scale to 1", "running"),
        ("before write running", "running"),
    ],
)
def test_a_crash_in_a_wake_ends_awake_if_the_beat_was_acknowledged(server, namespace, revive, sleeper, point, becomes):
    server.look_twice()
    server.settle(SLEEPER)
    assert server.state(SLEEPER) == "hibernated"
    server.tell("crash", point, 1)
    with suppress(httpx.TransportError):
        assert server.beat(SLEEPER)["renewed"], "the process lived to acknowledge it"
    revive()
    assert two_passes(server, namespace, SLEEPER) == becomes
    check_nothing_is_orphaned(server, namespace)
    assert server.beat(SLEEPER)["renewed"]
    assert "slept on" in until(sleeper.kept)


@pytest.mark.parametrize("point", ["before start", "before write running"])
def test_a_wake_is_not_undone_because_nobody_looked_at_it_for_an_hour(server, namespace, sleeper, point):
    server.look_twice()
    server.settle(SLEEPER)
    server.tell("crash", point, 1)
    with suppress(httpx.TransportError):
        server.beat(SLEEPER)
    server.await_death()
    server.start()
    server.turn(HOUR)
    assert two_passes(server, namespace, SLEEPER) == "running"
    assert "slept on" in sleeper.kept()


@pytest.mark.parametrize(
    ("point", "becomes"),
    [
        ("before create lease", "none"),
        ("after create lease", "running"),
        ("before start", "running"),
        ("after make PersistentVolumeClaim", "running"),
        ("after make StatefulSet", "running"),
        ("after start", "running"),
        ("before write running", "running"),
        ("after write running", "running"),
    ],
)
def test_a_crash_in_a_create_is_gone_on_with(server, namespace, revive, user, point, becomes):
    server.tell("crash", point, 1)
    with pytest.raises(httpx.TransportError):
        server.create_db(user)
    revive()
    assert two_passes(server, namespace, user) == becomes
    check_nothing_is_orphaned(server, namespace)
    assert server.served_again(user).sql("SELECT COUNT(*) FROM iris.test") == ((30,),)
    check_nothing_is_orphaned(server, namespace)
