"""The store of leases, picked by PLAYGROUND_STORE."""

import os
from typing import Protocol

from shared.edge import settings
from shared.ports.audit import Audit
from shared.ports.holders import Holders
from shared.ports.leases import Leases, Records
from shared.wiring import clocks, telemetry
from shared.wiring.once import Once


class Store(Leases, Holders, Audit, Records, Protocol):
    """All these ports are served by one adapter."""

    async def close(self) -> None: ...


async def _open() -> Store:
    kind, _, rest = settings.STORE_URL.read(os.environ).partition(":")
    if kind == "sqlite":
        from shared.adapters.sqlite import SqliteStore

        opened: Store = await SqliteStore.open(rest.removeprefix("///"), clock=clocks.clock)
        return telemetry.observed_store(opened)
    from shared.adapters.cosmos import CosmosStore

    account, database, container = rest.rsplit("/", 2)
    return telemetry.observed_store(CosmosStore(account, database, container, clock=clocks.clock))


store: Once[Store] = Once(_open, lambda opened: opened.close())
