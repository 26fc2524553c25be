"""Who reaches a database and where it reaches, on a cluster that enforces network policies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.namespaces import ensure_namespace
from shared.adapters.k8s.probe import Probe, reach_tcp
from shared.domain.leases import new_generation
from shared.manifests.database import CLIENT_NAMESPACE, CLIENT_POD
from shared.manifests.mariadb import CONTAINER, PORT, AddressKind, Spec
from shared.manifests.probe import caller
from shared.ports.cluster import Life, Status
from tests.cluster_fixture import RealCluster
from tests.contract.cluster_real import Real, real_world, sql
from tests.contract.cluster_worlds import life, ready, without_pods

pytestmark = pytest.mark.cluster


@pytest.fixture
async def world(real_cluster: RealCluster) -> AsyncIterator[Real]:
    async with real_world(real_cluster, {CLIENT_NAMESPACE: "true"}) as world:
        yield world


async def started(world: Real, **changes: object):
    cluster, alice = world.databases(**changes), life()
    await cluster.start(alice, 1)
    async with asyncio.timeout(60):
        status = await cluster.wait_ready(alice.generation)
    assert status.ready, status
    return alice.generation, status


async def words_of(world: Real, pod: str) -> str:
    """The last words of a pod's container that ended."""

    async def said():
        found = await world.api.get("Pod", pod)
        for container in (found or {}).get("status", {}).get("containerStatuses", ()):
            for state in (container["state"], container.get("lastState", {})):
                if "terminated" in state:
                    return state["terminated"]["message"]
        return None

    return await world.until(said)


async def test_only_the_clients_networks_get_in_from_outside(world):
    _, status = await started(world)
    assert await reach_tcp(status.address) == ""
    _, closed = await started(world, client_networks=("192.0.2.0/24",))
    assert await reach_tcp(closed.address) == "no answer"


async def started_again(world: Real, cluster: Databases, of: Life, step: int) -> Status:
    await cluster.stop(of.generation, step)
    await without_pods(world, cluster, of.generation)
    return await ready(world, cluster, of, step + 1)


async def test_a_node_port_is_reached_from_outside_and_the_policy_sees_the_client(world):
    cluster, alice = world.databases(address=AddressKind.NODE_PORT), life()
    status = await ready(world, cluster, alice, 1)
    assert (
        status.address.rpartition(":")[0]
        == (await world.api.get("Pod", f"pg-{alice.generation}-0"))["status"]["hostIP"]
    )
    assert await sql(status, "SELECT COUNT(*) FROM iris.train") == [(120,)]
    # Who connects is this machine, and no address of the node: so the policy sees who it is.
    [[seen]] = await sql(status, "SELECT SUBSTRING_INDEX(HOST, ':', 1) FROM information_schema.PROCESSLIST")
    assert f"{seen}/32" in world.spec.client_networks
    alice = replace(alice, volume=status.volume)
    closed = world.databases(address=AddressKind.NODE_PORT, client_networks=("192.0.2.0/24",))
    elsewhere = await started_again(world, closed, alice, 2)
    assert elsewhere.address == status.address, "the port outlives a sleep"
    assert await reach_tcp(elsewhere.address) == "no answer", "and the networks are those that are set at the start"
    again = await started_again(world, cluster, alice, 4)
    assert again.address == status.address
    assert await sql(again, "SELECT COUNT(*) FROM iris.train") == [(120,)]


async def test_a_service_becomes_any_kind_from_any_other(world):
    kinds, alice = list(AddressKind), life()
    steps, given = iter(range(1, 99)), set()
    for kind in (kinds[0], *(kind for one in kinds for other in kinds for kind in (one, other))):
        await world.databases(address=kind).start(alice, next(steps))
        service = await world.api.get("Service", f"pg-{alice.generation}")
        outside = kind in (AddressKind.NODE_PORT, AddressKind.LOAD_BALANCER)
        ranges = list(world.spec.client_networks) if kind is AddressKind.LOAD_BALANCER else None
        assert service["spec"].get("loadBalancerSourceRanges") == ranges
        assert service["spec"].get("externalTrafficPolicy") == ("Local" if outside else None)
        assert ("nodePort" in service["spec"]["ports"][0]) is outside
        given.add(service["spec"]["clusterIP"])
    assert len(given) == 1, "its address inside is the same all the time"


async def test_who_has_the_role_and_no_more_is_not_kept_from_a_namespace_that_is_there(world):
    assert await ensure_namespace(world.role, world.namespace) is False


async def test_only_pods_that_say_they_are_clients_get_in(world):
    _, status = await started(world)
    host = status.address.rpartition(":")[0]
    friend, stranger = new_generation(), new_generation()
    for each, label in ((friend, {CLIENT_POD: "true"}), (stranger, {})):
        manifest = caller("plane-a", each, world.spec, host, allowed=False)
        manifest["spec"]["template"]["metadata"]["labels"] |= label
        await world.api.create(manifest)
    assert "ERROR 1045" in await words_of(world, f"pg-{friend}-0"), "it was let in, and has no account"
    assert "ERROR 2002" in await words_of(world, f"pg-{stranger}-0")


async def test_a_database_reaches_nothing(world):
    one, _ = await started(world)
    _, other = await started(world)
    targets = [other.address.rpartition(":")[0]]
    targets += [(await world.api.get("Pod", f"pg-{one}-0"))["status"]["hostIP"]]
    for host, port in ((targets[0], PORT), (targets[1], 6443)):
        argv = ["mariadb", "--no-defaults", "--protocol=tcp", f"--host={host}", f"--port={port}", "--user=x",
                "--connect-timeout=2", "--execute=DO 0"]  # fmt: skip
        output = await world.api.run(f"pg-{one}-0", CONTAINER, ["sh", "-c", '"$@" 2>&1', "said", *argv])
        assert b"ERROR 2002" in output.stdout


async def test_a_start_up_probe_finds_all_well_and_leaves_nothing(world):
    findings = await Probe(world.api, world.spec, "plane-a", world.namespace).run(0.0)
    assert (findings.sentences, findings.policy_enforced) == ([], True)

    async def empty():
        kinds = ("StatefulSet", "Pod", "Service", "NetworkPolicy", "PersistentVolumeClaim")
        return not any([await world.names(kind) for kind in kinds])

    await world.until(empty)


async def test_a_start_up_probe_says_what_to_set_where_it_is_not_let_in(world):
    spec = Spec(image=world.spec.image, memory="256Mi", storage="256Mi", client_networks=("192.0.2.0/24",))
    findings = await Probe(world.api, spec, "plane-a", world.namespace).run(0.0)
    assert "cannot be reached from here (no answer)" in findings.address
    assert "PLAYGROUND_CLIENT_NETWORKS (now: 192.0.2.0/24)" in findings.address
    assert findings.policy_enforced is True


async def test_a_start_up_probe_names_the_rights_that_lack(world):
    await world.take_right("services", "delete")

    async def found():
        return (await Probe(world.api, world.spec, "plane-a", world.namespace).run(0.0)).rights

    assert await world.until(found) == "the control plane may not: delete services; grant it its role"
