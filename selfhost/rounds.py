"""What clients have sent is read a little a round of the loop, and of every tenant in turn.

To parse and begin a request is a tenth of a millisecond of the loop, and all whose bytes came together would be
at it in one round: a thousand requests of one tenant at one instant kept everybody else waiting for a tenth of
a second. So a round reads few, and who had to wait is read in the next ones.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol

from selfhost.turns import Contest

ALONE, CONTESTED = 8, 1  # reads a round, while one tenant comes, and while others do, too


class Reader(Protocol):
    """Somebody whose bytes can wait."""

    tenant: str

    def read(self, data: bytes) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Rounds:
    """`waiting` of them have sent what was not read yet; they are not listened to meanwhile, so each holds little."""

    def __init__(self) -> None:
        self._left = ALONE  # of this round
        self._begun = False  # whether this round has read anything: then another one follows
        self._contest = Contest()
        self._queues: OrderedDict[str, OrderedDict[Reader, bytes]] = OrderedDict()  # by tenant

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def arrived(self, reader: Reader, data: bytes) -> None:
        """Have it read these bytes: now, or when its tenant's turn comes."""
        loop = asyncio.get_running_loop()
        self._contest.came(reader.tenant, loop.time())
        if not self._begun:
            self._begin(loop)
        if self._left > 0 and not self._queues:
            self._left -= 1
            reader.read(data)
            return
        queue = self._queues.setdefault(reader.tenant, OrderedDict())
        if reader not in queue:
            reader.pause()
        queue[reader] = queue.get(reader, b"") + data

    def leave(self, reader: Reader) -> None:
        """It is gone, and so is what it has sent."""
        queue = self._queues.get(reader.tenant)
        if queue is not None and queue.pop(reader, None) is not None and not queue:
            del self._queues[reader.tenant]

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = True
        self._left = CONTESTED if self._contest.goes_on(loop.time()) else ALONE
        loop.call_soon(self._next)

    def _next(self) -> None:
        """The next round: first those who wait, a tenant after the other."""
        self._begun = False
        if self._queues:
            self._begin(asyncio.get_running_loop())
        while self._queues and self._left > 0:
            self._left -= 1
            tenant, queue = self._queues.popitem(last=False)
            reader, data = queue.popitem(last=False)
            if queue:
                self._queues[tenant] = queue  # behind the others
            reader.resume()
            reader.read(data)
