"""Timer: looks at every lease that is due."""

import logging

import azure.functions as func

from shared.domain import reaper
from shared.edge import observing
from shared.wiring import schedules
from shared.wiring.control import control
from shared.wiring.hearing import hearing

bp = func.Blueprint()
log = logging.getLogger("playground.reaper")


@bp.function_name("reap_leases")
@bp.timer_trigger("timer", schedule=schedules.reap, use_monitor=False)
@observing.fired
async def reap_leases(timer: func.TimerRequest) -> None:
    """One pass. Two at once are harmless, so it needs no singleton."""
    counts = await reaper.reap(await control.get(), await hearing())
    log.log(logging.INFO if counts.due else logging.DEBUG, "pass: %s", counts.as_dict())
