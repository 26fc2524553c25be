"""What the Cosmos DB store promises beyond the contract: one request a call, tombstones that expire."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.cosmos import CosmosStore
from shared.adapters.cosmos_container import CONTAINER, DUE, EVENTS, OF, PAGE, REVOKED, SINCE
from shared.domain.leases import State
from tests.contract.conftest import TurnedClock
from tests.contract.leases import create, numbered
from tests.doubles.cosmos_server import KEY, CosmosServer
from tests.doubles.cosmos_server.container import Container
from tests.samples import ALICE, T0, a_lease


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def server() -> AsyncIterator[CosmosServer]:
    started = await CosmosServer(TurnedClock()).start()
    yield started
    await started.stop()


@pytest.fixture
def container(server: CosmosServer) -> Container:
    return server.make("playground", "leases", CONTAINER)


def opened(server: CosmosServer, clock: TurnedClock, patience: float = 60.0, **changes: Any) -> CosmosStore:
    given: dict[str, Any] = {"database": "playground", "container": "leases", "key": KEY, **changes}
    return CosmosStore(server.endpoint, clock=clock, patience=patience, **given)


@pytest.fixture
async def store(server: CosmosServer, container: Container, clock: TurnedClock) -> AsyncIterator[CosmosStore]:
    made = opened(server, clock)
    yield made
    await made.close()


def kinds(server: CosmosServer) -> list[str]:
    """What was asked; the SDK reads the account when it likes to."""
    return [request.kind for request in server.log if request.kind != "account"]


# What a call costs


async def test_every_call_of_a_request_path_is_one_request(server: CosmosServer, store: CosmosStore) -> None:
    assert await store.get(ALICE, "database") is None
    assert kinds(server) == ["container", "read"]
    created = await create(store, a_lease())
    await store.replace(created.claimed(T0 + 30))
    assert await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    assert not await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    await store.get(ALICE, "database")
    assert kinds(server)[2:] == ["batch", "batch", "patch", "patch", "read"]


async def test_an_owners_list_asks_its_own_partition_alone(server: CosmosServer, store: CosmosStore) -> None:
    await create(store, a_lease())
    server.log.clear()
    assert len((await store.of(ALICE, "", 100))[0]) == 1
    assert kinds(server) == ["query"]


async def test_many_that_come_at_first_share_one_connection(server: CosmosServer, store: CosmosStore) -> None:
    await asyncio.gather(*(store.get(numbered(n).owner, "database") for n in range(20)))
    assert len(server.asked("container")) == 1


async def test_what_is_ordered_or_filtered_by_has_an_index_and_nothing_else_has() -> None:
    policy: Any = CONTAINER["indexingPolicy"]
    asked = {name for query in (DUE, PAGE, OF, EVENTS, REVOKED, SINCE) for name in re.findall(r"c\.(\w+)", query)}
    assert {path["path"] for path in policy["includedPaths"]} == {f"/{name}/?" for name in asked - {"state"}}
    assert {"path": "/*"} in policy["excludedPaths"]


async def test_only_a_number_gets_into_a_beats_condition(server: CosmosServer, store: CosmosStore) -> None:
    await create(store, a_lease(State.HIBERNATED))
    server.log.clear()
    injected: Any = "0 OR true"
    for now, due in ((injected, 1.0), (1.0, injected), (float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(ValueError):
            await store.beat(ALICE, "database", now, due)
    assert server.log == []


# Tombstones


async def test_a_tombstone_carries_the_seconds_it_has_and_a_slot_used_again_none(
    store: CosmosStore, container: Container
) -> None:
    def ttl() -> Any:
        return container.read(ALICE.key, "lease-database").get("ttl")

    lease = await create(store, a_lease())
    assert ttl() is None
    for seconds, expected in ((100.9, 100), (0.5, 1), (-5, 1), (1e12, 2**31 - 1)):
        lease = await store.replace(replace(lease, state=State.RELEASED, gone_at=T0 + seconds))
        assert ttl() == expected
    await store.replace(replace(lease, state=State.PENDING, gone_at=None))
    assert ttl() is None


async def test_a_tombstone_gone_by_our_clock_is_no_conflict_while_the_service_still_has_it(
    store: CosmosStore, container: Container, clock: TurnedClock
) -> None:
    await create(store, a_lease(State.RELEASED, gone_at=T0 + 100))
    clock.at += 101  # the service's clock is 101 s behind
    assert await store.get(ALICE, "database") is None
    new = await create(store, a_lease(generation="b" * 20))
    assert await store.get(ALICE, "database") == new
    assert len(await store.events(ALICE)) == 2


# Settings


async def test_a_key_is_for_this_machine_and_a_token_for_https() -> None:
    with pytest.raises(ValueError, match="identity"):
        CosmosStore("https://playground.documents.example/", "playground", "leases", key=KEY)
    with pytest.raises(ValueError, match="https"):
        CosmosStore("http://127.0.0.1:8081/", "playground", "leases")
