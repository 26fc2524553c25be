"""The contract of `Cluster` for archives: what is stored is all there is, and the next life begins with it."""

import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.domain.errors import Fenced, VolumeGone
from shared.ports.archives import Place
from shared.ports.cluster import Life, Outcome, Task
from tests.contract.cluster_worlds import WORLDS, World, life, opened, ready, without_pods


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with opened(request) as world:
        yield world


def task(alice: Life, number: int = 1) -> Task:
    name = f"{alice.generation}-{number}"
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return Task(name, key, f"acme/alice {name}", Place(claim="archives", path=f"{name}.archive"))


async def stored(world: World, cluster, alice: Life, step: int, wanted: Task) -> Outcome:
    """What storing came to."""

    async def outcome() -> Outcome | None:
        found = await cluster.store(alice, step, wanted)
        return found if found != Outcome() else None

    return await world.until(outcome)


async def restored(world: World, cluster, bob: Life, step: int, wanted: Task) -> Outcome:
    async def outcome() -> Outcome | None:
        found = await cluster.restore(bob, step, wanted, wait=False)
        return found if found != Outcome() else None

    return await world.until(outcome)


async def written(world: World, cluster, alice: Life) -> None:
    """A database that runs, with a row in it."""
    await world.write(await ready(world, cluster, alice, 1), alice.generation, "a row")


def to_fetch(wanted: Task, outcome: Outcome) -> Task:
    return replace(wanted, sha256=outcome.sha256, size=outcome.size)


async def test_what_a_life_holds_is_stored_and_another_life_begins_with_it(world):
    cluster, alice, bob, wanted = world.databases(), life(), life(), None
    await written(world, cluster, alice)
    wanted = task(alice)
    outcome = await stored(world, cluster, alice, 2, wanted)
    assert (outcome.done, outcome.failure) == (True, "") and outcome.size > 0 and len(outcome.sha256) == 64
    assert await cluster.store(alice, 3, wanted) == outcome, "asked again it says the same"
    await cluster.stop(alice.generation, 4)
    await without_pods(world, cluster, alice.generation)

    fetched = to_fetch(wanted, outcome)
    assert (await restored(world, cluster, bob, 1, fetched)).done
    await cluster.start(bob, 2)
    status = await cluster.wait_ready(bob.generation)
    assert await world.read(status, bob.generation) == ["a row"]
    await world.write(status, bob.generation, "another")
    assert await cluster.restore(bob, 3, fetched, wait=True) == Outcome(done=True)
    assert await world.read(status, bob.generation) == ["a row", "another"], "nothing is restored twice"


async def test_a_life_that_is_used_while_it_is_stored_runs_again_with_its_data(world):
    cluster, alice = world.databases(), life()
    await written(world, cluster, alice)
    wanted = task(alice)

    async def under_way() -> bool:
        await cluster.store(alice, 2, wanted)
        status = await cluster.status(alice.generation)
        return status.replicas == 1 and status.pods == 1 and not status.ready

    await world.until(under_way)
    await cluster.start(alice, 3)
    status = await cluster.wait_ready(alice.generation)
    assert status.ready and await world.read(status, alice.generation) == ["a row"]
    with pytest.raises(Fenced):
        await cluster.store(alice, 2, wanted)


async def test_what_is_not_as_it_was_stored_is_refused_and_says_why(world):
    cluster, alice, bob = world.databases(), life(), life()
    await written(world, cluster, alice)
    wanted = task(alice)
    outcome = await stored(world, cluster, alice, 2, wanted)
    wrong = replace(to_fetch(wanted, outcome), sha256="0" * 64)
    failure = (await restored(world, cluster, bob, 1, wrong)).failure
    assert failure.startswith("fetch failed: ")
    assert not (await cluster.status(bob.generation)).ready


async def test_a_life_whose_volume_is_gone_is_not_stored_as_an_empty_one(world):
    cluster, alice = world.databases(), life()
    status = await ready(world, cluster, alice, 1)
    await cluster.stop(alice.generation, 2)
    await without_pods(world, cluster, alice.generation)
    await world.drop_volume(alice.generation)
    with pytest.raises(VolumeGone):
        await cluster.store(replace(alice, volume=status.volume), 3, task(alice))


async def test_only_so_many_are_stored_at_once_and_who_begins_with_an_archive_waits_for_none(world):
    cluster, other = world.databases(archives_at_once=1), world.databases("plane-b", archives_at_once=1)
    alice, bob, carol, dave = life(), life(), life(), life()
    for plane, each in ((cluster, alice), (cluster, bob), (other, dave)):
        await written(world, plane, each)
    wanted = task(alice)
    outcome = await stored(world, cluster, alice, 2, wanted)
    assert outcome.done
    assert await stored(world, cluster, bob, 2, task(bob)) == Outcome(waits=True)
    assert await cluster.store(bob, 3, task(bob)) == Outcome(waits=True)
    assert (await cluster.status(bob.generation)).replicas == 0
    assert await cluster.store(alice, 3, wanted) == outcome, "its own pod does not keep it from being told"
    assert (await stored(world, other, dave, 2, task(dave))).done, "another control plane's are not counted"
    assert (await restored(world, cluster, carol, 1, to_fetch(wanted, outcome))).done

    await cluster.stop(alice.generation, 4)
    await without_pods(world, cluster, alice.generation)
    assert (await stored(world, cluster, bob, 4, task(bob))).done
