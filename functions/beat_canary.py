"""Timer: beats through the public address, so that we know when we could not be heard."""

import azure.functions as func

from shared.edge import observing
from shared.wiring import hearing, schedules

bp = func.Blueprint()


@bp.function_name("beat_canary")
@bp.timer_trigger("timer", schedule=schedules.canary, use_monitor=False)
@observing.fired
async def beat_canary(timer: func.TimerRequest) -> None:
    """One beat; a beat that is not answered writes nothing, and so becomes a gap."""
    await hearing.beat_canary()
