"""What a start makes of the parts of a life that are there already."""

from dataclasses import replace

import pytest

from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.parts import renewed_service
from shared.domain.errors import ClusterRefused, ClusterUnavailable, VolumeGone
from shared.domain.leases import Owner
from shared.manifests import database
from shared.manifests.mariadb import AddressKind
from tests.adapters.rig import SPEC, Rig, passing
from tests.contract.cluster_worlds import life
from tests.doubles.network import Fate, Request

NETWORKS = ("198.51.100.0/24",)
INSIDE, OUTSIDE = AddressKind.CLUSTER_IP, AddressKind.NODE_PORT


def set_to(rig: Rig, **changes: object) -> Databases:
    """The same control plane after its operator has set something else."""
    return Databases(rig.kubernetes, replace(SPEC, **changes), "plane-a", patience=0.01)


async def started(rig: Rig, cluster: Databases, volume: str, step: int) -> str:
    """The address of the life, started by that control plane."""
    await cluster.start(replace(rig.life, volume=volume), step)
    await rig.kubernetes.settle()
    status = await cluster.status(rig.generation)
    assert status.ready, status
    return status.address


async def test_a_running_database_keeps_its_address_whatever_is_set():
    rig = Rig()
    await rig.ready(1)
    before = await rig.cluster.status(rig.generation)
    for kind in AddressKind:
        assert await set_to(rig, address=kind).status(rig.generation) == before


async def test_a_database_that_wakes_has_the_address_that_is_set_now_and_its_old_one_when_it_is_set_back():
    rig = Rig()
    volume = await rig.ready(1)
    inside = (await rig.cluster.status(rig.generation)).address
    steps = iter(range(2, 99))
    outside = await started(rig, set_to(rig, address=OUTSIDE), volume, next(steps))
    assert outside.startswith("192.0.2.1:3")
    assert await started(rig, set_to(rig, address=OUTSIDE), volume, next(steps)) == outside, "and its port stays"
    by_name = await started(rig, set_to(rig, address=AddressKind.DNS), volume, next(steps))
    assert by_name == f"pg-{rig.generation}.test.svc.cluster.local:3306"
    assert await started(rig, rig.cluster, volume, next(steps)) == inside


async def test_a_node_port_s_host_is_the_node_that_the_pod_is_on_now():
    rig = Rig()
    cluster = set_to(rig, address=OUTSIDE)
    await cluster.start(rig.life, 1)
    await rig.kubernetes.settle()
    before = (await cluster.status(rig.generation)).address
    rig.kubernetes.controllers.node = "192.0.2.2"
    rig.kubernetes.remove(rig.kubernetes.find("Pod")[0])
    await rig.kubernetes.settle()
    after = (await cluster.status(rig.generation)).address
    assert after == before.replace("192.0.2.1", "192.0.2.2")


async def test_a_life_that_wakes_gets_the_clients_networks_of_today():
    rig = Rig()
    volume = await rig.ready(1)
    wider = set_to(rig, client_networks=NETWORKS, address=AddressKind.LOAD_BALANCER)
    await wider.start(replace(rig.life, volume=volume), 2)
    [policy], [service] = rig.kubernetes.find("NetworkPolicy"), rig.kubernetes.find("Service")
    assert policy["spec"]["ingress"][0]["from"][0] == {"ipBlock": {"cidr": NETWORKS[0]}}
    assert service["spec"]["loadBalancerSourceRanges"] == list(NETWORKS)
    narrower = set_to(rig, client_networks=("192.0.2.7/32",), address=AddressKind.LOAD_BALANCER)
    await narrower.start(replace(rig.life, volume=volume), 3)
    [service] = rig.kubernetes.find("Service")
    assert service["spec"]["loadBalancerSourceRanges"] == ["192.0.2.7/32"]
    pods_alone = set_to(rig, client_networks=(), address=AddressKind.LOAD_BALANCER)
    await pods_alone.start(replace(rig.life, volume=volume), 4)
    [policy], [service] = rig.kubernetes.find("NetworkPolicy"), rig.kubernetes.find("Service")
    assert len(policy["spec"]["ingress"][0]["from"]) == 1
    assert "loadBalancerSourceRanges" not in service["spec"]


