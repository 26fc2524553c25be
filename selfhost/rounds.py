"""What clients have sent is read a little a round of the loop, and of every tenant in turn.

To parse and begin a request is a tenth of a millisecond of the loop, and all whose bytes came together would be
at it in one round: a thousand requests of one tenant at one instant kept everybody else waiting for a tenth of
a second. So a round reads few, and who had to wait is read in the next ones.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol

from selfhost.turns import CROWD, Contest

ALONE = 8  # reads a round while one tenant comes
CONTESTED, FRESH = 1, 2  # while others do, too: of those who wait, and of tenants of whom nobody does
# After so many reads of a crowd the loop rests for so many seconds, where others come, too: what they ask for is
# read by a thread and written by a process, and both need a core and the interpreter that a crowd would take whole.
BREATH, REST = 4, 0.001
LITTLE = 4096  # bytes: who has sent more that waits is not listened to meanwhile


class Reader(Protocol):
    """Somebody whose bytes can wait."""

    tenant: str

    def read(self, data: bytes) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Rounds:
    """`waiting` of them have sent what was not read yet; each holds `LITTLE` and one piece at most."""

    def __init__(self) -> None:
        self._left = ALONE  # of this round
        self._fresh = 0  # more of this round, for tenants of whom nobody waits
        self._crowd = 0  # reads of a crowd since the last rest
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
        if self._fresh > 0 and reader.tenant not in self._queues:
            self._fresh -= 1
            reader.read(data)
            return
        queue = self._queues.setdefault(reader.tenant, OrderedDict())
        before = queue.get(reader, b"")
        queue[reader] = before + data
        if len(before) <= LITTLE < len(before) + len(data):
            reader.pause()

    def leave(self, reader: Reader) -> None:
        """It is gone, and so is what it has sent."""
        queue = self._queues.get(reader.tenant)
        if queue is not None and queue.pop(reader, None) is not None and not queue:
            del self._queues[reader.tenant]

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._begun = True
        contested = self._contest.goes_on(loop.time())
        self._left, self._fresh = (CONTESTED, FRESH) if contested else (ALONE, 0)
        if contested and self._crowd >= BREATH:
            self._crowd = 0
            loop.call_later(REST, self._next)
        else:
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
            self._crowd += len(queue) >= CROWD
            if len(data) > LITTLE:
                reader.resume()
            reader.read(data)
