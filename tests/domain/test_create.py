"""create_db, whatever state a lease is in and whoever is at it."""

import asyncio
import re
from contextlib import suppress

import pytest

from shared.domain import credentials, databases
from shared.domain.errors import NotReady, StoreUnavailable, TooMany
from shared.domain.hearing import Hearing
from shared.domain.leases import Owner, State
from shared.domain.look import look, look_now
from shared.domain.policy import HOUR, MINUTE, Policy
from shared.domain.reaper import reap
from tests.domain.rig import Rig, virtual
from tests.domain.steering import end
from tests.doubles.kubernetes import Ticking
from tests.samples import ALICE, T0, a_lease

BOB = Owner("default", "bob")
SOURCE = re.compile(r"mysql://notebook:[A-Za-z0-9]{32}@tcp\([0-9.]+:3306\)/\?maxAllowedPacket=0")


def now() -> float:
    return asyncio.get_running_loop().time()


async def hibernated(rig: Rig) -> str:
    """A database asleep, with something in it; its data source."""
    source = await rig.create()
    lease = rig.lease()
    rig.kubernetes.controllers.server(lease.generation).execute("precious")
    lease = await rig.move(State.HIBERNATED)
    await rig.cluster.stop(lease.generation, lease.step)
    assert rig.standing("Pod") == []
    return source


@virtual
async def test_a_first_create_makes_a_life_and_answers_when_it_runs():
    rig = Rig()
    source = await rig.create()
    assert SOURCE.fullmatch(source)
    lease = rig.lease()
    assert source == databases.data_source(rig.control, lease)
    assert (lease.state, lease.ready_at is not None, bool(lease.volume)) == (State.RUNNING, True, True)
    assert await rig.moves() == [("", "pending"), ("pending", "running")]
    assert rig.standing() == [f"pg-{lease.generation}"]


@virtual
async def test_a_running_database_costs_one_read():
    rig = Rig()
    source = await rig.create()
    rig.calls.clear()
    asked = len(rig.kubernetes.requests)
    assert await rig.create() == source
    assert rig.calls == {"get": 1}
    assert len(rig.kubernetes.requests) == asked


@virtual
async def test_all_who_come_while_it_starts_wait_for_the_same_life():
    rig = Rig()
    rig.kubernetes.controllers.asleep = True
    waiting = [asyncio.create_task(rig.create()) for _ in range(10)]
    await asyncio.sleep(5)
    assert not any(task.done() for task in waiting)
    rig.kubernetes.controllers.asleep = False
    await rig.kubernetes.settle()
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert await rig.moves() == [("", "pending"), ("pending", "running")]
    assert rig.kubernetes.most_at_once == {ALICE.key: 1}


@virtual
async def test_two_owners_have_two():
    rig = Rig()
    assert len(set(await asyncio.gather(rig.create(ALICE), rig.create(BOB)))) == 2
    assert len(rig.standing()) == 2


@pytest.mark.parametrize("state", [State.HIBERNATED, State.HIBERNATING])
@virtual
async def test_a_database_asleep_or_falling_asleep_is_woken_with_its_data_and_address(state: State):
    rig = Rig()
    source = await hibernated(rig)
    await rig.move(state)
    before = rig.lease()
    assert await rig.create() == source
    after = rig.lease()
    assert (after.generation, after.volume, after.address) == (before.generation, before.volume, before.address)
    assert rig.kubernetes.volumes[after.volume] == ["precious"]
    assert (await rig.moves())[-2:] == [(str(state), "waking"), ("waking", "running")]


@virtual
async def test_a_database_whose_stop_never_arrived_is_told_to_stay_by_who_claims_it_next():
    rig = Rig()
    source = await rig.create()
    lease = await rig.move(State.WAKING)
    with pytest.raises(NotReady):  # it serves, but whoever claimed it may yet stop it
        await rig.create()
    assert await rig.create() == source
    (workload,) = rig.kubernetes.find("StatefulSet")
    assert int(workload["metadata"]["annotations"]["playground.dev/step"]) > lease.step
    assert rig.lease().state is State.RUNNING


