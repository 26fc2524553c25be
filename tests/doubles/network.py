"""A network between a client and an API server that delays, loses and repeats what it is told to.

`gate(request)` is awaited before and after every request (`request.moment`). By waiting there a test
delays a request; by what it returns it says what the network does to it (`Fate`). What the network
holds back lies in `late` until `deliver()` brings it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal

from shared.adapters.k8s.api import AlreadyExists, ObjectConflict, ObjectGone
from shared.domain.errors import ClusterRefused, ClusterUnavailable


class Fate(Enum):
    """What the network does to a request."""

    PASS = "pass"
    LOST = "never arrives; its sender sees a time-out"
    LATE = "its sender sees a time-out, and then it arrives (at `deliver`)"
    UNANSWERED = "is carried out; the answer is lost"
    REPEATED = "is carried out and answered, and arrives once more (at `deliver`)"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the gate sees it; `number` counts them."""

    number: int
    verb: str
    kind: str
    name: str
    moment: Literal["before", "after"] = "before"

    @property
    def writes(self) -> bool:
        return self.verb in ("create", "replace", "delete")


type Gate = Callable[[Request], Awaitable[Fate | None]]


async def open_gate(request: Request) -> Fate | None:
    return None


@dataclass(frozen=True, slots=True)
class Late:
    """A request that the network still holds."""

    request: Request
    apply: Callable[[], Any]


class Network:
    """Carries requests; `requests` has them all in order."""

    def __init__(self, gate: Gate):
        self.gate = gate
        self.late: list[Late] = []
        self.requests: list[Request] = []
        self._arrival = asyncio.Event()

    async def asked(self, verb: str, times: int = 1) -> None:
        """Wait until so many requests of a verb were sent."""
        while sum(request.verb == verb for request in self.requests) < times:
            self._arrival.clear()
            await self._arrival.wait()

    async def changed(self) -> None:
        """Called after a request was carried out."""

    async def through(self, verb: str, kind: str, name: str, apply: Callable[[], Any]) -> Any:
        request = Request(len(self.requests), verb, kind, name)
        self.requests.append(request)
        self._arrival.set()
        fate = await self.gate(request)
        if fate is Fate.LOST:
            raise ClusterUnavailable("the request was lost")
        if fate is Fate.LATE:
            self.late.append(Late(request, apply))
            raise ClusterUnavailable("no answer in time")
        try:
            return apply()
        finally:
            if fate is Fate.REPEATED:
                self.late.append(Late(request, apply))
            await self.changed()
            answer = await self.gate(replace(request, moment="after"))
            if Fate.UNANSWERED in (fate, answer):
                raise ClusterUnavailable("the answer was lost")

    async def deliver(self, index: int = 0) -> Any:
        """Bring a request that the network held back; returns what nobody hears: answer or error."""
        held = self.late.pop(index)
        try:
            answer = held.apply()
        except (AlreadyExists, ObjectConflict, ObjectGone, ClusterRefused) as error:
            answer = error
        await self.changed()
        return answer
