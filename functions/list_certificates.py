"""GET /api/certificates: what a caller holds; for an admin, what somebody of its tenant holds."""

import azure.functions as func

from shared.domain import enrolment
from shared.domain.identity import Principal
from shared.edge.issued import CertificateAnswer
from shared.edge.names import UserIdIfAny
from shared.edge.web import Answer, Asked, endpoint
from shared.wiring import callers, clocks
from shared.wiring.store import store

bp = func.Blueprint()


class Whose(Asked):
    """`owner`: for an admin."""

    owner: UserIdIfAny = ""


class Certificates(Answer):
    """Oldest first; what is over is left out."""

    certificates: list[CertificateAnswer]


@bp.function_name("list_certificates")
@bp.route("api/certificates", methods=["GET"])
@endpoint(callers.identify, query=Whose)
async def list_certificates(caller: Principal, asked: Whose) -> Certificates:
    """Those that were issued or renewed here; one made by hand is known once it was used for that.

    Raises InvalidRequest, NotFound for somebody else's, StoreUnavailable.
    """
    found = await enrolment.certificates(await store.get(), clocks.clock, caller, asked.owner)
    return Certificates(certificates=[CertificateAnswer.of(each) for each in found])
