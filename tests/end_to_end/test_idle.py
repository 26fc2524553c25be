"""What lives and what dies, with real evidence, as hours and weeks pass."""

import asyncio

import pymysql
import pytest

from shared.adapters.k8s.client import KubernetesApi
from shared.adapters.k8s.configurations import from_kubeconfig
from shared.adapters.k8s.databases import Databases
from shared.domain.errors import Fenced
from shared.manifests.database import PLANE, STEP
from shared.manifests.mariadb import Spec
from tests.end_to_end.conditions import until
from tests.end_to_end.servers import DAY, HOUR, MINUTE


def test_a_heartbeat_keeps_a_database(server, user):
    server.source(user)
    for _ in range(3):
        server.listen(9 * HOUR)
        assert server.beat(user).items() >= {"message": f"hello {user}", "renewed": True, "state": "running"}.items()
    server.reap()
    assert server.state(user) == "running"


def test_an_open_connection_keeps_a_database_without_a_beat(server, user):
    source = server.source(user)
    connection = source.connect()
    server.look_twice()
    lease = server.leases()[user]
    assert (lease["state"], lease["reason"]) == ("running", "a connection is open")
    connection.close()


def test_a_connection_that_came_and_went_keeps_a_database_without_a_beat(server, user):
    source = server.source(user)
    server.listen(31 * MINUTE)
    server.reap()
    source.sql("SELECT 1")
    server.listen(12 * HOUR)
    server.reap()
    lease = server.leases()[user]
    assert (lease["state"], lease["reason"].partition(",")[0]) == ("running", "it was used since the last look")
    server.listen(12 * HOUR)
    server.reap()
    assert server.state(user) == "hibernating", "but not for ever"


def test_silence_that_nobody_could_hear_hibernates_nothing(server, user):
    server.source(user)
    server.listen(31 * MINUTE)
    server.reap()
    server.turn(12 * HOUR)
    server.reap()
    assert server.state(user) == "running", "no canary was heard for as long"
    server.tell("fire", "beat_canary")
    server.reap()
    assert server.state(user) == "running", "the gap is known, and counts as no silence"


def test_a_connection_left_open_ends_at_the_hard_cap(server, user):
    connection = server.source(user).connect()
    server.look_twice(25 * HOUR)
    lease = server.leases()[user]
    assert (lease["state"], lease["reason"]) == ("hibernating", "no use was proved for 24.0 h")
    connection.close()


@pytest.fixture
def asleep(server, user):
    """A hibernated database with something in it."""
    source = server.source(user)
    source.keep("slept on")
    server.look_twice()
    assert server.state(user) == "hibernating"
    server.settle(user)
    assert server.state(user) == "hibernated"
    return source


def test_an_idle_database_sleeps_and_a_heartbeat_wakes_it_as_it_was(server, namespace, user, asleep):
    generation = server.leases()[user]["generation"]
    assert (namespace.pods(generation), namespace.workload(generation).spec.replicas) == ([], 0)
    assert namespace.standing()[generation] == {
        "stateful_set", "persistent_volume_claim", "service", "secret", "network_policy",
    }  # fmt: skip
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        asleep.connect()
    assert server.beat(user) == {"message": f"hello {user}", "renewed": True, "state": "waking"}
    assert until(asleep.kept, 5) == ["slept on"]
    until(lambda: server.state(user) == "running")
    assert server.source(user) == asleep, "the address that the kernel holds stays good"


def test_create_db_wakes_it_too_and_a_scale_to_zero_that_comes_late_does_nothing(server, namespace, user, asleep):
    old = server.leases()[user]
    assert server.source(user) == asleep
    generation = old["generation"]

    async def stop_late():
        api = KubernetesApi(await from_kubeconfig(str(namespace.kubeconfig)), namespace.name)
        plane = namespace.workload(generation).metadata.labels[PLANE]
        try:
            with pytest.raises(Fenced):
                await Databases(api, Spec(image="any"), plane).stop(generation, old["step"])
        finally:
            await api.close()

    asyncio.run(stop_late())
    workload = namespace.workload(generation)
    assert workload.spec.replicas == 1
    assert int(workload.metadata.annotations[STEP]) > old["step"]
    assert asleep.kept() == ["slept on"]


def test_after_its_retention_a_volume_is_kept_unless_told_otherwise(server, namespace, user, asleep):
    lease = server.leases()[user]
    server.turn(15 * DAY)
    server.reap()
    after = server.leases()[user]
    assert after["state"] == "hibernated"
    assert after["reason"] == "retention is over; the volume is kept, as nothing archives it"
    [claim] = [c for c in namespace.every("persistent_volume_claim") if c.metadata.uid == lease["volume"]]
    assert claim.metadata.deletion_timestamp is None
    assert server.source(user) == asleep
    assert asleep.kept() == ["slept on"]


def test_after_its_retention_all_of_it_goes_where_that_was_set(another, real_cluster, namespace, user):
    with another(PLAYGROUND_DELETE_WITHOUT_ARCHIVE="true", PLAYGROUND_RETENTION="PT6H") as server:
        first = server.source(user)
        first.keep("forgotten")
        generation = server.leases()[user]["generation"]
        [claim] = [c for c in namespace.every("persistent_volume_claim") if c.metadata.name == f"pg-{generation}"]
        server.look_twice()
        server.settle(user)
        server.turn(7 * HOUR)
        server.reap()
        assert server.state(user) == "hibernated", "nobody could be heard"
        server.listen(7 * HOUR)
        server.reap()
        server.settle(user)
        assert server.state(user) == "none"
        assert generation not in namespace.standing()
        assert namespace.pods(generation) == []
        until(lambda: claim.spec.volume_name not in [volume.metadata.name for volume in namespace.volumes()])
        assert server.beat(user) == {"message": f"hello {user}", "renewed": False, "state": "released"}
        second = server.source(user)
        assert second.password != first.password
        assert second.sql("SHOW DATABASES LIKE 'mine'") == ()
