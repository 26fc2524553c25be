"""GET /api/crl: the certificates that count no more, signed, for whoever checks them elsewhere."""

import azure.functions as func

from shared.edge.web import Answer, open_endpoint
from shared.wiring import issuing

bp = func.Blueprint()


class RevocationList(Answer):
    """RFC 5280 §5, DER."""

    der: bytes

    def content(self) -> tuple[str, bytes]:
        return "application/pkix-crl", self.der


@bp.function_name("publish_crl")
@bp.route("api/crl", methods=["GET"])
@open_endpoint()
async def publish_crl() -> RevocationList:
    """What was revoked is on it within ten minutes; here it is refused within 30 s.

    Raises StoreUnavailable, AuthorityUnavailable.
    """
    return RevocationList(der=await (await issuing.revocation_list.get()).current())