@virtual
async def test_a_life_that_failed_is_taken_away_and_another_begun():
    rig = Rig()
    await rig.create()
    failed = await rig.move(State.FAILED, ready_at=None)
    source = await rig.create()
    lease = rig.lease()
    assert SOURCE.fullmatch(source)
    assert lease.generation != failed.generation and lease.step > failed.step
    assert rig.standing() == rig.standing("PersistentVolumeClaim") == [f"pg-{lease.generation}"]
    assert [after for _, after in await rig.moves()][2:] == ["deleting", "released", "pending", "running"]
    assert credentials.unseal(rig.control.sealer, lease).password not in failed.credentials


@virtual
async def test_one_who_comes_while_a_life_is_taken_away_waits_for_the_next():
    rig = Rig()
    await rig.create()
    old = await rig.move(State.DELETING, due_at=rig.clock.now() + 5)
    await rig.create()
    assert now() >= 5, "somebody was at it"
    assert rig.lease().generation != old.generation
    assert len(rig.standing()) == 1


@virtual
async def test_a_tombstones_slot_is_used_again_with_a_new_life():
    rig = Rig()
    released = await rig.put(a_lease(State.RELEASED, step=9, gone_at=T0 + 1000))
    await rig.create()
    lease = rig.lease()
    assert lease.generation != released.generation
    assert (lease.gone_at, lease.step > 9) == (None, True)


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (lambda c: setattr(c, "refuse_pods", "exceeded quota"), "the cluster does not take the pod: .*exceeded quota"),
        (lambda c: setattr(c, "waiting", ("ErrImagePull", "not found")), "the image cannot be pulled: not found"),
        (lambda c: setattr(c, "waiting", ("CrashLoopBackOff", "")), "the database server keeps stopping"),
        (lambda c: setattr(c, "full", "0/1 nodes are available"), "no node has room for it: 0/1 nodes"),
    ],
)
@virtual
async def test_why_it_cannot_be_is_said_long_before_the_answer_is_due(trouble, why: str):
    rig = Rig()
    trouble(rig.kubernetes.controllers)
    rig.kubernetes.clock = Ticking()  # its timestamps are whole seconds, and it complains once
    with pytest.raises(NotReady, match=why) as first:
        await rig.create()
    with pytest.raises(NotReady, match=why):
        await rig.create()
    assert now() < rig.control.policy.answer
    assert first.value.retry_after
    assert rig.lease().state is State.PENDING


@virtual
async def test_an_answer_that_is_due_says_so_and_leaves_the_lease_to_the_next_call():
    rig = Rig()
    rig.kubernetes.controllers.asleep = True
    with pytest.raises(NotReady, match="ask again") as answer:
        await rig.create()
    assert now() == pytest.approx(18.0)
    assert answer.value.retry_after == 5
    lease = rig.lease()
    assert (lease.state, lease.due_at) == (State.PENDING, pytest.approx(T0 + 30, abs=1))
    rig.kubernetes.controllers.asleep = False
    await rig.kubernetes.settle()
    assert SOURCE.fullmatch(await rig.create())
    assert rig.lease().generation == lease.generation


@virtual
async def test_a_cluster_that_never_answers_holds_nobody_longer():
    rig = Rig()

    async def hang(request: object) -> None:
        await asyncio.Event().wait()

    rig.kubernetes.gate = hang
    for number in (1, 2, 3):
        with pytest.raises(NotReady):
            await rig.create()
        assert now() == pytest.approx(18.0 * number)


@virtual
async def test_what_goes_on_in_the_cluster_is_over_before_its_claim():
    policy = Policy()
    assert policy.answer <= policy.act < policy.claim
    rig = Rig()
    rig.kubernetes.controllers.asleep = True
    lease = rig.store._store(a_lease(State.PENDING, T0 - 60, due_at=T0 - 1, credentials=sealed(rig), volume=""))
    looked = await look(rig.control, lease, "reaper", wait=True)
    assert now() == pytest.approx(policy.act, abs=1)
    assert (looked.failure, looked.lease.state) == ("", State.PENDING), "to be starting still is no failure"


def sealed(rig: Rig) -> str:
    lease = a_lease()
    return credentials.seal(rig.control.sealer, lease.owner, lease.generation, credentials.new_credentials())


@virtual
async def test_a_store_that_is_down_is_said():
    rig = Rig()
    rig.store.fail_next("get", "before")
    with pytest.raises(StoreUnavailable):
        await rig.create()


