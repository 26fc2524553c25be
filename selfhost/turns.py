"""Turns at this process's loop: so many at once, and whoever waits does so in its own group's queue.

A turn ends with what it was taken for, or once it is long: who is at it for longer waits for the
world, a cluster or a client, and the loop is free for others meanwhile. So few turns at once keep
each round of the loop short, and nobody who is slow keeps anybody from anything.

Not `shared.domain.starts`: there a place is held to the end, as what it stands for is the cluster's
work; here it costs every request its way through, so that it is a dictionary's entry and no more.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Hashable


class Turns:
    """Groups that wait are called in turn, and each calls who came first.

    `crowded_out` counts whom a caller sent away because its group's queue was full.
    """

    def __init__(self, at_once: int, queue: int, long: float) -> None:
        """`queue`: how many of one group may wait; `long`: seconds after which a turn counts no more."""
        self._at_once, self._queue, self._long = at_once, queue, long
        self._begun: dict[Hashable, float] = {}  # in the order in which they began
        self._queues: OrderedDict[str, OrderedDict[Hashable, asyncio.Future[None]]] = OrderedDict()
        self._group: dict[Hashable, str] = {}  # of those who wait
        self._timer: asyncio.TimerHandle | None = None
        self.crowded_out = 0

    @property
    def waiting(self) -> int:
        return len(self._group)

    def begin(self, who: Hashable) -> bool:
        """Take a turn, to be given back by `end`, if that needs no wait."""
        if self._queues:
            return False
        now = asyncio.get_running_loop().time()
        if len(self._begun) >= self._at_once:
            self._drop_long(now)
            if len(self._begun) >= self._at_once:
                return False
        self._begun[who] = now
        return True

    def crowded(self, group: str) -> int:
        """0 if one more of that group may wait; otherwise in how many seconds its turn would come at the latest."""
        waiting = len(self._queues.get(group, ()))
        if waiting < self._queue:
            return 0
        self.crowded_out += 1
        return math.ceil(waiting * len(self._queues) * self._long / self._at_once)

    async def wait(self, who: Hashable, group: str) -> None:
        """Take a turn when it comes. Raises CancelledError, too, for who has left meanwhile."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(group, OrderedDict())[who] = turn
        self._group[who] = group
        self._call()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.end(who)  # its turn came just when it gave up
            else:
                self.leave(who)
            raise

    def leave(self, who: Hashable) -> None:
        """Who waits does so no more; of anybody else nothing is changed."""
        group = self._group.pop(who, None)
        if group is None:
            return
        queue = self._queues[group]
        queue.pop(who).cancel()
        if not queue:
            del self._queues[group]

    def end(self, who: Hashable) -> None:
        """The turn is over, unless it was already."""
        self._begun.pop(who, None)
        if self._queues:
            self._call()

    def _call(self) -> None:
        """Give the turns that are free, a group after the other; then see when the next is free at the latest."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._queues and len(self._begun) < self._at_once:
            group, queue = next(iter(self._queues.items()))
            who, turn = queue.popitem(last=False)
            del self._group[who]
            if not queue:
                del self._queues[group]
            if turn.cancelled():
                continue  # it gave up, and has not come to say so
            if queue:
                self._queues.move_to_end(group)
            self._begun[who] = now
            turn.set_result(None)
        if self._queues and self._timer is None:
            self._timer = loop.call_at(next(iter(self._begun.values())) + self._long, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._queues:
            self._drop_long(asyncio.get_running_loop().time())
            self._call()

    def _drop_long(self, now: float) -> None:
        while self._begun:
            who, began = next(iter(self._begun.items()))
            if now - began < self._long:
                return
            del self._begun[who]
