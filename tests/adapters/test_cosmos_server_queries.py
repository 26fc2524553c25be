"""The stand-in for Cosmos DB answers the queries it knows as documented, and refuses all others.

https://learn.microsoft.com/azure/cosmos-db/nosql/query
"""
# ruff: noqa: F811 - fixtures are imported by their names

from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy

from shared.adapters.cosmos_container import DUE, PAGE
from tests.adapters.test_cosmos_server import client, clock, create, items, refusal, server  # noqa: F401
from tests.doubles.cosmos_server import CosmosServer
from tests.doubles.cosmos_server.refusals import Refused
from tests.doubles.cosmos_server.sql import parse_condition, parse_query


async def found(items: ContainerProxy, query: str, parameters: dict[str, Any] | None = None, **more: Any) -> list[Any]:
    named = [{"name": name, "value": value} for name, value in (parameters or {}).items()]
    return [item async for item in items.query_items(query, parameters=named, **more)]


async def fill(items: ContainerProxy, count: int) -> None:
    for n in range(count):
        await create(items, owner=f"owner {n % 7}", id=f"{n}", n=(n * 37) % count)


async def test_an_ordered_query_over_all_partitions_is_merged_by_the_client(
    items: ContainerProxy, server: CosmosServer
) -> None:
    await fill(items, 40)
    asked = await found(items, "SELECT * FROM c WHERE c.n >= @from ORDER BY c.n", {"@from": 5}, max_item_count=4)
    assert [item["n"] for item in asked] == list(range(5, 40))
    assert server.asked("query")[0].status == 400  # the gateway cannot serve it
    assert len(server.asked("plan")) == 1
    assert len(server.asked("query")) >= 1 + 35 // 4  # page after page, from three physical partitions


async def test_a_query_of_one_partition_sees_that_one(items: ContainerProxy) -> None:
    await fill(items, 40)
    asked = await found(items, "SELECT * FROM c WHERE c.n < 20 ORDER BY c.n", partition_key="owner 3", max_item_count=2)
    everything = [(n * 37) % 40 for n in range(40) if n % 7 == 3]
    assert [item["n"] for item in asked] == sorted(n for n in everything if n < 20)
    assert await found(items, "SELECT * FROM c", partition_key="nobody") == []


async def test_what_changes_behind_the_cursor_disturbs_no_later_page(items: ContainerProxy) -> None:
    for n in range(9):
        await create(items, id=f"{n}", n=n)
    query = items.query_items("SELECT * FROM c ORDER BY c.n", partition_key="a", max_item_count=3).by_page()
    seen = [item["id"] async for item in await anext(query)]
    await create(items, id="new", n=-1)
    async for page in query:
        seen += [item["id"] async for item in page]
    assert seen == [f"{n}" for n in range(9)]


async def test_an_order_without_an_index_is_400(items: ContainerProxy) -> None:
    await create(items, n=1, other=1)
    assert await refusal(found(items, "SELECT * FROM c ORDER BY c.other", partition_key="a")) == (400, 0)


async def test_an_item_without_what_is_ordered_by_is_left_out(items: ContainerProxy) -> None:
    await create(items, id="x", n=1)
    await create(items, id="y")
    asked = await found(items, "SELECT * FROM c ORDER BY c.n", partition_key="a")
    assert [item["id"] for item in asked] == ["x"]


@pytest.mark.parametrize(
    "query",
    ["", "SELECT", "SELECT * FROM c WHERE c.n IN (1)", "SELECT c.n FROM c", "SELECT VALUE COUNT(1) FROM c",
     "SELECT * FROM c WHERE c.n = @nobody", "SELECT * FROM c ORDER BY c.n DESC", "SELECT TOP 1 * FROM c",
     "SELECT * FROM c WHERE c.n = 1 OR c.n = 2", "SELECT * FROM c WHERE (c.n = 1", "SELECT * FROM c OFFSET 0 LIMIT 1",
     "SELECT * FROM c WHERE c.n == 1", "SELECT * FROM c WHERE c.a.b = 1", "SELECT * FROM c -- all", "DELETE FROM c",
     "SELECT * FROM c WHERE ARRAY_CONTAINS(c.n, 1)", "SELECT * FROM c WHERE ARRAY_CONTAINS(@now, c.n)",
     "SELECT * FROM c WHERE ARRAY_CONTAINS(@states, c.n, true)", "SELECT * FROM c WHERE ARRAY_CONTAINS('a', c.n)",
     'SELECT c._rid, [{"item": c.m}] AS orderByItems, c AS payload FROM c WHERE (true) ORDER BY c.n'],
)  # fmt: skip
def test_a_query_it_does_not_know_is_refused(query: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_query(query, {"@now": 1, "@states": ["a"]})
    assert refused.value.status == 400


@pytest.mark.parametrize("query", [DUE, PAGE])
def test_a_plans_query_finds_what_the_query_finds(query: str) -> None:
    parameters = {"@now": 5, "@after": "m", "@states": ["a", "b"]}
    plain = parse_query(query, parameters)
    rewritten = parse_query(plain.plan().replace("{documentdb-formattableorderbyquery-filter}", "true"), parameters)
    assert rewritten.rewritten and not plain.rewritten
    assert (rewritten.where, rewritten.order_by) == (plain.where, plain.order_by)
    assert len(plain.where) == 2


def test_an_array_contains_what_equals_one_of_its_elements() -> None:
    query = parse_query("SELECT * FROM c WHERE ARRAY_CONTAINS(@some, c.x)", {"@some": ["a", 1]})
    assert [query.finds({"x": value}) for value in ("a", 1, 1.0, "b", True, None, [])] == [True] * 3 + [False] * 4
    assert not query.finds({})


def test_a_comparison_across_types_is_never_true() -> None:
    for condition in ("c.x = 1", "c.x != 1", "c.x < 1", "c.x >= 1"):
        values: list[Any] = ["1", None, True, [1], {}]
        for value in values:
            assert not parse_condition(f"FROM c WHERE {condition}").finds({"x": value})
