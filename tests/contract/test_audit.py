"""What every store promises of what was written down: all of it, of everybody, in the order of time."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain.errors import Conflict
from shared.domain.holders import Holder
from shared.domain.leases import Event, Owner
from shared.ports.leases import Record
from tests.contract.conftest import Store, StoreWorld
from tests.contract.leases import create, event_of, numbered
from tests.samples import ALICE, T0, a_lease

NIGHT = Owner("-audit", "2027-01-15")


def refusal(number: int, at: float = T0) -> Event:
    return Event(NIGHT, "create_db", "f00", number, at, "", "refused", "no, 3 x", "", by="spiffe://x", serial="ab",
                 trace="cd")  # fmt: skip


async def test_events_of_no_lease_are_written_and_found_as_they_were(store: Store) -> None:
    written = [refusal(number, T0 + number) for number in range(120)]
    await store.add(written)
    assert list(await store.since(0.0, 500)) == written
    assert list(await store.events(NIGHT)) == written


async def test_all_owners_events_are_found_by_time_whatever_wrote_them(world: StoreWorld) -> None:
    store = world.store
    leases = [numbered(n, since=T0 + 10 * n) for n in range(8)]
    for lease in reversed(leases):
        await create(store, lease)
    certificate = Event(ALICE, "certificates", "ab", 1, T0 + 35, "", "issued", "enrolled", "")
    await store.keep(Holder(ALICE), [certificate])
    await store.add([refusal(1, T0 + 5)])
    await store.write(Record("plane", {"at": T0}))
    expected = sorted([*(event_of(lease) for lease in leases), certificate, refusal(1, T0 + 5)], key=lambda e: e.at)
    for reader in (store, await world.again()):
        assert list(await reader.since(0.0, 500)) == expected
        assert list(await reader.since(T0 + 30, 3)) == expected[4:7]
        assert list(await reader.since(T0 + 1e6, 500)) == []


async def test_what_is_there_is_not_written_over(store: Store) -> None:
    await store.add([refusal(1)])
    with pytest.raises(Conflict):
        await store.add([refusal(2), replace(refusal(1), reason="another")])
    assert list(await store.since(0.0, 10)) == [refusal(1)]


async def test_a_holder_and_its_events_are_written_both_or_neither(store: Store) -> None:
    event = Event(ALICE, "certificates", "ab", 1, T0, "", "issued", "enrolled", "")
    kept = await store.keep(Holder(ALICE), [event])
    with pytest.raises(Conflict):
        await store.keep(replace(kept, revoked_at=T0), [event])
    with pytest.raises(Conflict):
        await store.keep(replace(kept, etag="9" * 17), [replace(event, step=2)])
    assert await store.holder(ALICE) == kept
    assert list(await store.events(ALICE)) == [event]


async def test_many_who_write_at_once_lose_nothing(store: Store) -> None:
    await asyncio.gather(*(store.add([refusal(number, T0 + number)]) for number in range(40)))
    assert len(await store.since(0.0, 500)) == 40


async def test_an_event_without_a_caller_comes_back_without_one(store: Store) -> None:
    lease = a_lease()
    await create(store, lease)
    [event] = await store.since(0.0, 10)
    assert event == event_of(lease) and (event.by, event.serial, event.trace) == ("", "", "")
