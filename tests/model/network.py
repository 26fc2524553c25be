"""What lies between a process and a server: requests that come late, never, or twice.

A call through a `Wire` becomes a `Request` that waits on the network until somebody delivers it.
The caller may be gone by then, crashed or out of patience: the request arrives all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Request:
    """One call under way, from the process `sender` to a server, since `sent_at` by the loop's clock."""

    sender: str
    to: str
    name: str
    call: Callable[[], Awaitable[Any]]
    answer: asyncio.Future[Any] = field(repr=False)
    sent_at: float

    @property
    def awaited(self) -> bool:
        return not self.answer.done()


class Network:
    """The requests under way, in the order they were sent. With `calm`, each is delivered at once."""

    def __init__(self) -> None:
        self.under_way: list[Request] = []
        self.calm = False

    async def send(self, sender: str, to: str, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.calm:
            return await call()
        loop = asyncio.get_running_loop()
        request = Request(sender, to, name, call, loop.create_future(), loop.time())
        self.under_way.append(request)
        return await request.answer

    async def deliver(self, request: Request, *, lose_answer: Exception | None = None, again: bool = False) -> None:
        """Let the server act on a request; then answer, or let the answer be lost."""
        if not again:
            self.under_way.remove(request)
        try:
            result = await request.call()
        except Exception as error:
            if not again and request.awaited:
                request.answer.set_exception(lose_answer or error)
            return
        if again or not request.awaited:
            return
        if lose_answer:
            request.answer.set_exception(lose_answer)
        else:
            request.answer.set_result(result)

    def drop(self, request: Request, error: Exception) -> None:
        """The server never hears of it; the caller learns that it knows nothing."""
        self.under_way.remove(request)
        if request.awaited:
            request.answer.set_exception(error)


class Wire:
    """A server as one process sees it: its methods, which are coroutines, go over the network."""

    def __init__(self, server: Any, network: Network, sender: str, to: str, direct: frozenset[str] = frozenset()):
        self._server, self._network, self._sender, self._to, self._direct = server, network, sender, to, direct

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._server, name)
        if name in self._direct or not callable(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            what = f"{name} {args[0] if args and isinstance(args[0], str) else _kind(args)}"
            return await self._network.send(self._sender, self._to, what, lambda: method(*args, **kwargs))

        return call


def _kind(args: tuple[Any, ...]) -> str:
    first = args[0] if args else ""
    if isinstance(first, dict):
        return f"{first.get('kind')} replicas={first.get('spec', {}).get('replicas')}"
    return str(getattr(first, "state", ""))
