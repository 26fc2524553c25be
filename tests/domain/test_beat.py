"""heart_beat, whatever state a lease is in and whoever is at it."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain import databases
from shared.domain.databases import UNKNOWN, Beat, beat
from shared.domain.errors import Conflict
from shared.domain.leases import Owner, State
from shared.domain.policy import DAY, HOUR, Policy
from tests.domain.rig import Rig, virtual
from tests.doubles.memory import Moment
from tests.samples import ALICE, T0, a_lease


def now() -> float:
    return asyncio.get_running_loop().time()


async def beating(rig: Rig, owner: Owner = ALICE) -> Beat:
    return await beat(rig.store, rig.looks, rig.clock, rig.control.policy, owner)


@virtual
async def test_a_beat_of_a_running_database_is_one_write_without_a_read():
    rig = Rig()
    await rig.put(a_lease(beat_at=T0 - 600))
    answer = await beating(rig)
    assert rig.calls == {"beat": 1}
    lease = rig.lease()
    assert answer == Beat(True, "running", lease.beat_at + rig.control.policy.grace)
    assert (lease.beat_at, lease.due_at) == (pytest.approx(T0), pytest.approx(T0 + rig.control.policy.silence))
    assert rig.kubernetes.requests == []


@pytest.mark.parametrize(
    ("state", "answer", "becomes", "posted"),
    [
        (State.PENDING, Beat(True, "pending"), State.PENDING, False),
        (State.WAKING, Beat(True, "waking"), State.WAKING, False),
        (State.HIBERNATED, Beat(True, "waking"), State.WAKING, True),
        (State.HIBERNATING, Beat(True, "waking"), State.WAKING, True),
        (State.FAILED, Beat(False, "failed", T0 - 60 + Policy().retention), State.FAILED, False),
        (State.DELETING, Beat(False, "deleting", T0 - 60), State.DELETING, False),
        (State.RELEASED, Beat(False, "released"), State.RELEASED, False),
    ],
)
@virtual
async def test_what_a_beat_does_in_each_other_state(state: State, answer: Beat, becomes: State, posted: bool):
    rig = Rig()
    before = await rig.put(a_lease(state, T0 - 60, due_at=T0 + 60))
    assert await beating(rig) == answer
    after = rig.lease()
    assert after.state is becomes
    assert rig.looks.posted == ([(ALICE, "database")] if posted else [])
    if posted:
        assert after.due_at <= rig.clock.now(), "or a lost look would leave it asleep"
        assert after.beat_at == pytest.approx(T0, abs=1)
        assert await rig.moves() == [(str(state), "waking")]
    else:
        assert after == before
    assert rig.kubernetes.requests == []


@pytest.mark.parametrize("state", [State.PENDING, State.WAKING])
@virtual
async def test_a_beat_for_a_start_that_nobody_is_at_posts_a_look(state: State):
    rig = Rig()
    await rig.put(a_lease(state, T0 - 60, due_at=T0 - 30))
    assert await beating(rig) == Beat(True, str(state))
    assert rig.looks.posted == [(ALICE, "database")]


@virtual
async def test_a_beat_for_nothing_says_so():
    rig = Rig()
    assert await beating(rig) == Beat(False, "none")
    assert rig.store.peek(ALICE, databases.ID) is None


@virtual
async def test_a_database_that_only_ever_beats_is_looked_at_all_the_same():
    rig = Rig()
    rig.clock.turn(24 * HOUR - 60)
    lease = await rig.put(a_lease(look_by=T0 + 24 * HOUR, beat_at=T0, due_at=T0 + 1800))
    answer, after = await beating(rig), rig.lease()
    assert answer == Beat(True, "running", after.beat_at + rig.control.policy.grace)
    assert after.beat_at > lease.beat_at
    assert after.due_at <= rig.clock.now()
    assert rig.looks.posted == [(ALICE, "database")]


@virtual
async def test_a_beat_that_reads_knows_of_a_hold_and_one_that_does_not_says_what_is_sure():
    rig = Rig()
    held = await rig.put(a_lease(beat_at=T0 - 600, held_until=T0 + 3 * DAY))
    sure = await beating(rig)
    assert sure == Beat(True, "running", rig.lease().beat_at + rig.control.policy.grace)
    assert rig.calls == {"beat": 1}, "to know of the hold would be a read"
    await rig.put(replace(held, look_by=T0 + 60, etag=rig.lease().etag))
    assert await beating(rig) == Beat(True, "running", T0 + 3 * DAY)


@virtual
async def test_a_beat_that_another_clock_outran_is_renewed_already():
    rig = Rig()
    ahead = await rig.put(a_lease(beat_at=T0 + 300))
    assert await beating(rig) == Beat(True, "running", T0 + 300 + rig.control.policy.grace)
    assert rig.lease() == ahead


@pytest.mark.parametrize(("conflicts", "answer"), [(0, True), (1, True), (2, True), (3, False)])
@virtual
async def test_a_beat_tries_three_times(conflicts: int, answer: bool):
    rig = Rig()
    await rig.put(a_lease(State.HIBERNATED))
    for _ in range(conflicts):
        rig.store.fail_next("replace", "conflict")
    assert await beating(rig) == (Beat(True, "waking") if answer else UNKNOWN)


@pytest.mark.parametrize("state", [State.RUNNING, State.HIBERNATED])
@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("name", ["beat", "get", "replace"])
@virtual
async def test_a_beat_is_renewed_only_if_the_store_said_so(state: State, how: Moment, name: str):
    rig = Rig()
    lease = await rig.put(a_lease(state, beat_at=T0 - 600))
    rig.store.fail_next(name, how)
    asked = state is State.HIBERNATED or name == "beat"
    answer = await beating(rig)
    assert answer == UNKNOWN if asked else answer.renewed
    assert how == "after" or not asked or rig.lease() == lease


@virtual
async def test_a_store_that_hangs_freezes_nobody_longer_than_two_seconds():
    rig = Rig()

    async def hang(name: str, moment: Moment) -> None:
        await asyncio.Event().wait()

    rig.store.gate = hang
    assert await beating(rig) == UNKNOWN
    assert now() == pytest.approx(2.0)


@virtual
async def test_a_beat_between_claim_and_intent_wins():
    rig = Rig()
    lease = await rig.put(a_lease(beat_at=T0 - 20 * HOUR, due_at=T0 - 1))
    claimed = await rig.store.replace(lease.claimed(T0 + 30))
    assert (await beating(rig)).renewed
    with pytest.raises(Conflict):
        await rig.store.replace(replace(claimed, state=State.HIBERNATING))
