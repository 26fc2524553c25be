"""What a notebook hears while the cluster is in trouble, and that it gets its database afterwards."""

import asyncio

import pytest

from tests.http.asserting import assert_beat, assert_problem
from tests.http.troubles import IMAGE, PODS
from tests.http.ways import Called, Way

WHY = {
    "the cluster is down": "no answer from the cluster: ConnectionRefusedError",
    "the cluster answers 403": 'secrets is forbidden: User "playground" cannot create',
    "the cluster answers 409": "the cluster answered 409 Conflict",
    "the cluster answers 429": "the cluster is overloaded",
    "the cluster answers 500": "the cluster answered 500 InternalError",
    "the cluster refuses the pod (quota)": PODS["quota"],
    "the cluster refuses the pod (pod security)": PODS["pod security"],
    "the image is unknown": IMAGE,
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", WHY)
async def test_the_reason_is_in_the_answer_and_the_next_call_goes_on(way: Way, trouble: str):
    await way.strike(trouble)
    first = await way.create_db("alice")
    assert_problem(first, 503, "not-ready", WHY[trouble])
    state = await way.state()
    assert [lease["state"] for lease in state["leases"]] == ["pending"]
    (generation,) = {event["generation"] for event in state["events"]}

    again = await way.create_db("alice")
    assert again.status == 503 and WHY[trouble] in again.json()["detail"]

    await way.strike("nothing")
    last = await way.create_db("alice")
    if last.status == 503:  # nothing was started, so it says when that is tried again
        assert 1 <= int(last.header("retry-after") or 0) <= 3
    assert {event["generation"] for event in (await way.state())["events"]} == {generation}


@pytest.mark.parametrize("trouble", WHY)
async def test_a_database_is_had_when_the_trouble_is_over(near: Called, trouble: str):
    await near.strike(trouble)
    await near.create_db("alice")
    (generation,) = {lease.generation for lease in await near.world.leases()}
    await near.strike("nothing")
    near.world.clock.turn(3.1)
    assert (await near.create_db("alice")).status == 200
    assert {lease.generation for lease in await near.world.leases()} == {generation}


async def test_after_a_long_trouble_its_owner_need_not_wait_for_the_next_try(near: Called):
    await near.strike("the cluster answers 403")
    for _ in range(6):
        near.world.clock.turn(200)
        await near.create_db("alice")
    (lease,) = await near.world.leases()
    assert lease.due_at > near.world.clock.now() + 60, "nobody would try so soon by himself"
    await near.strike("nothing")
    assert (await near.create_db("alice")).status == 200


@pytest.mark.parametrize("trouble", ["the cluster is down", "the cluster answers 429", "the image is unknown"])
async def test_a_beat_is_heard_whatever_the_cluster_does(way: Way, trouble: str):
    await way.create_db("alice")
    await way.strike(trouble)
    assert_beat(await way.heart_beat("alice"), "alice", renewed=True, state="running")


@pytest.mark.parametrize("trouble", ["the cluster is down", "the cluster answers 403", "the cluster hangs"])
async def test_who_has_a_database_is_told_so_without_asking_the_cluster(way: Way, trouble: str):
    before = await way.create_db("alice")
    asked = (await way.state())["asked of the cluster"]
    await way.strike(trouble)
    again = await way.create_db("alice")
    assert (again.status, again.body) == (200, before.body)
    assert (await way.state())["asked of the cluster"] == asked


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["the cluster hangs", "pods never start"])
async def test_an_answer_comes_in_time_whatever_hangs(way: Way, trouble: str):
    await way.hurry(0.5)
    await way.strike(trouble)
    for _ in range(2):
        assert_problem(await way.create_db("alice"), 503, "not-ready", "the database is not ready yet; ask again")
    assert [lease["state"] for lease in (await way.state())["leases"]] == ["pending"]


async def test_a_slow_cluster_holds_up_nobodys_beat(way: Way):
    await way.create_db("bob")
    await way.hurry(30)
    await way.strike("the cluster hangs")
    waiting = asyncio.create_task(way.create_db("alice"))
    assert (await way.heart_beat("bob")).json()["renewed"] is True
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_conflict_with_a_controller_is_nobodys_business(way: Way):
    await way.strike("the cluster conflicts once")
    assert (await way.create_db("alice")).status == 200
