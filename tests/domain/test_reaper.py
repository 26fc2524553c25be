"""A pass of the reaper: what is due is looked at, whatever one of them does."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from shared.domain import reaper
from shared.domain.credentials import new_credentials, seal
from shared.domain.errors import ClusterRefused, ClusterUnavailable, Conflict, Fenced, StoreUnavailable
from shared.domain.hearing import DEAF, Hearing
from shared.domain.leases import Lease, Owner, Sample, State
from shared.domain.lifecycle import Act
from shared.domain.policy import DAY, HOUR, Policy
from shared.domain.reaper import BATCH, TOGETHER, Counts, reap, rehearse
from tests.domain.rig import Rig, virtual
from tests.samples import ALICE, T0, a_lease

POLICY = Policy(delete_without_archive=True)


def owner(number: int) -> Owner:
    return Owner("default", f"user-{number:04}")


def asleep(rig: Rig, number: int, late: float = 1.0) -> Lease:
    """A due lease about which nothing is to be done."""
    return rig.store._store(a_lease(State.HIBERNATED, T0 - DAY, owner=owner(number), due_at=T0 - late))


def hears(rig: Rig) -> Hearing:
    return Hearing(rig.clock.now())


def failing(rig: Rig, failures: dict[Owner, Exception]) -> None:
    """Have the claim of these owners' leases fail."""
    write = rig.store.replace

    async def fail(lease: Lease, *rest: object) -> Lease:
        if lease.owner in failures:
            raise failures[lease.owner]
        return await write(lease, *rest)  # type: ignore[arg-type]

    rig.store.replace = fail  # type: ignore[method-assign]


@virtual
async def test_where_nothing_is_due_a_pass_is_one_query():
    rig = Rig()
    for number in range(5):
        rig.store._store(a_lease(owner=owner(number), due_at=T0 + 60))
    assert await reap(rig.control, DEAF) == Counts()
    assert rig.calls == {"due": 1}
    assert rig.kubernetes.requests == []


@virtual
async def test_what_is_due_is_looked_at_once_and_its_lateness_told():
    rig = Rig()
    for number, late in enumerate((5.0, 700.0, 60.0)):
        asleep(rig, number, late)
    counts = await reap(rig.control, hears(rig))
    assert (counts.due, counts.kept, counts.late) == (3, 3, pytest.approx(700.0))
    assert all(rig.lease(owner(number)).due_at > T0 for number in range(3))
    assert await reap(rig.control, hears(rig)) == Counts()


@virtual
async def test_more_than_a_batch_is_read_batch_by_batch():
    rig = Rig()
    for number in range(2 * BATCH + 7):
        asleep(rig, number)
    counts = await reap(rig.control, hears(rig))
    assert counts.due == counts.kept == 2 * BATCH + 7
    assert rig.calls["due"] == 4, "until nothing is due any more"


@virtual
async def test_no_batch_is_begun_when_its_time_is_over():
    rig = Rig()
    for number in range(3 * BATCH):
        asleep(rig, number, late=float(number + 1))
    due = rig.store.due

    async def slow(now: float, limit: int) -> object:
        rig.clock.turn(26)
        return await due(now, limit)

    rig.store.due = slow  # type: ignore[method-assign, assignment]
    counts = await reap(rig.control, hears(rig), seconds=50)
    assert counts.due == 2 * BATCH
    longest_first = [number for number in range(3 * BATCH) if rig.lease(owner(number)).due_at > T0]
    assert longest_first == list(range(BATCH, 3 * BATCH))


@virtual
async def test_a_lease_that_stays_due_is_not_looked_at_again_in_the_same_pass():
    rig = Rig()
    for number in range(BATCH):
        asleep(rig, number)
    failing(rig, {owner(number): StoreUnavailable("down") for number in range(BATCH)})
    counts = await reap(rig.control, hears(rig))
    assert (counts.due, counts.failed) == (BATCH, BATCH)
    assert rig.calls["due"] == 2


@pytest.mark.parametrize(
    ("error", "count"),
    [
        (StoreUnavailable("down"), "failed"),
        (ClusterUnavailable("down"), "failed"),
        (Conflict("somebody was first"), "lost"),
        (Fenced("somebody was first"), "lost"),
        (ZeroDivisionError("a bug"), "failed"),
        (TimeoutError(), "failed"),
    ],
)
@virtual
async def test_one_that_fails_stops_no_pass(error: Exception, count: str):
    rig = Rig()
    for number in range(20):
        asleep(rig, number, late=20.0 - number)
    failing(rig, {owner(0): error, owner(7): error})
    counts = await reap(rig.control, hears(rig))
    assert (counts.due, counts.kept, getattr(counts, count)) == (20, 18, 2)
    assert [number for number in range(20) if rig.lease(owner(number)).due_at < T0] == [0, 7]


@virtual
async def test_a_bug_is_logged_with_its_trace_and_a_lost_race_not_at_all(caplog: pytest.LogCaptureFixture):
    rig = Rig()
    for number in range(3):
        asleep(rig, number)
    failing(rig, {owner(0): ZeroDivisionError(), owner(1): StoreUnavailable("down"), owner(2): Conflict("first")})
    await reap(rig.control, hears(rig))
    logged = {record.levelno: record for record in caplog.records}
    assert sorted(logged) == [logging.WARNING, logging.ERROR]
    assert logged[logging.ERROR].exc_info and "user-0000" in logged[logging.ERROR].getMessage()
    assert "user-0001 failed: down" in logged[logging.WARNING].getMessage()


