"""A life that goes to another owner is that owner's from the next start, and what runs goes on running."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.domain.leases import Owner
from tests.contract.cluster_worlds import WORLDS, World, life, opened, ready


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with opened(request) as world:
        yield world


async def test_a_start_for_another_owner_gives_the_life_to_it_and_restarts_nothing(world: World) -> None:
    cluster, spare = world.databases(), life(user="spare")
    before = await ready(world, cluster, spare, 3)
    await world.write(before, spare.generation, "written before")
    given = replace(spare, owner=Owner("acme", "bob"), lease="other", volume=before.volume)
    after = await ready(world, cluster, given, 4)
    assert (after.server, after.address, after.volume) == (before.server, before.address, before.volume)
    assert await world.read(after, spare.generation) == ["written before"]
    found = [each async for each in cluster.workloads() if each.generation == spare.generation]
    assert [(each.owner, each.lease) for each in found] == [(Owner("acme", "bob"), "other")]
    await cluster.stop(spare.generation, 5)


async def test_what_is_left_of_it_without_a_workload_is_the_new_owners_too(world: World) -> None:
    cluster, spare = world.databases(), life(user="spare")
    before = await ready(world, cluster, spare, 3)
    given = replace(spare, owner=Owner("acme", "bob"), volume=before.volume)
    await ready(world, cluster, given, 4)
    await world.drop_workload(spare.generation)

    async def alone() -> list[Owner]:
        found = [each async for each in cluster.workloads() if each.generation == spare.generation]
        return [each.owner for each in found if each.replicas == 0]

    assert await world.until(alone) == [Owner("acme", "bob")]
