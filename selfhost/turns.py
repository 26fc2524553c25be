"""Turns at this process's loop: so many at once, of one group its share; whoever waits does so in its group's queue.

A turn ends with what it was taken for, or once it is long: who is at it for longer waits for the
world, a cluster or a client, and the loop is free for others meanwhile. So few turns at once keep
each round of the loop short, and nobody who is slow keeps anybody from anything.

Not `shared.domain.starts`: there a place is held to the end, as what it stands for is the cluster's
work; here it costs every request its way through, so that it is a dictionary's entry and no more.
"""

import asyncio
import math
from collections import OrderedDict, defaultdict
from collections.abc import Hashable
from dataclasses import dataclass

CROWD = 64  # of one group who wait


@dataclass(frozen=True, slots=True)
class Rules:
    """`at_once` of all, of one group its `share`; `queue` of one may wait; after `long` seconds a turn counts no more.

    `round`: no more than so many begin in one round of the loop (0: any number). `contested`: a group's share
    while others come, too (0: the same), which is one while a crowd of it waits: each turn that is under way makes
    every round of the loop longer.
    """

    at_once: int
    share: int
    queue: int
    long: float
    round: int = 0
    contested: int = 0


class Contest:
    """Whether more than one group has come within the last second."""

    __slots__ = ("_group", "_until")

    def __init__(self) -> None:
        self._group, self._until = "", 0.0

    def came(self, group: str, now: float) -> None:
        if group != self._group:
            if self._group:
                self._until = now + 1.0
            self._group = group

    def goes_on(self, now: float) -> bool:
        return now < self._until


class Turns:
    """Groups that wait are called in turn, and each calls who came first.

    `crowded_out` counts whom a caller sent away because its group's queue was full.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._begun: dict[Hashable, tuple[float, str]] = {}  # in the order in which they began
        self._of: defaultdict[str, int] = defaultdict(int)  # how many turns a group has
        self._queues: OrderedDict[str, OrderedDict[Hashable, asyncio.Future[None]]] = OrderedDict()
        self._group: dict[Hashable, str] = {}  # of those who wait
        self._timer: asyncio.TimerHandle | None = None
        self._round = 0  # how many have begun in this round of the loop
        self._contest = Contest()
        self.crowded_out = 0

    @property
    def waiting(self) -> int:
        return len(self._group)

    def begin(self, who: Hashable, group: str) -> bool:
        """Take a turn, to be given back by `end`, if that needs no wait."""
        if group in self._queues:
            return False
        now = asyncio.get_running_loop().time()
        if not self._free(group, now):
            self._drop_long(now)
            if not self._free(group, now):
                return False
        self._take(who, group, now)
        return True

    def crowded(self, group: str) -> int:
        """0 if one more of that group may wait; otherwise in how many seconds its turn would come at the latest."""
        rules, waiting = self._rules, len(self._queues.get(group, ()))
        if waiting < rules.queue:
            return 0
        self.crowded_out += 1
        share = min(rules.contested or rules.share, rules.at_once / len(self._queues))
        return math.ceil(waiting * rules.long / share)

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
        self._drop(who)
        if self._queues:
            self._call()

    def _free(self, group: str, now: float) -> bool:
        share = self._rules.share
        if self._rules.contested and self._contest.goes_on(now):
            share = self._rules.contested if len(self._queues.get(group, ())) < CROWD else 1
        return self._any_free() and self._of.get(group, 0) < share

    def _any_free(self) -> bool:
        rules = self._rules
        return len(self._begun) < rules.at_once and (not rules.round or self._round < rules.round)

    def _take(self, who: Hashable, group: str, now: float) -> None:
        self._contest.came(group, now)
        self._begun[who] = now, group
        self._of[group] += 1
        if self._rules.round:
            if not self._round:
                asyncio.get_running_loop().call_soon(self._next_round)
            self._round += 1

    def _next_round(self) -> None:
        self._round = 0
        if self._queues:
            self._call()

    def _drop(self, who: Hashable) -> None:
        begun = self._begun.pop(who, None)
        if begun is not None:
            _, group = begun
            self._of[group] -= 1
            if not self._of[group]:
                del self._of[group]

    def _call(self) -> None:
        """Give the turns that are free, a group after the other; then see when the next is free at the latest."""
        loop = asyncio.get_running_loop()
        now, passed = loop.time(), 0
        while passed < len(self._queues) and self._any_free():
            group, queue = next(iter(self._queues.items()))
            if not self._free(group, now):
                self._queues.move_to_end(group)
                passed += 1
                continue
            passed = 0
            who, turn = queue.popitem(last=False)
            del self._group[who]
            if not queue:
                del self._queues[group]
            if turn.cancelled():
                continue  # it gave up, and has not come to say so
            if queue:
                self._queues.move_to_end(group)
            self._take(who, group, now)
            turn.set_result(None)
        if self._queues and self._begun and self._timer is None:
            oldest, _ = next(iter(self._begun.values()))
            self._timer = loop.call_at(oldest + self._rules.long, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._queues:
            self._drop_long(asyncio.get_running_loop().time())
            self._call()

    def _drop_long(self, now: float) -> None:
        while self._begun:
            who, (began, _) = next(iter(self._begun.items()))
            if now - began < self._rules.long:
                return
            self._drop(who)
