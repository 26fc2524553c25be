"""Two control planes in one namespace, and one that is wrong about the cluster: nobody touches what is not theirs."""

from shared.manifests.database import ORPHAN_SINCE, PLANE
from tests.end_to_end.conditions import until
from tests.end_to_end.servers import HOUR, MINUTE


def plane_of(namespace, server):
    generation = next(iter(server.leases().values()))["generation"]
    return namespace.workload(generation).metadata.labels[PLANE]


def test_a_second_control_plane_touches_nothing_of_the_first(server, another, namespace, user):
    source = server.source(user)
    source.keep("of the first")
    first = plane_of(namespace, server)
    before = until(lambda: namespace.fingerprint(first))
    with another(PLAYGROUND_DELETE_WITHOUT_ARCHIVE="true", PLAYGROUND_RETENTION="PT6H") as second:
        theirs = second.source(user)
        theirs.keep("of the second")
        assert plane_of(namespace, second) != first
        second.turn(2 * HOUR)  # what has no lease is old enough now to be an orphan
        for _ in range(3):
            compared = second.reconcile()
            assert (compared["workloads"], compared["orphans"]) == (1, 0)
            second.turn(11 * MINUTE)
        second.look_twice()
        second.settle(user)
        second.listen(7 * HOUR)
        second.reap()
        second.settle(user)
        assert second.state(user) == "none"
    assert namespace.fingerprint(first) == before
    assert source.kept() == ["of the first"]


def test_a_store_restored_from_before_a_lease_stops_its_workload_late_and_leaves_its_volume(another, namespace, user):
    with another() as server:
        server.stop()
        backup = (server.folder / "leases.db").read_bytes()
        server.start()
        server.source(user).keep("kept for an operator")
        lease = server.leases()[user]
        generation = lease["generation"]
        server.stop()
        (server.folder / "leases.db").write_bytes(backup)
        server.start()
        assert server.reconcile()["orphans"] == 0, "so young a workload may be one whose lease is being written"
        server.turn(2 * HOUR)
        assert server.reconcile()["orphans"] == 1
        workload = namespace.workload(generation)
        assert workload.spec.replicas == 1
        assert ORPHAN_SINCE in workload.metadata.annotations
        server.turn(11 * MINUTE)
        assert server.reconcile()["orphans"] == 1
        until(lambda: namespace.pods(generation) == [])
        [claim] = [c for c in namespace.every("persistent_volume_claim") if c.metadata.uid == lease["volume"]]
        assert claim.metadata.deletion_timestamp is None
        server.turn(11 * MINUTE)
        assert server.reconcile()["orphans"] == 0, "what is stopped is left to an operator"


def test_a_workload_that_somebody_deleted_is_made_again_with_its_data(server, namespace, user):
    source = server.source(user)
    source.keep("still there")
    generation = server.leases()[user]["generation"]
    namespace.apps.delete_namespaced_stateful_set(f"pg-{generation}", namespace.name)
    until(lambda: namespace.pods(generation) == [])
    assert server.reconcile()["missing"] == 1
    assert until(source.kept) == ["still there"]
    server.settle(user)
    assert server.source(user) == source
