"""What a queued look says: JSON, `{"owner": "<tenant>/<user>", "lease": "<id>"}`."""

import json

from shared.domain.errors import InvalidRequest
from shared.domain.identity import check_tenant
from shared.domain.leases import Owner


def encode(owner: Owner, id: str) -> str:
    """The text of a message (ASCII). Raises ValueError for an owner that no text can name."""
    return json.dumps({"owner": owner.key, "lease": id})


def parse(body: bytes) -> tuple[Owner, str]:
    """Owner and id of the lease to look at.

    Raises ValueError for whatever `encode` does not say: a message we half understand may be of a
    release that means something else by it.
    """
    try:
        match json.loads(body.decode()):
            case {"owner": str(key), "lease": str(id), **more} if id and not more:
                id.encode()  # JSON can name half a surrogate pair, no store can
                owner = Owner.from_key(key)
                check_tenant(owner.tenant)
                if owner.user and owner.key == key:
                    return owner, id
    except (ValueError, InvalidRequest, RecursionError) as error:
        raise ValueError("the message names no lease") from error
    raise ValueError("the message names no lease")
