"""GET /api/heart_beat: the notebook plugin says that its kernel is alive."""

import azure.functions as func

from shared.domain.beats import heart_beat as beat_of
from shared.domain.identity import Principal
from shared.edge.web import Answer, Asked, endpoint
from shared.wiring import beats, callers

bp = func.Blueprint()


class HeartBeat(Asked):
    user_id: str = ""


class LeaseStatus(Answer):
    """`renewed` is the acknowledgement; `state` is the lease's, "none" or "unknown"."""

    message: str
    renewed: bool
    state: str


@bp.function_name("heart_beat")
@bp.route("api/heart_beat", methods=["GET"])
@endpoint(callers.identify, query=HeartBeat)
async def heart_beat(caller: Principal, asked: HeartBeat) -> LeaseStatus:
    """Answers 200 to every caller we know, whatever became of the beat."""
    beat = await beat_of(beats.recent, beats.write, caller, asked.user_id)
    return LeaseStatus(message=f"hello {asked.user_id}", renewed=beat.renewed, state=beat.state)
