"""The contract of the port `Cluster`: what a server says of its use, and who waits for one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.contract.cluster_worlds import WORLDS, World, life, opened, ready, without_pods


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with opened(request) as world:
        yield world


async def test_evidence_counts_the_user_s_connections_and_statements(world):
    cluster, alice = world.databases(), life()
    status = await ready(world, cluster, alice, 1)
    idle = await cluster.evidence(alice.generation)
    assert idle is not None
    assert (idle.connections, idle.executing, idle.connected, idle.server) == (0, False, 0, status.server)
    async with world.connected(status, alice.generation):
        busy = await cluster.evidence(alice.generation)
        assert busy is not None
        assert (busy.connections, busy.executing) == (1, False)
    await world.write(status, alice.generation, "something")

    async def closed():
        evidence = await cluster.evidence(alice.generation)
        return evidence if evidence is not None and evidence.connections == 0 else None

    after = await world.until(closed)
    assert after.connected >= 1
    assert after.statements >= 1
    again = await cluster.evidence(alice.generation)
    assert again == after, "asking is no use"


async def test_nothing_is_known_of_a_server_that_does_not_run(world):
    cluster, alice = world.databases(), life()
    assert await cluster.evidence(alice.generation) is None
    await ready(world, cluster, alice, 1)
    await cluster.stop(alice.generation, 2)
    await without_pods(world, cluster, alice.generation)
    assert await cluster.evidence(alice.generation) is None


async def test_a_pod_that_the_cluster_refuses_ends_the_wait_with_its_reason(world):
    cluster, alice = world.databases(), life()
    await world.refuse_pods()
    await cluster.start(alice, 1)
    async with asyncio.timeout(30):
        status = await cluster.wait_ready(alice.generation)
    assert not status.ready
    assert "exceeded quota" in status.failure


async def test_an_image_that_cannot_be_had_ends_the_wait_with_its_reason(world):
    cluster, alice = world.databases(**await world.no_image()), life()
    await cluster.start(alice, 1)
    async with asyncio.timeout(30):
        status = await cluster.wait_ready(alice.generation)
    assert not status.ready
    assert "image" in status.failure


async def test_a_pod_that_fits_nowhere_ends_the_wait_after_a_while(world):
    cluster, alice = world.databases(**await world.no_room()), life()
    await cluster.start(alice, 1)
    async with asyncio.timeout(30):
        status = await cluster.wait_ready(alice.generation)
    assert "no node has room" in status.failure


async def test_a_wait_ends_when_the_life_is_stopped(world):
    cluster, alice = world.databases(**await world.no_room()), life()
    await cluster.start(alice, 1)
    await cluster.stop(alice.generation, 2)
    async with asyncio.timeout(30):
        status = await cluster.wait_ready(alice.generation)
    assert (status.ready, status.failure) == (False, "it was stopped meanwhile")


async def test_many_who_wait_for_one_life_are_all_told(world):
    cluster, alice = world.databases(), life()
    await cluster.start(alice, 1)
    async with asyncio.timeout(60):
        waits = [asyncio.create_task(cluster.wait_ready(alice.generation)) for _ in range(20)]
        await asyncio.sleep(0)
        waits.pop().cancel()
        statuses = await asyncio.gather(*waits)
    assert all(status.ready and status == statuses[0] for status in statuses)
