"""Timer: makes the spare databases that are missing, and lets go of those that nobody wants."""

import logging

import azure.functions as func

from shared.domain.pool import refill
from shared.edge import observing
from shared.wiring import schedules
from shared.wiring.control import control

bp = func.Blueprint()
log = logging.getLogger("playground.pool")


@bp.function_name("refill_pool")
@bp.timer_trigger("timer", schedule=schedules.refill, use_monitor=False)
@observing.fired
async def refill_pool(timer: func.TimerRequest) -> None:
    """One pass; where there is to be no pool it costs one query."""
    done = await refill(await control.get())
    log.log(logging.INFO if done.begun or done.failed else logging.DEBUG, "pool: %s", done.as_dict())
