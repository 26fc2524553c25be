"""What a queued look says: JSON, `{"owner": "<tenant>/<user>", "lease": "<id>"}`.

Where telemetry is on, also what the look belongs to and when it was asked for: `traceparent`, `posted_at`.
"""

import json
import math

from shared.domain.errors import InvalidRequest
from shared.domain.identity import check_tenant
from shared.domain.leases import Owner

CARRIED = {"traceparent", "posted_at"}


def encode(owner: Owner, id: str, traceparent: str = "", posted_at: float = 0.0) -> str:
    """The text of a message (ASCII). Raises ValueError for an owner that no text can name."""
    carried = {"traceparent": traceparent, "posted_at": posted_at} if traceparent else {}
    return json.dumps({"owner": owner.key, "lease": id, **carried})


def parse(body: bytes) -> tuple[Owner, str]:
    """Owner and id of the lease to look at.

    Raises ValueError for whatever `encode` does not say: a message we half understand may be of a
    release that means something else by it.
    """
    try:
        match json.loads(body.decode()):
            case {"owner": str(key), "lease": str(id), **more} if id and more.keys() <= CARRIED:
                id.encode()  # JSON can name half a surrogate pair, no store can
                owner = Owner.from_key(key)
                check_tenant(owner.tenant)
                if owner.user and owner.key == key:
                    return owner, id
    except (ValueError, InvalidRequest, RecursionError) as error:
        raise ValueError("the message names no lease") from error
    raise ValueError("the message names no lease")


def carried(body: bytes) -> tuple[str, float | None]:
    """The `traceparent` in a message ("": none), and when it was posted, in seconds since the epoch; never raises."""
    try:
        match json.loads(body.decode()):
            case {"traceparent": str(traceparent), "posted_at": int(at) | float(at)} if math.isfinite(at):
                return traceparent, at
    except (ValueError, RecursionError, OverflowError):
        pass  # `parse` says what is wrong with it
    return "", None
