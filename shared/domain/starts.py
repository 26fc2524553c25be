"""Places for databases that are being started: so many at once, and every tenant its share of them."""

import asyncio
import math
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.domain.errors import TooMany
from shared.domain.leases import Owner

type Turn = asyncio.Future[None]

USUAL = 3.0  # seconds that a start takes as long as none was seen
LEARNED = 0.2  # how much of what is known about that the last start decides


@dataclass(frozen=True, slots=True)
class Places:
    """How many starts one process has in flight at once: of all tenants, and of one (0: any number)."""

    total: int = 0
    tenant: int = 0


class Starts:
    """Who waits for a place waits in its tenant's queue; places go to the tenants in turn.

    All who wait for one owner's database share a place. Who would have to wait for longer than it can
    is told at once, and when it will be its turn, by what is ahead of it and by how long starts take.
    """

    def __init__(self, places: Places = Places()):
        self._places = places
        self._taken: dict[Owner, int] = {}  # how many callers are in an owner's place
        self._of: dict[str, int] = defaultdict(int)  # places that a tenant has
        self._queues: OrderedDict[str, OrderedDict[Owner, list[Turn]]] = OrderedDict()
        self._takes = USUAL

    @asynccontextmanager
    async def place(self, owner: Owner, patience: float) -> AsyncIterator[None]:
        """Have a place, waiting `patience` seconds for it at most. Raises TooMany."""
        await self._enter(owner, patience)
        began = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            took = asyncio.get_running_loop().time() - began
            self._takes += LEARNED * (took - self._takes)
            self._leave(owner)

    async def _enter(self, owner: Owner, patience: float) -> None:
        if owner in self._taken or (owner.tenant not in self._queues and self._free(owner.tenant)):
            self._take(owner)
            return
        wait = self._wait(owner)
        if wait > patience:
            raise TooMany("too many databases are being started just now", retry_after=math.ceil(wait))
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner.tenant, OrderedDict()).setdefault(owner, []).append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave(owner)  # its turn came just when it gave up
            else:
                self._forget(owner, turn)
            if isinstance(error, TimeoutError):
                wait = self._wait(owner)
                raise TooMany("too many databases are being started just now", retry_after=math.ceil(wait)) from None
            raise

    def _wait(self, owner: Owner) -> float:
        """Seconds until whoever comes now has its turn."""
        places, tenant, queue = self._places, owner.tenant, self._queues.get(owner.tenant, ())
        ahead = len(queue) + (owner not in queue)
        waits = [self._takes * ahead / places.tenant] if places.tenant else []
        if places.total:
            share = places.total / (len(self._queues) + (tenant not in self._queues))
            waits.append(self._takes * ahead / share)
        return max(waits, default=0.0)

    def _free(self, tenant: str) -> bool:
        places = self._places
        return (not places.total or len(self._taken) < places.total) and (
            not places.tenant or self._of[tenant] < places.tenant
        )

    def _take(self, owner: Owner) -> None:
        if owner not in self._taken:
            self._taken[owner] = 0
            self._of[owner.tenant] += 1
        self._taken[owner] += 1

    def _leave(self, owner: Owner) -> None:
        self._taken[owner] -= 1
        if not self._taken[owner]:
            del self._taken[owner]
            self._of[owner.tenant] -= 1
            if not self._of[owner.tenant]:
                del self._of[owner.tenant]
        self._call()

    def _call(self) -> None:
        """Give the places that are free to those whose turn it is, a tenant after the other."""
        refused = 0
        while self._queues and refused < len(self._queues):
            tenant, queue = next(iter(self._queues.items()))
            owner, turns = next(iter(queue.items()))
            waiting = [turn for turn in turns if not turn.cancelled()]  # others gave up, and have not come to say so
            if waiting and not self._free(tenant):
                self._queues.move_to_end(tenant)
                refused += 1
                continue
            refused = 0
            del queue[owner]
            for turn in waiting:
                self._take(owner)
                turn.set_result(None)
            if queue:
                self._queues.move_to_end(tenant)
            else:
                del self._queues[tenant]

    def _forget(self, owner: Owner, turn: Turn) -> None:
        queue = self._queues.get(owner.tenant)
        if queue is None or turn not in queue.get(owner, ()):
            return  # whoever gave places away has thrown it out
        queue[owner].remove(turn)
        if not queue[owner]:
            del queue[owner]
        if not queue:
            del self._queues[owner.tenant]
