"""POST /api/enrolments: somebody who was invited brings a key, and gets a certificate for it."""

import azure.functions as func

from shared.domain import enrolment
from shared.edge.issued import IssuedAnswer, Signing
from shared.edge.web import open_endpoint
from shared.wiring import issuing

bp = func.Blueprint()


class Enrolment(Signing):
    """`token`: what the invitation said."""

    token: str


@bp.function_name("enroll")
@bp.route("api/enrolments", methods=["POST"])
@open_endpoint(body=Enrolment, status=201)
async def enroll(asked: Enrolment) -> IssuedAnswer:
    """A token brings one certificate; asked again for the same key, the same.

    Raises NotInvited, NotAllowed where there are too many, Conflict, StoreUnavailable, AuthorityUnavailable.
    """
    issuance = await enrolment.enrol(await issuing.issuing(), asked.token, asked.csr)
    return IssuedAnswer.of(issuance, issuing.server())
