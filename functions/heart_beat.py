"""GET /api/heart_beat: the notebook plugin says that its kernel is alive."""

from datetime import datetime

import azure.functions as func

from shared.domain.beats import heart_beat as beat_of
from shared.domain.beats import warning
from shared.domain.identity import Principal
from shared.domain.instants import utc_if_any
from shared.edge.web import Answer, Asked, endpoint
from shared.wiring import beats, callers, clocks

bp = func.Blueprint()


class HeartBeat(Asked):
    user_id: str = ""


class LeaseStatus(Answer):
    """`renewed` is the acknowledgement; `state` is the lease's, "none" or "unknown".

    `expires_at`: not before that it is taken away if nothing more is heard; left out where nothing is foreseen.
    """

    message: str
    renewed: bool
    state: str
    expires_at: datetime | None
    warning: str | None


@bp.function_name("heart_beat")
@bp.route("api/heart_beat", methods=["GET"])
@endpoint(callers.identify_beat, query=HeartBeat)
async def heart_beat(caller: Principal, asked: HeartBeat) -> LeaseStatus:
    """Answers 200 to every caller we know, whatever became of the beat."""
    beat = await beat_of(beats.recent, beats.write, caller, asked.user_id)
    return LeaseStatus(
        message=f"hello {asked.user_id}",
        renewed=beat.renewed,
        state=beat.state,
        expires_at=utc_if_any(beat.expires_at),
        warning=warning(beat, clocks.clock.now()),
    )
