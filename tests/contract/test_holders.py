"""What every store of holders promises: one suite for all of them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import Conflict
from shared.domain.holders import Holder, Invitation, Issued
from shared.domain.identity import Role
from shared.domain.leases import Owner
from tests.contract.conftest import Store, StoreWorld
from tests.contract.leases import SERIAL, create, instants, names, odd
from tests.samples import ALICE, T0, a_lease

invitations = st.builds(Invitation, names, st.sampled_from(Role), instants, names, names)
issued = st.builds(Issued, names, st.sampled_from(Role), instants, instants, names, names, st.none() | instants, names)


def revoked_once(at: float, owner: Owner = ALICE) -> Holder:
    """A holder with one certificate, which was revoked then."""
    return Holder(owner, (), (Issued("ab", Role.USER, T0, T0 + 1e6, revoked_at=at),), at)


@odd
@given(name=names, invited=st.lists(invitations, max_size=3), of=st.lists(issued, max_size=3), at=instants)
async def test_a_holder_comes_back_as_it_was_written(
    store: Store, name: str, invited: list[Invitation], of: list[Issued], at: float
) -> None:
    holder = Holder(Owner("default", f"{next(SERIAL)}{name}"[:128]), tuple(invited), tuple(of), at)
    written = await store.keep(holder)
    assert written.etag
    assert written == replace(holder, etag=written.etag)
    if holder.gone_at > T0 + 1:
        assert await store.holder(holder.owner) == written


async def test_who_was_never_written_is_not_there(store: Store) -> None:
    assert await store.holder(ALICE) is None


async def test_a_holder_is_made_only_once(store: Store) -> None:
    first = await store.keep(revoked_once(T0))
    with pytest.raises(Conflict):
        await store.keep(revoked_once(T0 + 1))
    assert await store.holder(ALICE) == first


async def test_a_holder_is_replaced_by_who_read_the_latest(store: Store) -> None:
    first = await store.keep(revoked_once(T0))
    second = await store.keep(replace(first, revoked_at=T0 + 1))
    assert second.etag not in ("", first.etag)
    with pytest.raises(Conflict):
        await store.keep(replace(first, revoked_at=T0 + 9))
    assert await store.holder(ALICE) == second


@pytest.mark.parametrize("etag", ["1", "0", '"x"', "9" * 40])
async def test_who_is_not_there_cannot_be_replaced(store: Store, etag: str) -> None:
    with pytest.raises(Conflict):
        await store.keep(replace(revoked_once(T0), etag=etag))
    assert await store.holder(ALICE) is None


async def test_those_with_a_revocation_since_then_are_found(store: Store) -> None:
    holders = [await store.keep(revoked_once(T0 + n, Owner("default", f"user {n}"))) for n in range(20)]
    await store.keep(Holder(ALICE, (), (Issued("cd", Role.USER, T0, T0 + 1e6),)))

    def by_name(found: object) -> list[str]:
        return sorted(holder.owner.user for holder in found)  # type: ignore[attr-defined]

    assert by_name(await store.revoked(T0 + 14)) == by_name(holders[15:])
    assert by_name(await store.revoked(0.0)) == by_name(holders)
    assert await store.revoked(T0 + 19) == []


async def test_another_process_finds_them_too(world: StoreWorld) -> None:
    written = await world.store.keep(revoked_once(T0))
    other = await world.again()
    assert await other.holder(ALICE) == written
    assert await other.revoked(0.0) == [written]


async def test_holders_are_on_no_list_of_leases_nor_events(store: Store) -> None:
    lease = await create(store, a_lease())
    await store.keep(revoked_once(T0, lease.owner))
    assert [each.id for each in (await store.of(lease.owner, "", 10))[0]] == [lease.id]
    assert [each.id for each in (await store.page("", 10))[0]] == [lease.id]
    assert len(await store.events(lease.owner)) == 1
    assert [each.id for each in await store.due(lease.due_at + 1e9, 10)] == [lease.id]


async def test_a_holder_of_whom_nothing_matters_any_more_can_be_made_anew(world: StoreWorld) -> None:
    over = await world.store.keep(revoked_once(T0))
    world.clock.at = over.gone_at + 1
    await world.store.keep(Holder(Owner("default", "somebody else")))
    found = await world.store.holder(ALICE)
    await world.store.keep(replace(revoked_once(world.clock.at), etag=found.etag if found else ""))
    assert (await world.store.revoked(over.gone_at))[0].owner == ALICE
