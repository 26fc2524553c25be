"""What every store of leases promises: one suite for all of them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from shared.domain.errors import Conflict
from shared.domain.leases import Lease, Owner, Sample, State
from tests.contract.conftest import Store, StoreWorld
from tests.contract.leases import BOB, SERIAL, create, event_of, leases, odd
from tests.samples import ALICE, T0, a_lease

# What is kept


@odd
@given(lease=leases)
async def test_a_lease_comes_back_as_it_was_stored(store: Store, lease: Lease) -> None:
    lease = replace(lease, owner=replace(lease.owner, tenant=f"t{next(SERIAL)}"))
    created = await create(store, lease)
    assert created.etag
    assert created == replace(lease, etag=created.etag)
    assert await store.get(lease.owner, lease.id) == created
    assert await store.events(lease.owner) == [event_of(lease)]


async def test_what_was_never_stored_is_not_there(store: Store) -> None:
    assert await store.get(ALICE, "database") is None
    assert await store.events(ALICE) == []
    assert await store.due(T0 + 1e9, 10) == []
    assert await store.page("", 10) == ([], "")


async def test_a_slot_is_made_only_once(store: Store) -> None:
    first = await create(store, a_lease())
    with pytest.raises(Conflict):
        await create(store, a_lease(generation="b" * 20))
    assert await store.get(ALICE, "database") == first
    assert await store.events(ALICE) == [event_of(first)]


async def test_who_read_the_latest_may_replace_it(store: Store) -> None:
    created = await create(store, a_lease())
    moved = created.moved(State.HIBERNATING, T0 + 5, T0 + 10, "idle", sample=Sample(T0, 0, 7, 9, "here"))
    replaced = await store.replace(moved, event_of(moved))
    assert replaced.etag not in ("", created.etag)
    assert await store.get(ALICE, "database") == replaced == replace(moved, etag=replaced.etag)


async def test_who_read_something_older_may_not(store: Store) -> None:
    created = await create(store, a_lease())
    claimed = await store.replace(created.claimed(T0 + 30))
    late = replace(created, step=9, reason="late")
    with pytest.raises(Conflict):
        await store.replace(late, event_of(late))
    assert await store.get(ALICE, "database") == claimed
    assert await store.events(ALICE) == [event_of(created)]


@pytest.mark.parametrize("etag", ["", "0", "-1", "none", '"00000000"', "9" * 30, "²", "1 OR 1=1"])
async def test_an_etag_from_nowhere_fits_nothing(store: Store, etag: str) -> None:
    created = await create(store, a_lease())
    with pytest.raises(Conflict):
        await store.replace(replace(created, etag=etag))
    with pytest.raises(Conflict):
        await store.replace(a_lease(owner=BOB, etag=etag))


async def test_an_etag_never_comes_back_even_when_the_slot_does(world: StoreWorld) -> None:
    seen = set()
    for life in range(3):
        lease = await create(world.store, a_lease(generation=f"{life:020d}"))
        tombstone = await world.store.replace(replace(lease, state=State.RELEASED, gone_at=world.clock.at + 10))
        seen |= {lease.etag, tombstone.etag}
        world.clock.at += 10
    assert len(seen) == 6


@pytest.mark.parametrize("name", ["due_at", "beat_at", "look_by", "gone_at"])
async def test_an_instant_that_is_no_number_is_refused(store: Store, name: str) -> None:
    for value in (float("nan"), float("inf")):
        changes: Any = {name: value}
        with pytest.raises(ValueError):
            await create(store, a_lease(**changes))
    assert await store.get(ALICE, "database") is None


# Lease and event together


async def test_a_claim_writes_no_event(store: Store) -> None:
    created = await create(store, a_lease())
    await store.replace(created.claimed(T0 + 30))
    assert await store.events(ALICE) == [event_of(created)]


async def test_no_lease_is_made_without_its_event(store: Store) -> None:
    created = await create(store, a_lease())
    other = a_lease(id="other")
    with pytest.raises(Conflict):
        await store.create(other, event_of(created))
    assert await store.get(ALICE, "other") is None


async def test_no_lease_moves_without_its_event(store: Store) -> None:
    created = await create(store, a_lease())
    with pytest.raises(Conflict):
        await store.replace(replace(created, step=9), event_of(created))
    assert await store.get(ALICE, "database") == created
    assert await store.events(ALICE) == [event_of(created)]


async def test_events_are_an_owners_own_and_the_oldest_comes_first(store: Store) -> None:
    lease = await create(store, a_lease())
    await create(store, a_lease(owner=BOB))
    expected = [event_of(lease)]
    for step, at in ((10, T0 + 30), (9, T0 + 20), (11, T0 + 30)):
        lease = replace(lease, step=step, since=at)
        expected.append(event_of(lease))
        lease = await store.replace(lease, event_of(lease))
    assert await store.events(ALICE) == [expected[0], expected[2], expected[1], expected[3]]


async def test_a_session_may_be_named_like_an_event(store: Store) -> None:
    lease = await create(store, a_lease())
    twin = await create(store, a_lease(id=event_of(lease).id, generation="c" * 20))
    assert await store.get(ALICE, twin.id) == twin
    assert len(await store.events(ALICE)) == 2


# Owners


async def test_owners_that_look_alike_are_not_the_same(store: Store) -> None:
    alike = [
        Owner("default", user)
        for user in ("alice", "Alice", "ALICE", "alice ", "alice%20", "ali/ce", "ali%2Fce", "", "é", "e\u0301")
    ] + [Owner("defaul", "t/alice"), Owner("other", "alice")]
    stored = [await create(store, a_lease(owner=owner, generation=f"{n:020d}")) for n, owner in enumerate(alike)]
    assert [await store.get(owner, "database") for owner in alike] == stored
    for owner, lease in zip(alike, stored, strict=True):
        assert await store.events(owner) == [event_of(lease)]
    assert await store.beat(alike[1], "database", T0 + 1, T0 + 61)
    others = [lease for lease in stored if lease.owner != alike[1]]
    assert [await store.get(lease.owner, "database") for lease in others] == others


# Many at once


async def test_of_fifty_who_read_the_same_one_replaces_it(store: Store) -> None:
    created = await create(store, a_lease())
    tries = [replace(created, step=10 + n) for n in range(50)]
    outcomes = await asyncio.gather(*(store.replace(t, event_of(t)) for t in tries), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
    assert len(won) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 49
    assert await store.get(ALICE, "database") == won[0]
    assert await store.events(ALICE) == [event_of(created), event_of(won[0])]


async def test_of_fifty_who_want_a_slot_one_gets_it(store: Store) -> None:
    tries = [a_lease(generation=f"{n:020d}") for n in range(50)]
    outcomes = await asyncio.gather(*(create(store, t) for t in tries), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
    assert len(won) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 49
    assert await store.events(ALICE) == [event_of(won[0])]


async def test_of_many_beats_at_one_instant_one_counts(store: Store) -> None:
    await create(store, a_lease())
    renewed = await asyncio.gather(*(store.beat(ALICE, "database", T0 + 1, T0 + 61) for _ in range(20)))
    assert sorted(renewed) == [False] * 19 + [True]


async def test_what_one_process_writes_another_reads(world: StoreWorld) -> None:
    here, there = world.store, await world.again()
    created = await create(here, a_lease())
    assert await there.get(ALICE, "database") == created
    moved = await there.replace(created.claimed(T0 + 30))
    with pytest.raises(Conflict):
        await here.replace(created.claimed(T0 + 40))
    assert await here.get(ALICE, "database") == moved
    with pytest.raises(Conflict):
        await create(there, a_lease(generation="b" * 20))
