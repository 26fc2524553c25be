"""What the Cosmos DB store does when the service does not: bounded, and never a write repeated blindly."""
# ruff: noqa: F811 - fixtures are imported by their names

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.cosmos import CosmosStore
from shared.domain.errors import Conflict, StoreUnavailable
from shared.domain.leases import State
from shared.ports.leases import Record
from tests.adapters.test_cosmos import clock, container, opened, server, store  # noqa: F401
from tests.contract.conftest import TurnedClock
from tests.contract.leases import create, event_of
from tests.doubles.cosmos_server import KEY, CosmosServer, Fault
from tests.doubles.cosmos_server.container import Container
from tests.samples import ALICE, T0, a_lease


async def test_a_throttled_call_waits_as_it_is_told_and_tries_again(server: CosmosServer, store: CosmosStore) -> None:
    server.faults.append(Fault(status=429, retry_after_ms=1, times=3))
    created = await create(store, a_lease())
    assert len(server.asked("batch")) == 4
    assert await store.get(ALICE, "database") == created


async def test_a_call_that_is_throttled_again_and_again_gives_up(
    server: CosmosServer, store: CosmosStore, container: Container
) -> None:
    server.faults.append(Fault(status=429, retry_after_ms=1, times=99))
    with pytest.raises(StoreUnavailable, match="429") as refused:
        await create(store, a_lease())
    assert refused.value.retry_after == 1
    assert len(server.asked("batch")) == 4
    assert container.items() == []


async def test_a_call_does_not_wait_when_that_would_take_longer_than_it_may(
    server: CosmosServer, container: Container, clock: TurnedClock
) -> None:
    store = opened(server, clock, patience=20)
    server.faults.append(Fault(status=429, retry_after_ms=30_001))
    with pytest.raises(StoreUnavailable) as refused:
        await store.get(ALICE, "database")
    assert refused.value.retry_after == 31
    await store.close()


@pytest.mark.parametrize("status", [408, 410, 500, 503])
async def test_a_service_in_trouble_is_not_asked_twice_to_write(
    server: CosmosServer, store: CosmosStore, container: Container, status: int
) -> None:
    await store.get(ALICE, "database")
    server.faults.append(Fault(status=status))
    with pytest.raises(StoreUnavailable, match=f"{status}") as refused:
        await create(store, a_lease())
    assert refused.value.retry_after == 5
    assert len(server.asked("batch")) == 1
    assert container.items() == []


async def test_a_beat_that_meets_others_in_its_partition_tries_again(server: CosmosServer, store: CosmosStore) -> None:
    await create(store, a_lease())
    server.faults.append(Fault(status=449, retry_after_ms=1, times=2))
    assert await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    assert len(server.asked("patch")) == 3


async def test_a_write_whose_answer_was_lost_is_unknown_and_not_repeated(
    server: CosmosServer, store: CosmosStore
) -> None:
    async def unknown(write: Any) -> None:
        asked = len(server.asked("batch") + server.asked("patch"))
        server.faults.append(Fault(cut="after"))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await write
        assert len(server.asked("batch") + server.asked("patch")) == asked + 1

    await store.get(ALICE, "database")
    await unknown(create(store, a_lease()))
    created = await store.get(ALICE, "database")
    assert created is not None and created.generation == a_lease().generation
    with pytest.raises(Conflict):  # repeated blindly, it meets itself
        await create(store, a_lease())

    moved = created.moved(State.HIBERNATING, T0 + 1, T0 + 2, "idle")
    await unknown(store.replace(moved, event_of(moved)))
    read = await store.get(ALICE, "database")
    assert read is not None and read == replace(moved, etag=read.etag)
    assert len(await store.events(ALICE)) == 2

    running = await store.replace(replace(read, state=State.RUNNING, look_by=T0 + 999))
    await unknown(store.beat(ALICE, "database", T0 + 5, T0 + 61))
    beaten = await store.get(ALICE, "database")
    assert beaten == replace(running, beat_at=T0 + 5, due_at=T0 + 61, etag=beaten.etag if beaten else "")

    await unknown(store.write(Record("plane", {"id": "x"})))
    assert (await store.read("plane")) is not None


