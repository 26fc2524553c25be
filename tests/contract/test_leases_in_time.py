"""What every store promises of beats, of what is due, of tombstones and of pages."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Conflict
from shared.domain.leases import Lease, Owner, Sample, State
from tests.contract.conftest import Store, StoreWorld
from tests.contract.leases import BOB, SERIAL, create, event_of, numbered, odd
from tests.samples import ALICE, T0, a_lease

# Beats


async def test_a_beat_sets_two_instants_and_nothing_else(store: Store) -> None:
    created = await create(store, a_lease(sample=Sample(T0, 1, 2, 3, "here")))
    assert await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    beaten = await store.get(ALICE, "database")
    assert beaten is not None and beaten.etag != created.etag
    assert beaten == replace(created, beat_at=T0 + 1, due_at=T0 + 61, etag=beaten.etag)
    assert await store.events(ALICE) == [event_of(created)]


@pytest.mark.parametrize(
    ("now", "due", "renewed"),
    [
        (101.0, 201.0, True),
        (100.0, 201.0, False),  # not later than the last beat
        (99.0, 201.0, False),
        (100.000001, 201.0, True),
        (101.0, 200.0, False),  # would not put the look off
        (101.0, 199.0, False),
        (101.0, 200.000001, True),
        (101.0, 300.0, True),  # just by when somebody must look
        (101.0, 300.000001, False),
        (500.0, 201.0, True),  # long after it was due
    ],
)
async def test_a_beat_counts_only_within_its_bounds(store: Store, now: float, due: float, renewed: bool) -> None:
    created = await create(store, a_lease(beat_at=100.0, due_at=200.0, look_by=300.0))
    assert await store.beat(ALICE, "database", now, due) is renewed
    stored = await store.get(ALICE, "database")
    assert stored is not None
    assert (stored.beat_at, stored.due_at) == ((now, due) if renewed else (100.0, 200.0))
    assert (stored.etag != created.etag) is renewed


@pytest.mark.parametrize("state", [state for state in State if state is not State.RUNNING])
async def test_only_what_runs_beats(store: Store, state: State) -> None:
    created = await create(store, a_lease(state))
    assert not await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    assert await store.get(ALICE, "database") == created


async def test_a_beat_for_nothing_makes_nothing(store: Store) -> None:
    await create(store, a_lease(owner=BOB))
    assert not await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    assert not await store.beat(BOB, "other", T0 + 1, T0 + 61)
    assert await store.get(ALICE, "database") is None


@odd
@given(now=st.floats(0, 1e300), due=st.floats(0, 1e300))
async def test_a_beat_takes_any_number_and_nothing_else(store: Store, now: float, due: float) -> None:
    lease = a_lease(owner=Owner(f"t{next(SERIAL)}", "x"), beat_at=-1.0, due_at=-1.0, look_by=1e300)
    await create(store, lease)
    assert await store.beat(lease.owner, "database", now, due)
    stored = await store.get(lease.owner, "database")
    assert stored is not None and (stored.beat_at, stored.due_at) == (now, due)


async def test_a_beat_wins_over_a_look_in_flight(store: Store) -> None:
    claimed = await create(store, a_lease())
    assert await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    intent = claimed.moved(State.HIBERNATING, T0 + 2, T0 + 3, "idle")
    with pytest.raises(Conflict):
        await store.replace(intent, event_of(intent))


# What is due


async def test_the_longest_overdue_comes_first_up_to_the_limit(store: Store) -> None:
    order = [5, 3, 8, 1, 12, 2, 11, 7, 4, 10, 9, 6, 0]
    for n in order:
        await create(store, numbered(n, due_at=T0 + n))
    due = await store.due(T0 + 20, 100)
    assert [lease.due_at - T0 for lease in due] == sorted(order)
    assert [await store.get(lease.owner, lease.id) for lease in due] == due
    assert [lease.due_at - T0 for lease in await store.due(T0 + 20, 9)] == sorted(order)[:9]
    assert [lease.due_at - T0 for lease in await store.due(T0 + 20, 1)] == [0]


async def test_due_is_from_the_very_instant_on(store: Store) -> None:
    lease = await create(store, a_lease(due_at=T0 + 10))
    assert await store.due(T0 + 9.999999, 10) == []
    assert await store.due(T0 + 10, 10) == [lease]


async def test_a_beat_puts_off_what_is_due(store: Store) -> None:
    await create(store, a_lease())
    assert await store.beat(ALICE, "database", T0 + 100, T0 + 200)
    assert await store.due(T0 + 199, 10) == []
    assert len(await store.due(T0 + 200, 10)) == 1


@pytest.mark.parametrize("state", State)
async def test_whatever_is_not_released_can_be_due(store: Store, state: State) -> None:
    await create(store, a_lease(state, due_at=T0))
    assert len(await store.due(T0, 10)) == (0 if state is State.RELEASED else 1)


# Tombstones


async def tombstone(world: StoreWorld, seconds: float = 100) -> Lease:
    created = await create(world.store, a_lease())
    gone_at = world.clock.at + seconds
    moved = created.moved(State.RELEASED, T0, gone_at, "gone", gone_at=gone_at)
    return await world.store.replace(moved, event_of(moved))


async def test_a_tombstone_stands_until_its_time(world: StoreWorld) -> None:
    stone = await tombstone(world)
    world.clock.at += 99
    assert await world.store.get(ALICE, "database") == stone
    with pytest.raises(Conflict):
        await create(world.store, a_lease(generation="b" * 20))


async def test_a_tombstone_is_gone_at_its_time_and_its_slot_is_free(world: StoreWorld) -> None:
    await tombstone(world)
    world.clock.at += 100
    assert await world.store.get(ALICE, "database") is None
    assert not await world.store.beat(ALICE, "database", T0 + 1, T0 + 61)
    new = await create(world.store, a_lease(generation="b" * 20))
    assert await world.store.get(ALICE, "database") == new
    assert len(await world.store.events(ALICE)) == 3  # they tell of the former life, too


async def test_a_tombstone_that_is_gone_cannot_be_replaced(world: StoreWorld) -> None:
    stone = await tombstone(world)
    world.clock.at += 100
    with pytest.raises(Conflict):
        await world.store.replace(replace(stone, state=State.PENDING, gone_at=None))
    assert await world.store.get(ALICE, "database") is None


async def test_a_slot_used_again_outlives_its_tombstone(world: StoreWorld) -> None:
    stone = await tombstone(world)
    new = await world.store.replace(replace(stone, state=State.PENDING, generation="b" * 20, step=9, gone_at=None))
    world.clock.at += 1e9
    assert await world.store.get(ALICE, "database") == new


async def test_a_tombstone_lasts_longer_if_it_is_told_to(world: StoreWorld) -> None:
    stone = await tombstone(world)
    world.clock.at += 50
    longer = await world.store.replace(replace(stone, gone_at=stone.gone_at and stone.gone_at + 100))
    world.clock.at += 100
    assert await world.store.get(ALICE, "database") == longer
    world.clock.at += 50
    assert await world.store.get(ALICE, "database") is None


# Pages


async def pages(store: Any, limit: int) -> list[list[Lease]]:
    found, after = [], ""
    for _ in range(100):
        leases, after = await store.page(after, limit)
        assert len(leases) <= limit
        found.append(list(leases))
        if not after:
            return found
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("limit", [1, 4, 5, 20, 1000])
async def test_the_pages_hold_everything_exactly_once(store: Store, limit: int) -> None:
    stored = [await create(store, numbered(n)) for n in range(20)]
    stored.append(await create(store, numbered(3, id="another", step=4)))
    found = [lease for page in await pages(store, limit) for lease in page]
    assert sorted(found, key=lambda lease: (lease.owner.user, lease.id)) == sorted(
        stored, key=lambda lease: (lease.owner.user, lease.id)
    )


async def test_the_pages_leave_out_what_is_released(world: StoreWorld) -> None:
    await tombstone(world)
    kept = await create(world.store, a_lease(owner=BOB))
    assert await pages(world.store, 10) == [[kept]]


async def test_what_stays_is_in_the_pages_once_whatever_happens_meanwhile(store: Store) -> None:
    for n in range(12):
        await create(store, numbered(n))
    seen, after = [], ""
    for rounds in range(1, 100):
        leases, after = await store.page(after, 3)
        seen += [lease.owner for lease in leases]
        for n in range(12):  # everything moves, in the order of everything that is ordered
            assert await store.beat(numbered(n).owner, "database", T0 + rounds, T0 + 1000 * rounds - n)
        await create(store, numbered(100 + rounds))
        if not after:
            break
    assert [seen.count(numbered(n).owner) for n in range(12)] == [1] * 12
