"""Who counts what this process refuses."""

from collections.abc import Sequence

from shared.domain.leases import Event
from shared.domain.refusals import Refusal, Refusals
from shared.wiring import clocks
from shared.wiring.store import store

_counting: Refusals | None = None


def count(refusal: Refusal, trace: str) -> None:
    """One more; needs a running loop, opens the store a minute later at the earliest."""
    global _counting
    if _counting is None:
        _counting = Refusals(_add, clocks.clock)
    _counting.count(refusal, trace)


async def close() -> None:
    """Write what is left. Raises StoreUnavailable."""
    global _counting
    counting, _counting = _counting, None
    if counting is not None:
        await counting.close()


async def _add(events: Sequence[Event]) -> None:
    await (await store.get()).add(events)