@virtual
async def test_a_store_that_cannot_say_what_is_due_ends_the_pass():
    rig = Rig()
    rig.store.fail_next("due", "before")
    with pytest.raises(StoreUnavailable):
        await reap(rig.control, DEAF)


@virtual
async def test_only_so_many_are_looked_at_together():
    rig = Rig()
    for number in range(3 * TOGETHER):
        asleep(rig, number)
    write, at_once, most = rig.store.replace, 0, 0

    async def counted(lease: Lease, *rest: object) -> Lease:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return await write(lease, *rest)  # type: ignore[arg-type]

    rig.store.replace = counted  # type: ignore[method-assign]
    await reap(rig.control, hears(rig))
    assert most == TOGETHER


# --- what a pass comes to, by what it found


async def idle(rig: Rig) -> None:
    """Nobody beats, nobody connects, for 12 h since a look."""
    await rig.create()
    lease = rig.lease()
    status = await rig.cluster.status(lease.generation)
    sample = Sample(lease.since, 0, 0, 0, status.server)
    await rig.put(replace(lease, sample=sample, due_at=rig.clock.now() + HOUR))
    rig.clock.turn(12 * HOUR)


async def starting(rig: Rig) -> None:
    await rig.create()
    await rig.move(State.WAKING, due_at=rig.clock.now())


async def falling_asleep(rig: Rig) -> None:
    await rig.create()
    await rig.move(State.HIBERNATING, due_at=rig.clock.now())


async def long_asleep(rig: Rig) -> None:
    await rig.create()
    lease = await rig.move(State.HIBERNATED, due_at=rig.clock.now() + 14 * DAY)
    await rig.cluster.stop(lease.generation, lease.step)
    rig.clock.turn(15 * DAY)


async def going(rig: Rig) -> None:
    await rig.create()
    await rig.move(State.DELETING, due_at=rig.clock.now())


async def never_ready(rig: Rig) -> None:
    lease = a_lease(State.PENDING, T0 - 2 * DAY, due_at=T0 - 1, attempts=5, volume="")
    sealed = seal(rig.control.sealer, lease.owner, lease.generation, new_credentials())
    await rig.put(replace(lease, credentials=sealed))


@pytest.mark.parametrize(
    ("arrange", "count", "becomes"),
    [
        (idle, "hibernated", State.HIBERNATED),
        (starting, "started", State.RUNNING),
        (falling_asleep, "kept", State.HIBERNATED),
        (long_asleep, "released", State.RELEASED),
        (going, "released", State.RELEASED),
        (never_ready, "kept", State.FAILED),
    ],
)
@virtual
async def test_what_became_of_a_lease_is_counted(arrange: Callable[[Rig], Awaitable[None]], count: str, becomes: State):
    rig = Rig(POLICY)
    await arrange(rig)
    counts = await reap(rig.control, hears(rig))
    assert rig.lease().state is becomes
    told = {name: number for name, number in counts.as_dict().items() if number and name not in ("due", "late")}
    assert told == {count: 1}


@virtual
async def test_what_the_cluster_refuses_counts_as_failed_and_is_tried_again():
    rig = Rig(POLICY)
    await starting(rig)

    async def refuse(request: object) -> None:
        raise ClusterRefused("no")

    rig.kubernetes.gate = refuse
    counts = await reap(rig.control, hears(rig))
    assert (counts.failed, rig.lease().state, rig.lease().reason) == (1, State.WAKING, "no")
    assert rig.clock.now() < rig.lease().due_at <= rig.clock.now() + 3


@virtual
async def test_an_idle_database_outlives_a_pass_that_could_not_hear():
    rig = Rig(POLICY)
    await idle(rig)
    assert (await reap(rig.control, DEAF)).kept == 1
    assert rig.lease().state is State.RUNNING


@virtual
async def test_two_passes_at_once_do_it_once():
    rig = Rig(POLICY)
    await idle(rig)
    first, second = await asyncio.gather(reap(rig.control, hears(rig)), reap(rig.control, hears(rig)))
    assert sorted((first.hibernated + first.lost, second.hibernated + second.lost)) == [1, 1]
    assert first.hibernated + second.hibernated == 1
    assert (await rig.moves())[2:] == [("running", "hibernating"), ("hibernating", "hibernated")]


# --- a rehearsal


@virtual
async def test_a_rehearsal_says_what_a_pass_would_do_and_does_nothing():
    rig = Rig(POLICY)
    await idle(rig)
    asleep(rig, 1)
    before, objects = (rig.lease(), rig.lease(owner(1))), list(rig.kubernetes._history)
    rig.calls.clear()
    said = {lease.owner: (step.act, step.result) async for lease, step in rehearse(rig.control, hears(rig))}
    assert said == {ALICE: (Act.STOP, State.HIBERNATING), owner(1): (Act.NOTHING, State.HIBERNATED)}
    assert (rig.lease(), rig.lease(owner(1))) == before
    assert rig.calls == Counter({"due": 1})
    assert rig.kubernetes._history == objects
    assert (await reap(rig.control, hears(rig))).hibernated == 1


@virtual
async def test_a_rehearsal_while_the_cluster_is_down_foresees_no_harm():
    rig = Rig(POLICY)
    await idle(rig)

    async def down(request: object) -> None:
        raise ClusterUnavailable("down")

    rig.kubernetes.gate = down
    ((_, step),) = [each async for each in rehearse(rig.control, hears(rig))]
    assert (step.act, step.result) == (Act.NOTHING, State.RUNNING)


def test_its_numbers_fit_each_other():
    assert TOGETHER <= BATCH
    assert reaper.BATCH * POLICY.act / TOGETHER < 5 * 60, "a batch of the slowest looks ends within minutes"
