"""The contract of the port `Cluster`: the adapter on Kubernetes in memory and on a real one, and the port's double."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.domain.errors import ClusterRefused, Fenced, VolumeGone
from shared.manifests.mariadb import AddressKind
from shared.ports.cluster import Status
from tests.contract.cluster_worlds import WORLDS, World, life, opened, ready, without_pods

# What is accepted of a user's id, also at its longest, and what never is.
USERS = ["alice", "o'brien $(id)/../?=", "~!$'()*,:@/?=" * 9 + "0123456789a", "Ü ⚙\n{{x}}: &a *a"]


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with opened(request) as world:
        yield world


async def generations(cluster) -> set[str]:
    return {workload.generation async for workload in cluster.workloads()}


async def test_a_life_that_is_started_becomes_ready_and_says_where_it_is(world):
    cluster, alice = world.databases(), life()
    status = await ready(world, cluster, alice, 1)
    assert (status.exists, status.replicas, status.pods, status.failure, status.step) == (True, 1, 1, "", 1)
    assert status.address.endswith(":3306")
    assert status.volume
    assert status.server
    assert await cluster.status(alice.generation) == status


async def test_nothing_is_known_of_what_was_never_started(world):
    assert await world.databases().status(life().generation) == Status()


async def test_starting_again_changes_nothing_but_the_step(world):
    cluster, alice = world.databases(), life()
    before = await ready(world, cluster, alice, 1)
    assert await ready(world, cluster, alice, 1) == before
    assert await ready(world, cluster, alice, 2) == replace(before, step=2)
    with pytest.raises(Fenced):
        await cluster.stop(alice.generation, 1)


async def test_stopping_keeps_storage_and_address(world):
    cluster, alice = world.databases(), life()
    running = await ready(world, cluster, alice, 1)
    await cluster.stop(alice.generation, 2)
    stopped = await without_pods(world, cluster, alice.generation)
    assert stopped == Status(exists=True, volume=running.volume, address=running.address, step=2)


async def test_a_life_that_wakes_has_its_data_and_another_server(world):
    cluster, alice = world.databases(), life()
    before = await ready(world, cluster, alice, 1)
    await world.write(before, alice.generation, "precious")
    await cluster.stop(alice.generation, 2)
    await without_pods(world, cluster, alice.generation)
    woken = await ready(world, cluster, replace(alice, volume=before.volume), 3)
    assert await world.read(woken, alice.generation) == ["precious"]
    assert (woken.volume, woken.address) == (before.volume, before.address)
    assert woken.server != before.server


async def test_an_address_changes_only_when_another_kind_is_set_and_then_at_the_next_start(world):
    inside, outside, alice = world.databases(), world.databases(address=AddressKind.NODE_PORT), life()
    before = await ready(world, inside, alice, 1)
    alice = replace(alice, volume=before.volume)
    await world.write(before, alice.generation, "precious")
    assert await outside.status(alice.generation) == before, "what runs keeps its address"
    addresses = [before.address]
    for step, cluster in enumerate((outside, outside, inside), 1):
        await cluster.stop(alice.generation, 2 * step)
        await without_pods(world, cluster, alice.generation)
        woken = await ready(world, cluster, alice, 2 * step + 1)
        assert await world.read(woken, alice.generation) == ["precious"]
        addresses.append(woken.address)
    first, second, again, last = addresses
    assert second == again != first
    assert last == first, "and its old one is kept for it"


async def test_a_life_woken_while_it_still_stops_becomes_ready(world):
    cluster, alice = world.databases(), life()
    before = await ready(world, cluster, alice, 1)
    await cluster.stop(alice.generation, 2)
    after = await ready(world, cluster, replace(alice, volume=before.volume), 3)
    assert after.volume == before.volume


async def test_stopping_or_deleting_what_is_not_there_is_done(world):
    cluster, generation = world.databases(), life().generation
    await cluster.stop(generation, 1)
    assert await cluster.delete(generation, 1, "") is True
    assert await cluster.status(generation) == Status()


async def test_a_start_that_comes_after_a_later_stop_starts_nothing(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    await cluster.stop(alice.generation, 3)
    with pytest.raises(Fenced):
        await cluster.start(alice, 2)
    assert (await cluster.status(alice.generation)).replicas == 0


async def test_a_stop_or_delete_that_comes_after_a_later_start_stops_nothing(world):
    cluster, alice = world.databases(), life()
    before = await ready(world, cluster, alice, 3)
    with pytest.raises(Fenced):
        await cluster.stop(alice.generation, 2)
    with pytest.raises(Fenced):
        await cluster.delete(alice.generation, 2, before.volume)
    assert await cluster.status(alice.generation) == before


async def test_a_stop_of_what_is_stopped_still_writes_its_step(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    await cluster.stop(alice.generation, 2)
    await cluster.stop(alice.generation, 4)
    with pytest.raises(Fenced):
        await cluster.start(alice, 3)


async def test_deleting_leaves_nothing(world):
    cluster, alice = world.databases(), life()
    status = await ready(world, cluster, alice, 1)
    await world.until(lambda: cluster.delete(alice.generation, 2, status.volume))
    assert await cluster.status(alice.generation) == Status()
    assert alice.generation not in await generations(cluster)


async def test_a_volume_that_is_not_the_lease_s_is_left_alone(world):
    cluster, alice = world.databases(), life()
    status = await ready(world, cluster, alice, 1)
    await cluster.stop(alice.generation, 2)
    await without_pods(world, cluster, alice.generation)
    with pytest.raises(ClusterRefused, match="not the one of this lease"):
        await cluster.delete(alice.generation, 3, "another-uid")
    assert (await cluster.status(alice.generation)).volume == status.volume


async def test_a_life_whose_volume_is_gone_gets_no_empty_one(world):
    cluster, alice = world.databases(), life(volume="uid-of-old")
    with pytest.raises(VolumeGone):
        await cluster.start(alice, 1)
    assert await cluster.status(alice.generation) == Status()


async def test_a_volume_that_somebody_deleted_is_told_from_all_other_refusals(world):
    cluster, alice = world.databases(), life()
    before = await ready(world, cluster, alice, 1)
    await cluster.stop(alice.generation, 2)
    await without_pods(world, cluster, alice.generation)
    await world.drop_volume(alice.generation)
    with pytest.raises(VolumeGone):
        await cluster.start(replace(alice, volume=before.volume), 3)
    assert (await cluster.status(alice.generation)).volume == ""


async def test_a_life_does_not_start_on_another_volume_of_its_name(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    with pytest.raises(VolumeGone, match="another has its name"):
        await cluster.start(replace(alice, volume="uid-of-old"), 2)


@pytest.mark.parametrize(
    "user", ["alice", "o'brien $(id)/../?=", "Ü ⚙\n{{x}}: &a *a", "~!$'()*,:@/?=" * 9 + "0123456789ab"]
)
async def test_every_workload_is_found_with_what_it_belongs_to(world, user):
    cluster, alice = world.databases(), life(user=user)
    await cluster.start(alice, 1)
    [found] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    assert (found.owner, found.lease, found.replicas) == (alice.owner, "database", 1)
    assert (found.created_at > 0, found.orphan_since) == (True, None)


async def test_a_volume_left_without_its_workload_is_found(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    await world.drop_workload(alice.generation)
    [found] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    assert (found.owner, found.replicas) == (alice.owner, 0)
    await cluster.mark_orphan(found, 1000.0)
    [found] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    assert found.orphan_since == 1000.0


async def test_an_orphan_is_marked_first_and_stopped_at_the_second_mark(world):
    cluster, alice = world.databases(), life()
    before = await ready(world, cluster, alice, 1)

    async def found():
        [one] = [w async for w in cluster.workloads() if w.generation == alice.generation]
        return one

    await cluster.mark_orphan(await found(), 1000.0)
    marked = await found()
    assert (marked.orphan_since, marked.replicas) == (1000.0, 1)
    await cluster.mark_orphan(marked, 9000.0)
    stopped = await found()
    assert (stopped.orphan_since, stopped.replicas) == (1000.0, 0)
    assert (await without_pods(world, cluster, alice.generation)).volume == before.volume


async def test_a_mark_of_what_somebody_marked_meanwhile_changes_nothing(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    [first] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    await cluster.mark_orphan(first, 1000.0)
    await cluster.mark_orphan(first, 2000.0)
    [found] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    assert (found.orphan_since, found.replicas) == (1000.0, 1)


async def test_a_start_takes_the_mark_away(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    [found] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    await cluster.mark_orphan(found, 1000.0)
    await cluster.start(alice, 2)
    [found] = [w async for w in cluster.workloads() if w.generation == alice.generation]
    assert found.orphan_since is None


async def test_another_control_plane_s_life_is_neither_seen_nor_touched(world):
    ours, theirs, alice = world.databases(), world.databases("plane-b"), life()
    before = await ready(world, theirs, alice, 1)
    assert alice.generation not in await generations(ours)
    for act in (ours.start(alice, 9), ours.stop(alice.generation, 9), ours.delete(alice.generation, 9, before.volume)):
        with pytest.raises(ClusterRefused, match="not ours"):
            await act
    assert await ours.evidence(alice.generation) is None
    assert await theirs.status(alice.generation) == before