async def test_what_a_start_left_that_died_early_is_brought_to_the_settings_of_today():
    rig = Rig()
    volume = await rig.ready(1)
    rig.kubernetes.remove(rig.kubernetes.find("StatefulSet")[0])  # as if it had never come so far
    await set_to(rig, client_networks=NETWORKS, address=OUTSIDE).start(replace(rig.life, volume=volume), 2)
    [policy], [service] = rig.kubernetes.find("NetworkPolicy"), rig.kubernetes.find("Service")
    assert policy["spec"]["ingress"][0]["from"][0] == {"ipBlock": {"cidr": NETWORKS[0]}}
    assert service["spec"]["type"] == "NodePort"


async def test_a_start_under_the_same_settings_writes_no_part_again():
    rig = Rig()
    volume = await rig.ready(1)
    await rig.cluster.start(replace(rig.life, volume=volume), 2)
    assert [r.kind for r in rig.kubernetes.requests if r.verb == "replace"] == ["StatefulSet", "StatefulSet"]


async def test_what_a_cloud_wrote_on_a_service_stays_and_its_status_is_waited_out():
    rig = Rig()
    volume = await rig.ready(1)

    async def gate(request: Request) -> Fate | None:
        if (request.verb, request.kind, request.moment) == ("replace", "Service", "before"):
            rig.kubernetes.gate = passing
            [service] = rig.kubernetes.find("Service")
            service["metadata"]["annotations"]["cloud.example/id"] = "lb-1"
            rig.kubernetes.store(service)
        return None

    rig.kubernetes.gate = gate
    await started(rig, set_to(rig, address=OUTSIDE), volume, 2)
    [service] = rig.kubernetes.find("Service")
    assert service["metadata"]["annotations"]["cloud.example/id"] == "lb-1"
    assert service["spec"]["type"] == "NodePort"


async def test_a_service_that_never_stands_still_is_given_up_for_now():
    rig = Rig()
    volume = await rig.ready(1)

    async def gate(request: Request) -> Fate | None:
        if (request.verb, request.kind, request.moment) == ("replace", "Service", "before"):
            rig.kubernetes.store(rig.kubernetes.find("Service")[0])
        return None

    rig.kubernetes.gate = gate
    with pytest.raises(ClusterUnavailable, match="keeps changing"):
        await set_to(rig, address=OUTSIDE).start(replace(rig.life, volume=volume), 2)


async def test_a_spare_serves_whom_it_is_given_to_at_once_and_nobody_watches_for_it():
    rig = Rig()
    volume = await rig.ready(1)
    [before], asked = rig.kubernetes.find("StatefulSet"), len(rig.kubernetes.requests)
    await rig.cluster.start(replace(rig.life, volume=volume, owner=Owner("acme", "bob")), 2)
    assert (await rig.cluster.wait_ready(rig.generation)).ready
    [after] = rig.kubernetes.find("StatefulSet")
    assert after["metadata"]["generation"] == before["metadata"]["generation"], "its controller has nothing to do"
    for kind in ("StatefulSet", "Service", "NetworkPolicy", "PersistentVolumeClaim"):
        [found] = rig.kubernetes.find(kind)
        assert found["metadata"]["annotations"][database.OWNER] == "acme/bob", kind
    verbs = [request.verb for request in rig.kubernetes.requests[asked:]]
    assert "watch" not in verbs and len(verbs) <= 16


async def test_who_read_the_service_before_a_start_renewed_it_is_told_the_address_of_afterwards():
    rig = Rig()
    volume = await rig.ready(1)
    outside = set_to(rig, address=OUTSIDE)

    async def gate(request: Request) -> Fate | None:
        if (request.verb, request.kind, request.moment) == ("get", "StatefulSet", "before"):
            rig.kubernetes.gate = passing
            await outside.start(replace(rig.life, volume=volume), 2)  # while the Service's answer is here already
            await rig.kubernetes.settle()
        return None

    rig.kubernetes.gate = gate
    status = await outside.wait_ready(rig.generation)
    assert (status.ready, status.step) == (True, 2)
    assert status.address.startswith("192.0.2.1:3"), status.address


