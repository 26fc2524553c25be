"""Timer: compares what the cluster has with what the store says."""

import logging

import azure.functions as func

from shared.domain.reconcile import reconcile
from shared.edge import observing
from shared.wiring import schedules
from shared.wiring.control import control
from shared.wiring.hearing import hearing

bp = func.Blueprint()
log = logging.getLogger("playground.reconcile")


@bp.function_name("reconcile_cluster")
@bp.timer_trigger("timer", schedule=schedules.reconcile, use_monitor=False)
@observing.fired
async def reconcile_cluster(timer: func.TimerRequest) -> None:
    """One pass in both directions."""
    compared = await reconcile(await control.get(), await hearing())
    found = compared.orphans or compared.missing
    log.log(logging.INFO if found else logging.DEBUG, "reconciled: %s", compared.as_dict())
