"""The real server with one function, and a socket over which a test gives orders.

`python -m tests.http.launch <function> <socket> <the server's own options>`. It imports nothing that
the function does not; a cluster is a double, and only create_db has one.
"""

import asyncio
import json
import os
import sys
from typing import Any

from selfhost import server
from shared.wiring import startup


class Orders:
    """What a test may have this process do."""

    def __init__(self, function: str):
        self.function = function
        self.world: Any = None
        self.server: asyncio.Server | None = None

    async def reset(self, store: str) -> None:
        """Begin anew with that store."""
        if self.function in ("greet", "show_openapi"):
            return
        from shared.domain.policy import Policy
        from shared.ports.clock import SystemClock
        from shared.wiring import store as wired
        from tests.http.world import World, uninstall

        await uninstall()
        os.environ["PLAYGROUND_STORE"] = store
        kept = await wired.store.get()
        wired.store.set(None)  # type: ignore[arg-type]
        self.world = World(kept, SystemClock(), Policy())
        await self.world.install()

    async def state(self) -> Any:
        return await self.world.state()

    async def strike(self, name: str) -> None:
        from tests.http import troubles

        await troubles.strike(self.world, name)

    async def invite(self, name: str, role: str, tenant: str) -> str:
        return await self.world.invite(name, role, tenant)

    async def hurry(self, seconds: float) -> None:
        await self.world.hurry(seconds)

    async def calls(self) -> Any:
        return self.world.store.calls

    async def modules(self) -> list[str]:
        return sorted(sys.modules)


async def listen(orders: Orders, path: str) -> None:
    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        try:
            answer = {"done": await getattr(orders, order.pop("do"))(**order)}
        except Exception as error:  # the test reports it
            answer = {"error": repr(error)}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    orders.server = await asyncio.start_unix_server(obey, path, limit=1 << 24)


def main() -> int:
    function, path, *options = sys.argv[1:]
    orders, begin = Orders(function), startup.begin

    async def begin_with_orders() -> None:
        if function == "create_db":
            await orders.reset(os.environ["PLAYGROUND_STORE"])
        await begin()
        await listen(orders, path)

    startup.begin = begin_with_orders
    return server.main(options)


if __name__ == "__main__":
    sys.exit(main())