async def test_a_write_that_never_arrived_is_unknown_as_well(
    server: CosmosServer, store: CosmosStore, container: Container
) -> None:
    await store.get(ALICE, "database")
    server.faults.append(Fault(cut="before"))
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await create(store, a_lease())
    assert container.items() == [] and len(server.asked("batch")) == 1


async def test_a_read_whose_answer_was_lost_is_repeated(server: CosmosServer, store: CosmosStore) -> None:
    created = await create(store, a_lease(due_at=T0))
    server.faults.append(Fault(cut="after", of=("read",)))
    assert await store.get(ALICE, "database") == created
    server.faults.append(Fault(cut="before", of=("query",)))
    assert await store.due(T0, 10) == [created]
    server.faults.append(Fault(cut="before", times=99))
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.get(ALICE, "database")


async def test_a_call_that_is_not_answered_ends_by_itself(
    server: CosmosServer, container: Container, clock: TurnedClock
) -> None:
    store = opened(server, clock, patience=0.2)
    await store.get(ALICE, "database")
    hangs = Fault(hold=True)
    server.faults.append(hangs)
    with pytest.raises(StoreUnavailable, match=r"no answer within 0\.2 s"):
        await store.beat(ALICE, "database", T0 + 1, T0 + 61)
    assert hangs.reached.is_set()
    hangs.release.set()
    assert await store.get(ALICE, "database") is None
    await store.close()


async def test_a_caller_that_gives_up_leaves_the_connection_usable(server: CosmosServer, store: CosmosStore) -> None:
    created = await create(store, a_lease())
    hangs = Fault(hold=True)
    server.faults.append(hangs)
    waiting = asyncio.ensure_future(store.get(ALICE, "database"))
    await hangs.reached.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hangs.release.set()
    assert await store.get(ALICE, "database") == created


async def test_a_first_connection_that_fails_is_made_anew_by_the_next_call(
    server: CosmosServer, container: Container, clock: TurnedClock
) -> None:
    store = opened(server, clock, patience=0.2)
    hangs = Fault(hold=True, of=("account",))
    server.faults += [hangs, Fault(status=503, of=("container",))]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.get(ALICE, "database")
    hangs.release.set()
    assert await store.get(ALICE, "database") is None
    await store.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        await store.get(ALICE, "database")


async def test_a_server_that_does_not_listen(server: CosmosServer, clock: TurnedClock) -> None:
    store = CosmosStore("http://127.0.0.1:1/", "playground", "leases", key=KEY, clock=clock, patience=20)
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.get(ALICE, "database")
    await store.close()


async def test_a_container_that_is_missing_is_no_missing_lease(
    server: CosmosServer, container: Container, clock: TurnedClock
) -> None:
    store = opened(server, clock, container="other")
    with pytest.raises(StoreUnavailable, match="404"):
        await store.get(ALICE, "database")
    await store.close()


@pytest.mark.parametrize("sub_status", [1002, 1003])  # a replica that lags behind; a container that went
async def test_a_404_that_is_not_the_items_is_no_missing_lease(
    server: CosmosServer, store: CosmosStore, sub_status: int
) -> None:
    await create(store, a_lease())
    for call in (lambda: store.get(ALICE, "database"), lambda: store.beat(ALICE, "database", T0 + 1, T0 + 61)):
        server.faults.append(Fault(status=404, sub_status=sub_status, times=9))
        with pytest.raises(StoreUnavailable, match=f"404/{sub_status}"):
            await call()
        server.faults.clear()


async def test_a_wrong_key_is_said(
    server: CosmosServer, container: Container, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_COSMOS_HEALTH_CHECK_MAX_RETRIES", "0")
    store = opened(server, clock, key="d3Jvbmc=")
    with pytest.raises(StoreUnavailable, match="401") as refused:
        await store.get(ALICE, "database")
    assert "d3Jvbmc" not in str(refused.value)
    await store.close()
