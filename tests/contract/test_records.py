"""What every store of records promises: one suite for all of them."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.errors import Conflict
from shared.ports.leases import Record
from tests.contract.conftest import Store, StoreWorld
from tests.samples import a_lease

SERIAL = itertools.count()
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.dictionaries(
    text,
    st.recursive(
        st.none() | st.booleans() | numbers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=text, value=values)
async def test_a_record_comes_back_as_it_was_written(store: Store, name: str, value: dict[str, Any]) -> None:
    record = Record(f"{next(SERIAL)}{name}", value)
    written = await store.write(record)
    assert written.etag
    assert written == replace(record, etag=written.etag)
    assert await store.read(record.name) == written


async def test_what_was_never_written_is_not_there(store: Store) -> None:
    assert await store.read("plane") is None


async def test_a_record_is_made_only_once(store: Store) -> None:
    first = await store.write(Record("plane", {"id": "a"}))
    with pytest.raises(Conflict):
        await store.write(Record("plane", {"id": "b"}))
    assert await store.read("plane") == first


async def test_a_record_is_replaced_by_who_read_the_latest(store: Store) -> None:
    first = await store.write(Record("hearing", {"heard_at": 1.5}))
    second = await store.write(replace(first, value={"heard_at": 2.5}))
    assert second.etag not in ("", first.etag)
    with pytest.raises(Conflict):
        await store.write(replace(first, value={"heard_at": 9.0}))
    assert await store.read("hearing") == second


@pytest.mark.parametrize("etag", ["1", "0", '"x"', "9" * 40])
async def test_what_is_not_there_cannot_be_replaced(store: Store, etag: str) -> None:
    with pytest.raises(Conflict):
        await store.write(Record("plane", {}, etag))
    assert await store.read("plane") is None


async def test_names_that_look_alike_are_not_the_same(store: Store) -> None:
    names = ["plane", "Plane", "pl/ane", "pl%2Fane", "pl~2Fane", "", ".", "p'l"]
    written = [await store.write(Record(name, {"n": n})) for n, name in enumerate(names)]
    assert [await store.read(name) for name in names] == written


async def test_a_number_that_json_cannot_say_is_refused(store: Store) -> None:
    with pytest.raises(ValueError):
        await store.write(Record("hearing", {"heard_at": float("-inf")}))
    assert await store.read("hearing") is None


async def test_records_are_no_leases(store: Store) -> None:
    await store.write(Record("database", {"due_at": 0.0, "state": "running"}))
    assert await store.due(1e12, 10) == []
    assert await store.page("", 10) == ([], "")
    assert await store.get(a_lease().owner, "database") is None


async def test_no_count_is_lost_between_two_processes(world: StoreWorld) -> None:
    stores = [world.store, await world.again()]
    await world.store.write(Record("count", {"n": 0}))

    async def count(store: Any) -> None:
        while True:
            record = await store.read("count")
            try:
                await store.write(replace(record, value={"n": record.value["n"] + 1}))
                return
            except Conflict:
                continue

    await asyncio.gather(*(count(stores[n % 2]) for n in range(20)))
    record = await world.store.read("count")
    assert record is not None and record.value == {"n": 20}
