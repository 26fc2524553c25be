"""Queue: one lease is looked at now, because somebody used it."""

import azure.functions as func

from shared.domain.look import look_now
from shared.edge import observing
from shared.edge.messages import parse
from shared.wiring import schedules
from shared.wiring.control import control

bp = func.Blueprint()


@bp.function_name("look_at_lease")
@bp.queue_trigger("message", queue_name=schedules.looks_queue, connection="PLAYGROUND_LOOKS_STORAGE")
@observing.fired
async def look_at_lease(message: func.QueueMessage) -> None:
    """A message that names no lease is an error, and after five tries poison."""
    owner, id = parse(message.get_body())
    await look_now(await control.get(), owner, id)
