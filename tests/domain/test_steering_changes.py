"""Holding and ending a lease, whoever else is at it."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain import steering
from shared.domain.databases import ID
from shared.domain.errors import (
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotFound,
    NotReady,
    PreconditionFailed,
    StoreUnavailable,
)
from shared.domain.leases import State
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR, MINUTE, Policy
from shared.domain.steering import NO_ARCHIVE, WORTH_KEEPING
from tests.domain.rig import Rig, virtual
from tests.domain.steering import end, hold, mine, pass_by
from tests.samples import ALICE, T0, a_lease

HOLDABLE = [State.PENDING, State.RUNNING, State.HIBERNATING, State.HIBERNATED, State.WAKING]


# Holding


@pytest.mark.parametrize("state", HOLDABLE)
@virtual
async def test_a_hold_is_written_with_its_event_and_moves_the_revision_and_nothing_else(state: State):
    rig = Rig()
    before = await rig.put(a_lease(state))
    written = await hold(rig, T0 + 3 * DAY, "until Friday")
    changed = {"held_until": T0 + 3 * DAY, "hold_note": "until Friday", "revision": before.revision + 1}
    assert written == rig.lease() == replace(before, **changed, etag=written.etag)
    (event,) = await rig.store.events(ALICE)
    assert (event.before, event.after, event.actor, event.step) == (state, state, "user alice", before.step)
    assert event.reason == "held until 2027-01-18T08:00:00Z: until Friday"


@virtual
async def test_the_end_of_a_hold_is_due():
    rig = Rig()
    await rig.put(a_lease(State.HIBERNATED, due_at=T0 + 14 * DAY))
    assert (await hold(rig, T0 + DAY)).due_at == T0 + DAY


@virtual
async def test_a_held_database_outlives_its_grace_and_its_cap_and_is_hibernated_when_the_hold_is_over():
    rig = Rig()
    await rig.create()
    await hold(rig, rig.clock.now() + 3 * DAY)
    for _ in range(71):
        await pass_by(rig, HOUR)
        assert rig.lease().state is State.RUNNING
    assert rig.lease().reason.startswith("held until")
    await pass_by(rig, HOUR)
    await pass_by(rig, HOUR)
    assert rig.lease().state in (State.HIBERNATING, State.HIBERNATED)


@virtual
async def test_a_held_hibernated_database_keeps_its_storage_beyond_its_retention():
    rig = Rig(Policy(delete_without_archive=True, retention=DAY))
    await rig.create()
    await rig.move(State.HIBERNATED)
    await rig.cluster.stop(rig.lease().generation, rig.lease().step)
    await hold(rig, rig.clock.now() + 6 * DAY)
    for _ in range(5):
        await pass_by(rig, DAY)
        assert rig.lease().state is State.HIBERNATED
        assert rig.standing("PersistentVolumeClaim")
    await pass_by(rig, DAY + HOUR)
    await pass_by(rig, MINUTE)
    assert rig.standing("PersistentVolumeClaim") == []


@virtual
async def test_a_hold_that_is_taken_back_is_over_at_once():
    rig = Rig()
    await rig.create()
    held = await hold(rig, rig.clock.now() + 3 * DAY, "a run")
    await pass_by(rig, 30 * HOUR)
    await pass_by(rig, 12 * HOUR)
    free = await hold(rig, None)
    assert (free.held_until, free.hold_note, free.revision) == (None, "", held.revision + 1)
    assert free.due_at <= rig.clock.now()
    await pass_by(rig, MINUTE)
    assert rig.lease().state is State.HIBERNATING or rig.lease().state is State.HIBERNATED
    assert (await rig.store.events(ALICE))[3].reason == "no longer held"


@virtual
async def test_a_hold_on_what_is_being_started_disturbs_nobody():
    rig = Rig(auto=False)
    starting = asyncio.ensure_future(rig.create())
    while not rig.kubernetes.find("StatefulSet"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    claimed = rig.lease()
    held = await hold(rig, rig.clock.now() + DAY)
    assert (held.step, held.due_at) == (claimed.step, claimed.due_at)
    rig.kubernetes.auto = True
    await rig.kubernetes.settle()
    assert await starting
    assert rig.lease().held_until == held.held_until


@virtual
async def test_a_hold_outlives_a_try_that_failed():
    rig = Rig()
    await rig.put(a_lease(State.FAILED, held_until=T0 + DAY, hold_note="a run", volume=""))
    await rig.create()
    assert (rig.lease().state, rig.lease().held_until, rig.lease().hold_note) == (State.RUNNING, T0 + DAY, "a run")


@virtual
async def test_asking_twice_for_the_same_writes_once():
    rig = Rig()
    await rig.put(a_lease())
    for until, note in ((T0 + DAY, "a run"), (None, "")):
        assert await hold(rig, until, note) == await hold(rig, until, note)
    assert len(await rig.store.events(ALICE)) == 2
    assert (await hold(rig, None)).revision == 4


@pytest.mark.parametrize("state", [State.FAILED, State.DELETING, State.RELEASED])
@virtual
async def test_where_nothing_is_left_nothing_is_held(state: State):
    rig = Rig()
    before = await rig.put(a_lease(state))
    with pytest.raises(NotAllowed, match=f"it is {state}: there is nothing that could be kept"):
        await hold(rig, T0 + DAY)
    assert await hold(rig, None) == rig.lease() == before


@virtual
async def test_a_hold_has_an_end_that_is_ahead_and_not_too_far():
    rig = Rig()
    await rig.put(a_lease())
    for until in (T0 - 1, rig.clock.now()):
        with pytest.raises(InvalidRequest, match="until: it is over already"):
            await hold(rig, until)
    with pytest.raises(InvalidRequest, match="until: at most 7 d ahead, which is 2027-01-22T08:00:00Z"):
        await hold(rig, T0 + 7 * DAY + CLOCK_SKEW + 1)
    assert await rig.store.events(ALICE) == []
    held = await hold(rig, T0 + 7 * DAY + MINUTE)  # its clock is a little ahead of ours
    assert held.held_until == pytest.approx(T0 + 7 * DAY, abs=1)


@virtual
async def test_who_saw_another_revision_changes_nothing():
    rig = Rig()
    before = await rig.put(a_lease(revision=4))
    for act in (hold(rig, T0 + DAY, which=mine(3)), hold(rig, None, which=mine(3, 5)), end(rig, which=mine(5))):
        with pytest.raises(PreconditionFailed, match="its revision is 4 now"):
            await act
    assert rig.lease() == before
    assert (await hold(rig, T0 + DAY, which=mine(3, 4))).revision == 5
    assert (await end(rig, which=mine(5))).state is State.DELETING


@virtual
async def test_a_beat_between_reading_and_writing_costs_another_try():
    rig = Rig()
    await rig.put(a_lease())
    for _ in range(steering.ATTEMPTS - 1):
        rig.store.fail_next("replace", "conflict")
    assert (await hold(rig, T0 + DAY)).held_until == T0 + DAY
    for _ in range(steering.ATTEMPTS):
        rig.store.fail_next("replace", "conflict")
    with pytest.raises(Conflict):
        await hold(rig, T0 + 2 * DAY)


@virtual
async def test_a_hold_between_claim_and_intent_wins():
    rig = Rig()
    lease = await rig.put(a_lease(beat_at=T0 - 20 * HOUR, due_at=T0 - 1))
    claimed = await rig.store.replace(lease.claimed(T0 + 30))
    await hold(rig, T0 + DAY)
    with pytest.raises(Conflict):
        await rig.store.replace(replace(claimed, state=State.HIBERNATING))


@virtual
async def test_what_is_not_there_cannot_be_held_or_ended():
    rig = Rig()
    for act in (hold(rig, T0 + DAY), hold(rig, None), end(rig), end(rig, purge=False)):
        with pytest.raises(NotFound):
            await act


@virtual
async def test_a_store_that_does_not_answer_is_told():
    rig = Rig()
    await rig.put(a_lease())
    rig.store.fail_next("replace", "after")
    with pytest.raises(StoreUnavailable):
        await hold(rig, T0 + DAY)
    held = rig.lease()
    assert await hold(rig, T0 + DAY) == held, "it was done, and is not done twice"


# Ending


@pytest.mark.parametrize("state", [state for state in State if state not in (State.DELETING, State.RELEASED)])
@virtual
async def test_a_purge_leads_from_any_state_to_deleting(state: State):
    rig = Rig()
    before = await rig.put(a_lease(state, due_at=T0 - 1, held_until=T0 + DAY, hold_note="a run"))
    ended = await end(rig)
    assert (ended.state, ended.step, ended.revision) == (State.DELETING, before.step + 1, before.revision + 1)
    assert (ended.held_until, ended.hold_note) == (None, "")
    assert rig.looks.posted == [(ALICE, ID)]
    (event,) = await rig.store.events(ALICE)
    assert (event.before, event.after, event.actor) == (state, "deleting", "user alice")


@pytest.mark.parametrize("state", WORTH_KEEPING)
@virtual
async def test_without_purge_nothing_happens_and_its_owner_is_told_what_purge_would_do(state: State):
    rig = Rig()
    before = await rig.put(a_lease(state))
    with pytest.raises(NotAllowed) as refused:
        await end(rig, purge=False, which=mine(99))
    assert refused.value.detail == NO_ARCHIVE
    assert rig.lease() == before and rig.looks.posted == []


@pytest.mark.parametrize("purge", [True, False])
@pytest.mark.parametrize("state", [State.DELETING, State.RELEASED])
@virtual
async def test_what_is_ended_already_may_be_ended_again(state: State, purge: bool):
    rig = Rig()
    before = await rig.put(a_lease(state, due_at=T0 + DAY, gone_at=None))
    assert await end(rig, purge, mine(1)) == rig.lease() == before
    assert rig.looks.posted == []


@virtual
async def test_a_deletion_whose_look_was_lost_is_posted_once_more_when_asked_again():
    rig = Rig()
    await rig.create()
    await end(rig)
    await end(rig)
    assert rig.looks.posted == [(ALICE, ID)] * 2


@virtual
async def test_a_purged_database_goes_with_all_it_has_and_the_next_create_makes_another():
    rig = Rig()
    source = await rig.create()
    await end(rig)
    for _ in range(2):
        await pass_by(rig, MINUTE)
    assert rig.lease().state is State.RELEASED
    for kind in ("StatefulSet", "Pod", "Service", "Secret", "PersistentVolumeClaim", "NetworkPolicy"):
        assert rig.standing(kind) == []
    assert await rig.create() != source


@virtual
async def test_a_purge_waits_for_who_is_making_the_first_life_of_what_it_purges():
    """There may be nothing yet that could fence off a create that goes on later."""
    rig = Rig(auto=False)
    creating = asyncio.ensure_future(rig.create())
    while rig.store.peek(ALICE, ID) is None:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    claimed = rig.lease()
    ended = await end(rig)
    assert ended.state is State.DELETING
    assert ended.due_at == claimed.due_at
    assert rig.looks.posted == [], "or it would be looked at at once"
    rig.kubernetes.auto = True
    with pytest.raises(NotReady):
        await creating


@virtual
async def test_a_purge_waits_for_no_backoff():
    rig = Rig()
    await rig.put(a_lease(State.PENDING, due_at=T0 + HOUR))
    assert (await end(rig)).due_at == pytest.approx(T0 + rig.control.policy.claim, abs=1)
