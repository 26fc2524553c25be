"""Storms of beats: what they cost the store, and that each is told the truth."""

import asyncio

import pytest

from shared.domain.leases import Owner, State
from tests.http.alone import Alone
from tests.http.asserting import assert_beat
from tests.http.ways import Called, Way, own

ALICE = Owner("default", "alice")


async def test_a_storm_of_one_users_beats_costs_one_write_in_30_s(called: Called):
    await called.create_db("alice")
    calls, clock = called.world.store.calls, called.world.clock
    for _ in range(3):
        clock.turn(31)
        calls.clear()
        for _ in range(100):
            clock.turn(0.29)
            assert (await called.heart_beat("alice")).json()["renewed"] is True
        assert own(calls) == {"beat": 1}


async def test_beats_that_come_together_share_one_write(way: Way):
    await way.create_db("alice")
    before = await way.calls()
    replies = await asyncio.gather(*(way.heart_beat("alice") for _ in range(50)))
    assert len({reply.body for reply in replies}) == 1
    assert_beat(replies[0], "alice", renewed=True, state="running")
    cost = await way.calls() - before
    assert cost["beat"] == 1 and cost["get"] <= 1 and cost["replace"] == 0


@pytest.mark.parametrize("trouble", ["nothing", "the store is down"])
async def test_a_storm_for_nothing_costs_one_question_in_2_s(called: Called, trouble: str):
    await called.strike(trouble)
    calls, clock = called.world.store.calls, called.world.clock
    for _ in range(3):
        clock.turn(2)
        calls.clear()
        for _ in range(100):
            clock.turn(0.0199)
            assert (await called.heart_beat("alice")).json()["renewed"] is False
        assert calls["beat"] == 1 and calls["get"] <= 1


@pytest.mark.slow
async def test_a_real_storm_through_tls_costs_no_more(alone: Alone):
    await alone.create_db("alice")
    before = await alone.calls()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(10):
        replies = await asyncio.gather(*(alone.heart_beat("alice") for _ in range(30)))
        assert {reply.status for reply in replies} == {200}
        assert all(reply.json()["renewed"] for reply in replies)
    assert (await alone.calls() - before)["beat"] <= 1 + (loop.time() - began) // 30


@pytest.mark.slow
async def test_one_who_hangs_up_does_not_undo_the_others_beat(near: Called):
    await near.create_db("alice")
    near.world.clock.turn(60)
    let_go = asyncio.Event()

    async def wait(name: str) -> None:
        await let_go.wait()

    near.world.store.trouble = wait
    beats = [asyncio.create_task(near.heart_beat("alice")) for _ in range(3)]
    while not near.world.store.calls["beat"]:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    beats[0].cancel()
    await asyncio.gather(beats[0], return_exceptions=True)
    let_go.set()
    assert [(await beat).json()["renewed"] for beat in beats[1:]] == [True, True]
    assert (await near.world.lease(ALICE)).beat_at == near.world.clock.now()


@pytest.mark.slow
async def test_even_if_all_hang_up_the_beat_is_written(called: Called):
    await called.create_db("alice")
    called.world.clock.turn(60)
    let_go = asyncio.Event()

    async def wait(name: str) -> None:
        await let_go.wait()

    called.world.store.trouble = wait
    beat = asyncio.create_task(called.heart_beat("alice"))
    while not called.world.store.calls["beat"]:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    beat.cancel()
    await asyncio.gather(beat, return_exceptions=True)
    let_go.set()
    assert (await called.heart_beat("alice")).json()["renewed"] is True
    assert called.world.store.calls["beat"] == 1


async def test_one_users_storm_silences_nobody_else(near: Called):
    await asyncio.gather(near.create_db("alice"), near.create_db("bob"))
    near.world.clock.turn(60)
    await asyncio.gather(*(near.heart_beat(user) for user in ["alice"] * 40 + ["bob"]))
    for user in ("alice", "bob"):
        assert (await near.world.lease(Owner("default", user))).beat_at == near.world.clock.now()


async def test_a_beat_wakes_a_sleeping_database_and_posts_a_look(near: Called):
    await near.create_db("alice")
    lease = await near.world.lease(ALICE)
    now = near.world.clock.now()
    await near.world.store.kept.replace(lease.moved(State.HIBERNATED, now, now + 60, "slept"))
    assert_beat(await near.heart_beat("alice"), "alice", renewed=True, state="waking")
    assert near.world.looks.posted == [(ALICE, "database")]
    assert (await near.world.lease(ALICE)).due_at <= now
