"""What a world of certificates is made of: processes, and a store and a CA as their adapters have them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.domain.enrolment import Issuing
from shared.domain.errors import PlaygroundError
from shared.domain.holders import Holder
from shared.domain.revocations import Revocations
from tests.doubles.memory import MemoryStore
from tests.model.network import Wire
from tests.model.watched import Member, WorldClock

if TYPE_CHECKING:
    from tests.model.registry import Registry


@dataclass
class Clerk(Member):
    """One instance of the control plane. `failing`: its last read of what is revoked came to nothing; `reading_at`:
    since when one is under way.
    """

    clock: WorldClock
    issuing: Issuing
    revocations: Revocations = field(init=False)
    failing: bool = False
    reading_at: float | None = None


@dataclass
class Token:
    """As its invitee has it, with what was asked for with it."""

    text: str = field(repr=False)
    keys: set[bytes] = field(default_factory=set)


class Patient:
    """What is asked over the network as its adapters do it: who is not answered in `seconds`, is told so."""

    def __init__(self, wire: Wire, seconds: float, error: type[PlaygroundError], away: Callable[[], bool]):
        self._wire, self._seconds, self._error, self._away = wire, seconds, error, away

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._wire, name)
        if not callable(method):
            return method

        async def call(*args: Any) -> Any:
            if self._away():
                raise self._error("it is away")
            try:
                async with asyncio.timeout(self._seconds):
                    return await method(*args)
            except TimeoutError:
                raise self._error("no answer in time") from None

        return call


class WatchedHolders(MemoryStore):
    """The store, telling the world of every write."""

    def __init__(self, world: "Registry"):
        super().__init__(clock=world.clock)
        keep = self.keep

        async def told(holder: Holder, *rest: Any) -> Holder:
            kept = await keep(holder, *rest)
            world.witness(world.kept, kept)
            return kept

        self.keep = told
