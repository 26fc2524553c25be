"""`sqlflow_playground` as the tests start it: the real server, whose clock, timers and death are theirs.

What is replaced is what the world does to a server and no test can wait for: the clock is the machine's
plus an offset, timers fire when they are told to, and the process can be told to kill itself before or
after the n-th call of an operation. A unix socket takes the commands, a line of JSON each, see `OBEY`.
"""

import argparse
import asyncio
import functools
import inspect
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selfhost import server, timers
from shared.domain import pool, reaper, reconcile
from shared.domain.errors import PlaygroundError
from shared.domain.leases import Owner
from shared.wiring import clocks, cluster, hearing, issuing, store

AUDIBLE = 100.0  # seconds from one canary beat to the next: fewer than a gap has


class TurnedClock:
    """The machine's clocks and what a test adds to both."""

    def __init__(self, offset: float):
        self.offset = offset

    def now(self) -> float:
        return time.time() + self.offset

    def monotonic(self) -> float:
        return time.monotonic() + self.offset


class Fate:
    """Ends this process, as kill -9 would, at the point it was told."""

    def __init__(self) -> None:
        self.point, self.calls = "", 0

    def meet(self, point: str) -> None:
        if point == self.point:
            self.calls -= 1
            if self.calls == 0:
                os.kill(os.getpid(), signal.SIGKILL)


fate = Fate()


class Watched:
    """An adapter, before and after whose operations fate may strike."""

    def __init__(self, inner: Any, name: Callable[..., str]):
        self._inner, self._name = inner, name

    def __getattr__(self, operation: str) -> Any:
        inner = getattr(self._inner, operation)
        if not inspect.iscoroutinefunction(inner):
            return inner

        @functools.wraps(inner)
        async def call(*arguments: Any, **named: Any) -> Any:
            point = self._name(operation, *arguments)
            fate.meet(f"before {point}")
            result = await inner(*arguments, **named)
            fate.meet(f"after {point}")
            return result

        return call


def in_the_store(operation: str, *arguments: Any) -> str:
    """`create lease`, `write <state>` for a transition, `rewrite lease` for a claim or a result without one.

    Of these, `take spare` writes who is to have it, and `become spare` gives its life to an owner's lease.
    """
    match operation, arguments:
        case "keep", _:
            return "keep holder"
        case "create", _:
            return "create lease"
        case "replace", (lease, event) if event is not None:
            return f"write {lease.state}"
        case "replace", (lease, *_) if lease.adopter:
            return "take spare"
        case "replace", (lease, *_) if lease.adopts.endswith(lease.generation):
            return "become spare"
        case "replace", _:
            return "rewrite lease"
    return operation


def on_the_cluster(operation: str, *arguments: Any) -> str:
    """The port's verbs: `start`, `stop`, `delete`, `status`, `wait_ready`, `evidence`."""
    return operation


def by_the_ca(operation: str, *arguments: Any) -> str:
    """`issue a certificate`, and whatever else the port has."""
    return "issue a certificate" if operation == "issue" else operation


def at_the_api(operation: str, *arguments: Any) -> str:
    """`make <kind>`, `scale to <n>`, `remove <kind>`."""
    match operation, arguments:
        case "create", (manifest,):
            return f"make {manifest['kind']}"
        case "replace", (manifest,) if manifest["kind"] == "StatefulSet":
            return f"scale to {manifest['spec']['replicas']}"
        case "delete", (kind, *_):
            return f"remove {kind}"
    return f"{operation} at the API"


def watch(once: Any, name: Callable[..., str]) -> None:
    make = once._make

    async def made() -> Watched:
        return Watched(await make(), name)

    once._make = made


class ByHand(timers.Timers):
    """Timers that fire when they are told to."""

    path: Path
    clock: TurnedClock
    _server: asyncio.Server

    def start(self) -> None:
        self._starting = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self, patience: float) -> None:
        await self._starting
        self._server.close()
        await super().stop(patience)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command, *arguments = json.loads(await reader.readline())
        try:
            answer = {"result": await OBEY[command](self, *arguments)}
        except (PlaygroundError, timers.FunctionFailed) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def fire(self, name: str) -> Any:
        """Fire a timer function, as a tick would; what its domain function returned."""
        kept.clear()
        await self._runtime.fire_timer(name, False)
        return kept.pop().as_dict() if kept else None

    async def turn(self, seconds: float) -> None:
        """Let time pass in which nobody was listening."""
        self.clock.offset += seconds

    async def listen(self, seconds: float) -> None:
        """Let time pass in which beats would have been heard."""
        while seconds > 0:
            self.clock.offset += min(seconds, AUDIBLE)
            seconds -= AUDIBLE
            await hearing.beat_canary()

    async def crash(self, point: str, calls: int) -> None:
        """Die at the n-th time that this point is met from now on."""
        fate.point, fate.calls = point, calls

    async def leases(self) -> list[Any]:
        """All leases that are not released."""
        page, after = await (await store.store.get()).page("", 1000)
        assert not after
        return [asdict(lease) for lease in page]

    async def events(self, tenant: str, user: str) -> list[Any]:
        return [asdict(event) for event in await (await store.store.get()).events(Owner(tenant, user))]


OBEY: dict[str, Callable[..., Awaitable[Any]]] = {
    "fire": ByHand.fire,
    "turn": ByHand.turn,
    "listen": ByHand.listen,
    "crash": ByHand.crash,
    "leases": ByHand.leases,
    "events": ByHand.events,
}
kept: list[Any] = []  # what a pass returned to the function that a timer fired


def keep(act: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(act)
    async def kept_too(*arguments: Any) -> Any:
        result = await act(*arguments)
        kept.append(result)
        return result

    return kept_too


def end_with_the_test() -> None:
    """A test process that dies leaves no server behind: its end of standard input closes."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--offset", type=float, default=0.0)
    options, rest = parser.parse_known_args()
    threading.Thread(target=end_with_the_test, daemon=True).start()
    clocks.clock = ByHand.clock = TurnedClock(options.offset)
    ByHand.path = options.control
    timers.Timers = ByHand  # type: ignore[misc]
    reaper.reap, reconcile.reconcile = keep(reaper.reap), keep(reconcile.reconcile)
    pool.refill = keep(pool.refill)
    watch(store.store, in_the_store)
    watch(cluster.cluster, on_the_cluster)
    watch(cluster.api, at_the_api)
    watch(issuing.authority, by_the_ca)
    return server.main(rest)


if __name__ == "__main__":
    sys.exit(main())