@pytest.mark.parametrize("name", ["create", "replace"])
@virtual
async def test_a_write_whose_answer_was_lost_is_no_second_life(name: str):
    rig = Rig()
    rig.store.fail_next(name, "after")
    with pytest.raises(StoreUnavailable):
        await rig.create()
    lease = rig.lease()
    rig.clock.turn(31)
    await rig.create()
    assert rig.lease().generation == lease.generation
    assert len(rig.standing()) == 1


@pytest.mark.parametrize("times", [1, 5, 40])
@virtual
async def test_conflicts_are_nobodys_business_but_ours(times: int):
    rig = Rig()
    for _ in range(times):
        rig.store.fail_next("replace", "conflict")
    with suppress(NotReady):
        await rig.create()
    await rig.create()
    assert (await rig.moves()).count(("", "pending")) == 1
    assert len(rig.standing()) == 1


@virtual
async def test_conflicts_without_end_are_given_up_when_the_answer_is_due():
    rig = Rig()
    await hibernated(rig)
    for _ in range(10_000):
        rig.store.fail_next("replace", "conflict")
    with pytest.raises(NotReady):
        await rig.create()
    assert now() < 20
    assert rig.calls["replace"] < 500, "it pauses between its tries"


@pytest.mark.slow
@pytest.mark.parametrize("asleep", [False, True], ids=["first life", "asleep"])
@virtual
async def test_whoever_makes_it_may_die_at_any_moment_and_the_next_call_goes_on(asleep: bool):
    """A process ends at its n-th await, for every n: whoever asks again gets the same life."""
    died = 0
    while True:
        died += 1
        rig = Rig()
        source = await hibernated(rig) if asleep else ""
        rig.awaits, rig.dies_at = 0, died
        first = asyncio.create_task(rig.create())
        await asyncio.wait({first, asyncio.create_task(rig.died.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            assert SOURCE.fullmatch(first.result())
            break
        stored = rig.store.peek(ALICE, databases.ID)
        sources = [await again(rig) for _ in range(2)]
        assert len(set(sources)) == 1, died
        assert not source or sources[0] == source, died
        lease = rig.lease()
        assert stored is None or lease.generation == stored.generation, died
        assert rig.standing() == rig.standing("PersistentVolumeClaim") == [f"pg-{lease.generation}"], died
        assert [move for move in await rig.moves() if move == ("", "pending")] == [("", "pending")], died
        assert rig.kubernetes.most_at_once == {ALICE.key: 1}, died
        if asleep:
            assert rig.kubernetes.volumes[lease.volume] == ["precious"], died
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert died > 30


async def again(rig: Rig) -> str:
    """As a user does who is told to: at most four times, a minute in all."""
    for _ in range(4):
        try:
            return await rig.create()
        except NotReady as error:
            await asyncio.sleep(error.retry_after or 0)
    raise AssertionError("it never comes")


@virtual
async def test_a_tenant_has_no_more_databases_than_it_may_and_ending_one_makes_room():
    rig = Rig(Policy(tenant_databases=2))
    for name in ("alice", "bob"):
        await rig.create(Owner("default", name))
    with pytest.raises(TooMany, match="2 databases"):
        await rig.create(Owner("default", "carol"))
    assert rig.store.peek(Owner("default", "carol"), "database") is None
    assert await rig.create(ALICE), "what there is is given"
    assert await rig.create(Owner("other", "carol")), "another tenant has its own"
    await end(rig, purge=True)
    rig.clock.turn(31)
    while rig.lease().state is not State.RELEASED:
        rig.clock.turn(6)
        await look_now(rig.control, ALICE, "database")
    assert await rig.create(Owner("default", "carol"))
    with pytest.raises(TooMany):
        await rig.create(ALICE)


@virtual
async def test_who_was_just_given_a_database_has_time_until_its_first_beat():
    rig = Rig()
    await rig.create()
    for wait in (31 * MINUTE, 31 * MINUTE, 10.5 * HOUR - 2 * MINUTE):
        rig.clock.turn(wait)
        if wait < HOUR:
            await reap(rig.control, Hearing(rig.clock.now()))
    assert await rig.create()
    rig.clock.turn(32 * MINUTE)
    await reap(rig.control, Hearing(rig.clock.now()))
    assert rig.lease().state is State.RUNNING
