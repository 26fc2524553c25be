"""DELETE /api/certificates/{serial}: a certificate, and all that was renewed from it, counts no more."""

import azure.functions as func

from shared.domain import enrolment
from shared.domain.identity import Principal
from shared.edge.issued import CertificateAnswer
from shared.edge.names import UserIdIfAny
from shared.edge.web import Asked, endpoint
from shared.wiring import callers, clocks
from shared.wiring.store import store

bp = func.Blueprint()


class Ending(Asked):
    """`serial` in hex, as lists show it; `owner`: for an admin."""

    serial: str
    owner: UserIdIfAny = ""


@bp.function_name("revoke_certificate")
@bp.route("api/certificates/{serial}", methods=["DELETE"])
@endpoint(callers.identify, query=Ending)
async def revoke_certificate(caller: Principal, asked: Ending) -> CertificateAnswer:
    """Refused everywhere within 30 s; asking again changes nothing.

    Raises InvalidRequest, NotFound, Conflict, StoreUnavailable.
    """
    ended = await enrolment.revoke(await store.get(), clocks.clock, caller, asked.owner, asked.serial.lower())
    return CertificateAnswer.of(ended)
