"""The stores behind `shared.ports.leases`, each in a world of its own, for one suite."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.cosmos import CosmosStore
from shared.adapters.cosmos_container import CONTAINER
from shared.adapters.sqlite import SqliteStore
from tests.doubles.cosmos_server import KEY, CosmosServer
from tests.doubles.memory import MemoryStore
from tests.samples import T0

type Store = SqliteStore | CosmosStore | MemoryStore


class TurnedClock:
    """Stands still until a test turns it."""

    def __init__(self, now: float = T0):
        self.at = now

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class StoreWorld:
    """A store, its clock, and a way to open what it keeps once more (as another process would)."""

    store: Store
    clock: TurnedClock
    again: Callable[[], Awaitable[Any]]


@asynccontextmanager
async def sqlite_world(path: Path) -> AsyncIterator[StoreWorld]:
    clock, opened = TurnedClock(), list[SqliteStore]()

    async def again() -> SqliteStore:
        opened.append(await SqliteStore.open(path / "leases.db", clock=clock))
        return opened[-1]

    yield StoreWorld(await again(), clock, again)
    for store in opened:
        await store.close()


@asynccontextmanager
async def cosmos_world(path: Path) -> AsyncIterator[StoreWorld]:
    clock, opened = TurnedClock(), list[CosmosStore]()
    server = await CosmosServer(clock, ranges=3, page=7).start()
    server.make("playground", "leases", CONTAINER)

    async def again() -> CosmosStore:
        opened.append(CosmosStore(server.endpoint, "playground", "leases", key=KEY, clock=clock, patience=60))
        return opened[-1]

    yield StoreWorld(await again(), clock, again)
    for store in opened:
        await store.close()
    await server.stop()


@asynccontextmanager
async def memory_world(path: Path) -> AsyncIterator[StoreWorld]:
    clock = TurnedClock()
    store = MemoryStore(clock=clock)

    async def again() -> MemoryStore:
        return store

    yield StoreWorld(store, clock, again)


WORLDS = [
    pytest.param(sqlite_world, id="sqlite"),
    # The double is a server: to ask it takes ten times as long as the others.
    pytest.param(cosmos_world, id="cosmos", marks=pytest.mark.slow),
    pytest.param(memory_world, id="memory"),
]


@pytest.fixture(params=WORLDS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreWorld]:
    async with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
def store(world: StoreWorld) -> Store:
    return world.store
