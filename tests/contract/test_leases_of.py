"""What every store promises of the lists an owner or a tenant's admin asks for."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.leases import Lease, Owner, State
from tests.contract.conftest import Store, StoreWorld
from tests.contract.leases import BOB, SERIAL, create, event_of, names, numbered, odd
from tests.samples import ALICE, T0, a_lease

# Between a tenant and its neighbours in any order of text: before and behind the slash that ends it.
TENANTS = ("default", "defaul", "default-2", "default0", "defaulta", "a", "z")
# The same for an owner.
USERS = ("alice", "alic", "alice-2", "alice0", "alice/", "alice/x", "alice~", "alice ", "Alice", "alicea", "", "é")


async def pages(store: Any, whose: Owner | str, limit: int) -> list[Lease]:
    found, after = [], ""
    for _ in range(100):
        leases, after = await store.of(whose, after, limit)
        assert len(leases) <= limit
        found += leases
        if not after:
            return found
    raise AssertionError("the pages do not end")


def in_order(leases: list[Lease]) -> list[Lease]:
    return sorted(leases, key=lambda lease: (lease.owner.key, lease.id))


async def fill(store: Store) -> list[Lease]:
    """Two leases of each owner there could be confused with another."""
    return [
        await create(store, a_lease(owner=Owner(tenant, user), id=id, generation=f"{n:03d}{m:02d}{id:x>15}"))
        for n, tenant in enumerate(TENANTS)
        for m, user in enumerate(USERS)
        for id in ("database", "session-1")
    ]


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_an_owners_leases_are_its_own_and_no_neighbours(store: Store, limit: int) -> None:
    stored = await fill(store)
    for user in USERS:
        owner = Owner("default", user)
        assert in_order(await pages(store, owner, limit)) == in_order([each for each in stored if each.owner == owner])


@pytest.mark.parametrize("limit", [pytest.param(1, marks=pytest.mark.slow), 7, 24, 1000])
async def test_a_tenants_leases_are_its_own_and_no_neighbours(store: Store, limit: int) -> None:
    stored = await fill(store)
    for tenant in TENANTS:
        expected = [each for each in stored if each.owner.tenant == tenant]
        assert in_order(await pages(store, tenant, limit)) == in_order(expected)


@pytest.mark.slow
@odd
@given(user=names, other=names)
async def test_whatever_an_owner_is_called_its_leases_are_found(store: Store, user: str, other: str) -> None:
    tenant = f"t{next(SERIAL)}"
    stored = {owner: await create(store, a_lease(owner=owner)) for owner in {Owner(tenant, user), Owner(tenant, other)}}
    for owner, lease in stored.items():
        assert await pages(store, owner, 10) == [lease]
    assert in_order(await pages(store, tenant, 1)) == in_order(list(stored.values()))


@odd
@given(after=st.text("abdefultz/-0x~.% \x00é", max_size=30))
async def test_no_token_leads_to_anybody_else(store: Store, after: str) -> None:
    for owner in (ALICE, Owner("other", "alice"), BOB):
        if await store.get(owner, "database") is None:
            await create(store, a_lease(owner=owner))
    assert {lease.owner for lease in (await store.of(ALICE, after, 10))[0]} <= {ALICE}
    assert {lease.owner.tenant for lease in (await store.of("default", after, 10))[0]} <= {"default"}


async def test_where_nothing_is_nothing_is_found(store: Store) -> None:
    await create(store, a_lease(owner=BOB))
    assert await store.of(ALICE, "", 10) == ([], "")
    assert await store.of("other", "", 10) == ([], "")


async def test_what_is_released_is_on_no_list(world: StoreWorld) -> None:
    lease = await create(world.store, a_lease())
    gone = lease.moved(State.RELEASED, T0, T0 + 100, "gone", gone_at=T0 + 100)
    await world.store.replace(gone, event_of(gone))
    kept = await create(world.store, a_lease(owner=BOB))
    assert await pages(world.store, ALICE, 10) == []
    assert await pages(world.store, "default", 10) == [kept]


async def test_a_hold_comes_back_with_its_lease_and_its_event(store: Store) -> None:
    created = await create(store, a_lease())
    held = replace(created, held_until=T0 + 86400.5, hold_note="bis Freitag ✓", revision=created.revision + 1)
    told = event_of(held, before="running", revision=held.revision)
    written = await store.replace(held, told)
    assert await store.of(ALICE, "", 10) == ([written], "")
    assert (written.held_until, written.hold_note) == (T0 + 86400.5, "bis Freitag ✓")
    assert await store.events(ALICE) == [event_of(created), told], "one step, two events"


async def test_what_stays_is_listed_once_whatever_happens_meanwhile(store: Store) -> None:
    for n in range(12):
        await create(store, numbered(n))
    seen, after = [], ""
    for rounds in range(1, 100):
        leases, after = await store.of("default", after, 5)
        seen += [lease.owner for lease in leases]
        for n in range(12):
            assert await store.beat(numbered(n).owner, "database", T0 + rounds, T0 + 1000 * rounds - n)
        await create(store, numbered(100 + rounds))
        if not after:
            break
    assert [seen.count(numbered(n).owner) for n in range(12)] == [1] * 12


async def test_what_a_tenant_has_is_counted_and_nobody_elses(store: Store) -> None:
    for number in range(7):
        await create(store, numbered(number))
    await create(store, numbered(7, state=State.RELEASED, gone_at=T0 + 1e6))
    await create(store, a_lease(owner=Owner("default-2", "alice")))
    await create(store, a_lease(owner=Owner("defaul", "alice")))
    assert [await store.count("default", most) for most in (3, 7, 100)] == [3, 7, 7]
    assert await store.count("nobody", 100) == 0
