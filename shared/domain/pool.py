"""Keeping so many spares ready: whoever's timer fires makes what is missing, and lets go what nobody wants."""

import asyncio
import logging
from dataclasses import asdict, dataclass, replace

from shared.domain import adoption, databases
from shared.domain.control import Control
from shared.domain.errors import Conflict, Fenced, PlaygroundError
from shared.domain.leases import SPARES, Lease, State
from shared.domain.lifecycle import Seen
from shared.domain.look import carry_on, look
from shared.domain.policy import MINUTE
from shared.ports import metrics

log = logging.getLogger("playground.pool")

ACTOR = "pool"
TOGETHER = 4  # spares that are made at once; whoever asks for a database comes first
# How long a spare stays that this server does not want. While a release takes another one's place both fill the
# pool, each as it is told, and without this each would undo at every pass what the other has just made.
LEFT_ALONE = 2 * MINUTE


@dataclass(slots=True)
class Refilled:
    """What a pass did. `ready` of the spares were free when it began."""

    ready: int = 0
    begun: int = 0
    looked_at: int = 0
    failed: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


async def refill(control: Control) -> Refilled:
    """One pass over the pool. Two at once are harmless: a slot is taken by one of them.

    Raises StoreUnavailable if the pool cannot be read.
    """
    done, together = Refilled(), asyncio.Semaphore(TOGETHER)
    spares, _ = await control.leases.of(SPARES, "", adoption.MOST)
    there = {spare.id for spare in spares}
    missing = [id for id in map(adoption.slot_id, range(control.pool.size)) if id not in there]
    done.ready = sum(adoption.is_free(control, spare) for spare in spares)

    async def one(spare: Lease | str) -> None:
        async with together:
            await (_begin(control, spare, done) if isinstance(spare, str) else _look(control, spare, done))

    wanted: list[Lease | str] = [*missing, *(spare for spare in spares if _wants(control, spare))]
    await asyncio.gather(*map(one, wanted))
    for which, number in (("ready", done.ready), ("wanted", control.pool.size)):
        control.telemetry.tell(metrics.SPARES, number, which)
    for what, number in (("begun", done.begun), ("failed", done.failed)):
        control.telemetry.tell(metrics.REFILLED, number, what)
    return done


def _wants(control: Control, spare: Lease) -> bool:
    """Whether somebody should look at it now, and not when it is due."""
    now = control.clock.now()
    stands = spare.state is State.RUNNING and not spare.adopter and now - spare.since >= LEFT_ALONE
    unwanted = stands and adoption.surplus(control.pool, spare) != ""
    return spare.due_at <= now or unwanted or spare.state is State.FAILED


async def _begin(control: Control, id: str, done: Refilled) -> None:
    """A new life in a spare's slot, watched until it is ready."""
    deadline = asyncio.get_running_loop().time() + control.policy.act
    try:
        before = await control.leases.get(SPARES, id)
        if before is not None and before.state is not State.RELEASED:
            return  # another pass was faster
        now = control.clock.now()
        made = databases.new_life(control, SPARES, before, now, now + control.policy.claim, id)
        made = replace(made, template=control.pool.template, reason="the pool is not full")
        written = await databases.begin(control.leases, before, made, now, ACTOR)
        done.begun += 1
        looked = await carry_on(control, written, Seen(), ACTOR, deadline, wait=True)
        done.failed += bool(looked.failure)
    except (Conflict, Fenced):
        return
    except PlaygroundError as error:
        done.failed += 1
        log.warning("%s cannot be made: %s", id, error)
    except Exception:  # a bug in one must not end the pass for the others
        done.failed += 1
        log.exception("%s cannot be made", id)


async def _look(control: Control, spare: Lease, done: Refilled) -> None:
    try:
        done.looked_at += 1
        looked = await look(control, spare, ACTOR, wait=True)
        done.failed += bool(looked.failure)
    except (Conflict, Fenced):
        return
    except PlaygroundError as error:
        done.failed += 1
        log.warning("look at %s failed: %s", spare.id, error)
    except Exception:
        done.failed += 1
        log.exception("look at %s failed", spare.id)
