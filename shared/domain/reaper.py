"""The reaper: looks at what is due. Its cost grows with what is due, never with what exists."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from shared.domain.control import Control
from shared.domain.errors import Conflict, Fenced, PlaygroundError
from shared.domain.hearing import Hearing
from shared.domain.leases import Lease, State
from shared.domain.lifecycle import Step, decide
from shared.domain.look import look, observe
from shared.ports import metrics

log = logging.getLogger("playground.reaper")

BATCH = 200  # leases read at once
TOGETHER = 32  # looks in flight


@dataclass(slots=True)
class Counts:
    """What a pass did.

    `archived`: seen to be stored, and to be deleted next. `late` is how overdue the longest overdue lease was,
    in seconds.
    """

    due: int = 0
    kept: int = 0
    started: int = 0
    hibernated: int = 0
    archived: int = 0
    deleted: int = 0
    released: int = 0
    lost: int = 0  # to somebody who was first
    failed: int = 0
    late: float = 0.0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


async def reap(control: Control, hearing: Hearing, *, seconds: float = 50.0) -> Counts:
    """One pass: look at every lease that is due, a failing one never stopping the others.

    Begins no further batch after `seconds`; what is left is due at the next pass. Raises
    StoreUnavailable only if the due leases cannot be read at all.
    """
    counts, began = Counts(), control.clock.monotonic()
    start = control.clock.now()
    together = asyncio.Semaphore(TOGETHER)
    seen: set[tuple[str, str, int]] = set()

    async def one(lease: Lease) -> None:
        async with together:
            await _look(control, lease, hearing, counts)

    while control.clock.monotonic() - began < seconds:
        due = await control.leases.due(start, BATCH)
        fresh = [lease for lease in due if (lease.owner.key, lease.id, lease.step) not in seen]
        seen.update((lease.owner.key, lease.id, lease.step) for lease in fresh)
        if not fresh:
            break
        counts.due += len(fresh)
        counts.late = max(counts.late, start - min(lease.due_at for lease in fresh))
        await asyncio.gather(*map(one, fresh))
    control.telemetry.tell(metrics.DUE, counts.due)
    control.telemetry.tell(metrics.LATE, counts.late)
    return counts


async def _look(control: Control, lease: Lease, hearing: Hearing, counts: Counts) -> None:
    try:
        looked = await look(control, lease, "reaper", hearing=hearing)
    except (Conflict, Fenced):
        counts.lost += 1
        return
    except PlaygroundError as error:
        counts.failed += 1
        log.warning("look at %s of %s failed: %s", lease.id, lease.owner.key, error)
        return
    except Exception:  # a bug in one look must not end the pass for everybody else
        counts.failed += 1
        log.exception("look at %s of %s failed", lease.id, lease.owner.key)
        return
    after = looked.lease.state
    if looked.failure:
        counts.failed += 1
    elif after is looked.before:
        counts.kept += 1
    elif after is State.HIBERNATING or (after is State.HIBERNATED and looked.before is not State.HIBERNATING):
        counts.hibernated += 1
    elif after is State.DELETING and looked.before is State.ARCHIVING:
        counts.archived += 1
    elif after is State.DELETING:
        counts.deleted += 1
    elif after is State.RELEASED:
        counts.released += 1
    elif after in (State.RUNNING, State.WAKING):
        counts.started += 1
    else:
        counts.kept += 1


async def rehearse(control: Control, hearing: Hearing) -> AsyncIterator[tuple[Lease, Step]]:
    """What a pass would do now, and why, without claiming or touching anything."""
    now = control.clock.now()
    for lease in await control.leases.due(now, 10 * BATCH):
        deadline = asyncio.get_running_loop().time() + control.policy.act
        seen = await observe(control, lease, deadline, hearing=hearing, thorough=lease.look_by <= now)
        yield lease, decide(lease, seen, now, control.policy)
