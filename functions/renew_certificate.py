"""POST /api/certificates: a caller's next certificate, asked for with the one that is still valid."""

import azure.functions as func

from shared.domain import enrolment
from shared.domain.identity import Principal
from shared.edge.issued import IssuedAnswer, Signing
from shared.edge.web import endpoint
from shared.wiring import callers, issuing

bp = func.Blueprint()


@bp.function_name("renew_certificate")
@bp.route("api/certificates", methods=["POST"])
@endpoint(callers.identify, body=Signing, status=201)
async def renew_certificate(caller: Principal, asked: Signing) -> IssuedAnswer:
    """The old one stays valid until its end, so that nothing breaks between the two.

    Raises NotAllowed where there are too many, Conflict, StoreUnavailable, AuthorityUnavailable.
    """
    issuance = await enrolment.renew(await issuing.issuing(), caller, asked.csr)
    return IssuedAnswer.of(issuance, issuing.server())
