"""The stand-in for Cosmos DB does what Microsoft documents, as the real SDK sees it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.cosmos import exceptions
from azure.cosmos.aio import ContainerProxy, CosmosClient

from tests.contract.conftest import TurnedClock
from tests.doubles.cosmos_server import KEY, CosmosServer
from tests.samples import T0

DEFINITION: dict[str, Any] = {
    "partitionKey": {"paths": ["/owner"], "kind": "Hash", "version": 2},
    "defaultTtl": -1,
    "indexingPolicy": {"includedPaths": [{"path": "/n/?"}], "excludedPaths": [{"path": "/*"}]},
}


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def server(clock: TurnedClock) -> AsyncIterator[CosmosServer]:
    started = await CosmosServer(clock, ranges=3).start()
    started.make("db", "items", DEFINITION)
    started.make("db", "lasting", {name: value for name, value in DEFINITION.items() if name != "defaultTtl"})
    yield started
    await started.stop()


@pytest.fixture
async def client(server: CosmosServer) -> AsyncIterator[CosmosClient]:
    async with CosmosClient(server.endpoint, KEY, enable_endpoint_discovery=False, retry_total=0) as made:
        yield made


@pytest.fixture
def items(client: CosmosClient) -> ContainerProxy:
    return client.get_database_client("db").get_container_client("items")


async def create(items: ContainerProxy, *, owner: str = "a", id: str = "x", **values: Any) -> Any:
    return (await items.execute_item_batch([("create", ({"id": id, "owner": owner, **values},))], owner))[0]


async def refusal(call: Any) -> tuple[int, int]:
    """Status and sub-status."""
    with pytest.raises(exceptions.CosmosHttpResponseError) as refused:
        await call
    assert refused.value.status_code is not None
    return refused.value.status_code, refused.value.sub_status or 0


async def failures(call: Any) -> list[int]:
    with pytest.raises(exceptions.CosmosBatchOperationError) as refused:
        await call
    assert refused.value.operation_responses is not None
    return [response["statusCode"] for response in refused.value.operation_responses]


# Items: https://learn.microsoft.com/rest/api/cosmos-db/documents


async def test_an_item_has_what_the_service_adds_to_it(items: ContainerProxy) -> None:
    created = await create(items, n=1, list=[{"deep": "é"}])
    assert created["statusCode"] == 201
    item = await items.read_item("x", "a")
    assert dict(item) == created["resourceBody"]
    assert item["_etag"] == created["eTag"] and item["_etag"].startswith('"')
    assert item["_ts"] == int(T0) and item["_rid"]
    assert (item["n"], item["list"]) == (1, [{"deep": "é"}])


async def test_what_is_not_there_is_404_and_so_is_what_should_hold_it(
    items: ContainerProxy, client: CosmosClient
) -> None:
    assert await refusal(items.read_item("x", "a")) == (404, 0)
    nowhere = client.get_database_client("db").get_container_client("nowhere")
    assert await refusal(nowhere.read_item("x", "a")) == (404, 1003)


async def test_a_second_item_with_the_same_id_is_409_within_its_partition_only(items: ContainerProxy) -> None:
    await create(items, n=1)
    assert await failures(create(items, n=2)) == [409]
    await create(items, owner="b", n=3)
    assert [(await items.read_item("x", owner))["n"] for owner in ("a", "b")] == [1, 3]


async def test_another_etag_is_412_and_the_right_one_changes(items: ContainerProxy) -> None:
    first = (await create(items, n=1))["eTag"]

    def replace(etag: str) -> Any:
        return items.execute_item_batch(
            [("replace", ("x", {"id": "x", "owner": "a", "n": 2}), {"if_match_etag": etag})], "a"
        )

    second = (await replace(first))[0]["eTag"]
    assert second != first
    assert await failures(replace(first)) == [412]
    assert await failures(
        items.execute_item_batch([("replace", ("y", {"id": "y", "owner": "a"}), {"if_match_etag": first})], "a")
    ) == [404]


# https://learn.microsoft.com/azure/cosmos-db/concepts-limits
@pytest.mark.parametrize("id", ["", "a/b", "a\\b", "a?b", "a#b", "x" * 1024])
async def test_an_id_that_no_url_can_hold_is_refused(items: ContainerProxy, id: str) -> None:
    assert await failures(create(items, id=id)) == [400]


async def test_a_document_belongs_to_the_partition_of_its_request(items: ContainerProxy) -> None:
    assert await failures(items.execute_item_batch([("create", ({"id": "x", "owner": "b"},))], "a")) == [400]
    assert await failures(create(items, owner="x" * 2049)) == [400]


async def test_who_does_not_know_the_key_is_401(server: CosmosServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_COSMOS_HEALTH_CHECK_MAX_RETRIES", "0")
    client = CosmosClient(server.endpoint, "d3Jvbmc=", enable_endpoint_discovery=False)
    assert await refusal(client.__aenter__()) == (401, 0)
    await client.close()


# Patch: https://learn.microsoft.com/azure/cosmos-db/partial-document-update


async def patch(items: ContainerProxy, condition: str | None = None, path: str = "/n", **more: Any) -> Any:
    operations = [{"op": "set", "path": path, "value": 9}]
    return await items.patch_item("x", "a", operations, filter_predicate=condition, **more)


async def test_a_patch_changes_what_it_names_and_the_etag(items: ContainerProxy) -> None:
    etag = (await create(items, n=1, other="kept"))["eTag"]
    patched = await patch(items)
    assert (patched["n"], patched["other"]) == (9, "kept")
    assert patched["_etag"] != etag
    assert dict(await patch(items, no_response=True)) == {}


async def test_a_patch_whose_condition_does_not_hold_is_412_and_changes_nothing(items: ContainerProxy) -> None:
    etag = (await create(items, n=1, state="running"))["eTag"]
    for condition in (
        "FROM c WHERE c.n > 1", "FROM c WHERE c.n < 1.0", "FROM c WHERE c.missing < 5", "FROM c WHERE c.n = '1'",
        "FROM c WHERE c.n = 1 AND c.state = 'Running'", "FROM c WHERE c.missing != 5",
    ):  # fmt: skip
        assert await refusal(patch(items, condition)) == (412, 0)
    assert (await items.read_item("x", "a"))["_etag"] == etag
    assert (await patch(items, "FROM c WHERE c.n <= 1 AND c.n >= 1e0 AND c.state = 'running'"))["n"] == 9


async def test_a_patch_may_ask_for_an_etag(items: ContainerProxy) -> None:
    etag = (await create(items, n=1))["eTag"]
    with_etag: Any = {"match_condition": MatchConditions.IfNotModified}
    assert await refusal(patch(items, etag='"other"', **with_etag)) == (412, 0)
    assert (await patch(items, etag=etag, **with_etag))["n"] == 9


async def test_a_patch_of_nothing_is_404_and_of_a_key_400(items: ContainerProxy) -> None:
    assert await refusal(patch(items)) == (404, 0)
    await create(items, n=1)
    for path in ("/id", "/owner", "/_etag"):
        assert await refusal(patch(items, path=path)) == (400, 0)
    assert await refusal(items.patch_item("x", "a", [{"op": "set", "path": "/n", "value": 1}] * 11)) == (400, 0)


@pytest.mark.parametrize(
    "condition",
    ["c.n = 1", "FROM c WHERE c.n = 1 OR true", "FROM c WHERE c.n = 1; DROP", "FROM c WHERE", "FROM c WHERE c.n = @x",
     "FROM c WHERE c.n = 'a''b'", "FROM c WHERE c.n = inf", "FROM d WHERE d.n = 1", "FROM c WHERE NOT c.n = 1"],
)  # fmt: skip
async def test_a_condition_it_does_not_know_is_400(items: ContainerProxy, condition: str) -> None:
    await create(items, n=1)
    assert await refusal(patch(items, condition)) == (400, 0)


# Batches: https://learn.microsoft.com/azure/cosmos-db/nosql/transactional-batch


async def test_a_batch_is_done_as_a_whole_or_not_at_all(items: ContainerProxy) -> None:
    def batch(*ids: str) -> Any:
        return items.execute_item_batch([("create", ({"id": id, "owner": "a"},)) for id in ids], "a")

    assert [result["statusCode"] for result in await batch("x", "y")] == [201, 201]
    assert await failures(batch("z", "x", "w")) == [424, 409, 424]
    for id in ("z", "w"):
        assert await refusal(items.read_item(id, "a")) == (404, 0)


async def test_a_batch_sees_what_it_did_itself(items: ContainerProxy) -> None:
    doc = {"id": "x", "owner": "a"}
    await items.execute_item_batch([("create", (doc,)), ("replace", ("x", {**doc, "n": 2}))], "a")
    assert (await items.read_item("x", "a"))["n"] == 2
    assert await failures(items.execute_item_batch([("create", ({**doc, "id": "y"},))] * 2, "a")) == [424, 409]


async def test_a_batch_has_at_most_100_operations_of_kinds_that_are_modelled(items: ContainerProxy) -> None:
    many = [("create", ({"id": f"{n}", "owner": "a"},)) for n in range(101)]
    assert await refusal(items.execute_item_batch(many, "a")) == (400, 0)
    assert await failures(items.execute_item_batch([("upsert", ({"id": "x", "owner": "a"},))], "a")) == [400]


# Time to live: https://learn.microsoft.com/azure/cosmos-db/nosql/time-to-live


async def test_an_item_is_gone_when_its_time_is_over_and_a_write_begins_it_anew(
    items: ContainerProxy, clock: TurnedClock
) -> None:
    await create(items, ttl=10, n=1)
    await create(items, id="y", n=1)
    clock.at += 9
    await patch(items)
    clock.at += 9
    assert (await items.read_item("x", "a"))["n"] == 9
    clock.at += 1
    assert await refusal(items.read_item("x", "a")) == (404, 0)
    assert await refusal(patch(items)) == (404, 0)
    assert [item["id"] async for item in items.query_items("SELECT * FROM c", partition_key="a")] == ["y"]
    await create(items, n=2)
    clock.at += 1e9
    assert (await items.read_item("x", "a"))["n"] == 2


async def test_a_container_without_default_keeps_everything(client: CosmosClient, clock: TurnedClock) -> None:
    lasting = client.get_database_client("db").get_container_client("lasting")
    await create(lasting, ttl=1)
    clock.at += 1e9
    assert (await lasting.read_item("x", "a"))["ttl"] == 1


@pytest.mark.parametrize("ttl", [0, -2, 1.5, "10", True, 2**31])
async def test_a_time_to_live_is_a_positive_integer(items: ContainerProxy, ttl: Any) -> None:
    assert await failures(create(items, ttl=ttl)) == [400]
