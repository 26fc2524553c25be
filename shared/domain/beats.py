"""What one process remembers of the beats it answered, so that a storm of them costs no store."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from shared.domain.databases import NONE, Beat
from shared.domain.errors import InvalidRequest, NotFound
from shared.domain.identity import Principal
from shared.domain.leases import Owner
from shared.domain.policy import MINUTE, PLUGIN_INTERVAL
from shared.ports.clock import Clock

DURABLE = 30.0  # seconds a renewed beat may be repeated without another write
OTHER = 2.0  # seconds any other answer may be repeated
OWNERS = 100_000  # remembered at most; beyond it the oldest are forgotten, which costs a write each


class RecentBeats:
    """Answers by owner, on the monotonic clock; callers that come together share one write.

    They are kept as plain tuples of plain values, which the garbage collector need not follow: a
    full collection over 100,000 owners and their beats stopped everybody for 0.1 s.
    """

    def __init__(self, clock: Clock):
        self._clock = clock
        self._answers: OrderedDict[tuple[str, str], tuple[float, bool, str, float | None]] = OrderedDict()
        self._writing: dict[Owner, asyncio.Task[Beat]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def answer(self, owner: Owner, write: Callable[[], Awaitable[Beat]]) -> Beat:
        """The answer to a beat: a remembered one while it holds, otherwise what `write` returns."""
        remembered = self._answers.get((owner.tenant, owner.user))
        if remembered is not None and self._clock.monotonic() < remembered[0]:
            return Beat(*remembered[1:])
        writing = self._writing.get(owner)
        if writing is None:
            writing = self._writing[owner] = asyncio.ensure_future(self._write(owner, write))
        return await asyncio.shield(writing)  # one caller's hanging up does not undo the others' beat

    async def _write(self, owner: Owner, write: Callable[[], Awaitable[Beat]]) -> Beat:
        began = self._clock.monotonic()
        try:
            beat = await write()
            self._remember(owner, began + (DURABLE if beat.renewed else OTHER), beat)
            return beat
        finally:
            del self._writing[owner]

    def _remember(self, owner: Owner, until: float, beat: Beat) -> None:
        answers, key = self._answers, (owner.tenant, owner.user)
        answers.pop(key, None)
        while answers and (len(answers) >= OWNERS or next(iter(answers.values()))[0] <= self._clock.monotonic()):
            answers.popitem(last=False)
        answers[key] = (until, beat.renewed, str(beat.state), beat.expires_at)


def warning(beat: Beat, now: float) -> str | None:
    """A sentence where less than two plugin intervals are left: the next beat may come too late."""
    if beat.expires_at is None or beat.expires_at - now >= 2 * PLUGIN_INTERVAL:
        return None
    if beat.expires_at <= now:
        return "this database is being taken away"
    return f"this database is taken away in {math.ceil((beat.expires_at - now) / MINUTE)} min unless it is used"


async def heart_beat(
    recent: RecentBeats, write: Callable[[Owner], Awaitable[Beat]], caller: Principal, user_id: str
) -> Beat:
    """The answer to `caller`'s beat for `user_id`; never an error, or the plugin would storm us.

    An id that no database can have, or that is not the caller's to name, has no lease.
    """
    try:
        owner = caller.acting_for(user_id)
    except (InvalidRequest, NotFound):
        return NONE
    return await recent.answer(owner, lambda: write(owner))
