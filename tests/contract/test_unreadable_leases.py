"""Leases that a newer release wrote: they are left to it, and starve nobody."""

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.errors import StoreUnavailable
from shared.domain.leases import Owner
from tests.contract.conftest import Store, cosmos_world, sqlite_world
from tests.contract.leases import create, numbered
from tests.samples import T0

# The store in memory keeps leases as this release knows them, so it can hold none that it cannot read.
COSMOS = pytest.param(cosmos_world, id="cosmos")
SQLITE = pytest.param(sqlite_world, id="sqlite")
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("world", [SQLITE, COSMOS], indirect=True)]
BATCH = 200
READABLE = {numbered(n).owner for n in range(250, 450)}
NEWER: Any = "moving"


async def fill(store: Store) -> None:
    """450 leases that are due, and for longest those of them that no release before the next can read."""
    for n in range(450):
        lease = numbered(n, due_at=T0 + n)
        await create(store, lease if lease.owner in READABLE else replace(lease, state=NEWER))


async def test_what_is_due_is_found_behind_more_than_a_batch_of_what_cannot_be_read(store: Store) -> None:
    await fill(store)
    seen: list[Owner] = []
    for limit in (BATCH, 90, 90, 90):  # as a pass does it: what was looked at is due later
        for lease in await store.due(T0 + 450, limit):
            seen.append(lease.owner)
            if limit != BATCH:
                await store.replace(lease.claimed(T0 + 1000))
    assert set(seen[:BATCH]) == READABLE, "all of them at once, where the limit allows it"
    assert sorted(seen[BATCH:], key=lambda owner: owner.user) == sorted(READABLE, key=lambda owner: owner.user)


@pytest.mark.parametrize("of", ["everybody", "a tenant"])
async def test_they_are_on_no_page_and_end_none_early(store: Store, of: str) -> None:
    await fill(store)
    found, after = [], ""
    while True:
        leases, after = await (store.page(after, 60) if of == "everybody" else store.of("default", after, 60))
        found += [lease.owner for lease in leases]
        if not after:
            break
    assert sorted(found, key=lambda owner: owner.user) == sorted(READABLE, key=lambda owner: owner.user)


async def test_who_asks_for_one_of_them_is_not_told_that_there_is_none(store: Store) -> None:
    lease = await create(store, replace(numbered(1), state=NEWER))
    with pytest.raises(StoreUnavailable, match="not readable by this release"):
        await store.get(lease.owner, lease.id)