@pytest.mark.parametrize("kind", ["Service", "NetworkPolicy", "Secret", "ConfigMap"])
async def test_a_part_that_somebody_took_away_is_made_again_at_the_next_start(kind: str):
    rig = Rig()
    volume = await rig.ready(1)
    for found in rig.kubernetes.find(kind):
        rig.kubernetes.remove(found)
    await rig.kubernetes.settle()
    assert not rig.kubernetes.find(kind)
    await rig.ready(2, replace(rig.life, volume=volume))
    assert rig.kubernetes.find(kind)


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.PASS])
async def test_a_change_of_kind_that_is_struck_anywhere_is_finished_by_the_next_start(fate):
    for position in range(99):
        rig = Rig()
        volume = await rig.ready(1)
        await rig.cluster.stop(rig.generation, 2)
        await rig.kubernetes.settle()
        cluster, woken = set_to(rig, address=OUTSIDE), replace(rig.life, volume=volume)
        if not await rig.struck(lambda cluster=cluster, woken=woken: cluster.start(woken, 3), fate, position):
            break
        assert (await started(rig, cluster, volume, 4)).startswith("192.0.2.1:3"), position
        await rig.arrive()
        assert (await cluster.status(rig.generation)).ready
    assert position > 7


def test_a_service_of_another_type_keeps_nothing_that_its_new_type_may_not_have():
    made = database.service(life(), replace(SPEC, address=AddressKind.LOAD_BALANCER), "plane-a", "volume-uid")
    given = {
        "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"], "healthCheckNodePort": 31000,
        "allocateLoadBalancerNodePorts": True, "loadBalancerClass": "cloud.example/lb",
        "ports": [made["spec"]["ports"][0] | {"nodePort": 30001}],
    }  # fmt: skip
    found = made | {"spec": made["spec"] | given}
    for kind, more in ((INSIDE, {}), (OUTSIDE, {"nodePort": 30001})):
        wanted = database.service(life(), replace(SPEC, address=kind), "plane-a", "volume-uid")
        kept = {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"]}
        ports = [wanted["spec"]["ports"][0] | more]
        assert renewed_service(found, wanted)["spec"] == wanted["spec"] | kept | {"ports": ports}
    assert renewed_service(found, made) == found, "of the same type all of it stays"


# --- the volume


async def lost(rig: Rig, verb: str) -> None:
    async def gate(request: Request) -> Fate | None:
        return Fate.LOST if (request.verb, request.kind) == (verb, "PersistentVolumeClaim") else None

    rig.kubernetes.gate = gate


async def test_only_an_answer_proves_that_a_volume_is_gone():
    rig = Rig()
    volume = await rig.ready(1)
    woken = replace(rig.life, volume=volume)
    await lost(rig, "get")
    with pytest.raises(ClusterUnavailable):
        await rig.cluster.start(woken, 2)
    rig.kubernetes.gate = passing
    [claim] = rig.kubernetes.find("PersistentVolumeClaim")
    rig.kubernetes.remove(claim)
    with pytest.raises(ClusterRefused, match="is being deleted") as refused:
        await rig.cluster.start(woken, 3)
    assert not isinstance(refused.value, VolumeGone), "a pod still has it"
    rig.kubernetes.remove(rig.kubernetes.find("StatefulSet")[0])
    await rig.kubernetes.settle()
    with pytest.raises(VolumeGone):
        await rig.cluster.start(woken, 4)


async def test_a_claim_that_is_somebody_else_s_proves_nothing():
    rig = Rig()
    volume = await rig.ready(1)
    [claim] = rig.kubernetes.find("PersistentVolumeClaim")
    claim["metadata"]["labels"][database.PLANE] = "plane-b"
    with pytest.raises(ClusterRefused, match="not ours") as refused:
        await rig.cluster.start(replace(rig.life, volume=volume), 2)
    assert not isinstance(refused.value, VolumeGone)
