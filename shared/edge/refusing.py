"""Which answers are refusals that somebody may ask about later, and what is told of them."""

import binascii
from collections.abc import Callable
from hashlib import sha256

import azure.functions as func

from shared.domain.acting import acting
from shared.domain.errors import NotAuthenticated, NotInvited, PlaygroundError
from shared.domain.refusals import Refusal
from shared.edge import problems, tracing
from shared.edge.certificates import HEADER

REFUSED = (403, 404, 409, 412, 429)  # not the caller's slips (400), and not our own troubles

told: Callable[[Refusal, str], None] = lambda refusal, trace: None  # noqa: E731
"""Who counts them; `wiring.refusals` says so when the app is loaded."""


def tell(function: str, req: func.HttpRequest, error: PlaygroundError) -> None:
    """Count the answer to `error` if it is a refusal."""
    document = problems.document(error)
    if document["status"] not in REFUSED:
        return
    reason = str(document["type"]).rpartition(":")[2]
    if isinstance(error, NotAuthenticated | NotInvited):  # these are few sentences, and none repeats what was sent
        reason += f": {error.detail}"
    told(Refusal(function, reason, acting.get().uri, _digest(req.headers.get(HEADER))), tracing.current_id())


def _digest(header: str | None) -> str:
    """SHA-256 of the certificate that was shown, as `Principal.digest`; of whatever stood in its place otherwise."""
    if not header:
        return ""
    try:
        shown = binascii.a2b_base64(header, strict_mode=True)
    except ValueError:
        shown = header.encode("utf-8", "replace")
    return sha256(shown).hexdigest()
