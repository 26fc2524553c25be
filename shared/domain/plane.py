"""The random id of this control plane: it labels, and so bounds, everything we may touch."""

import secrets

from shared.domain.errors import Conflict
from shared.ports.leases import Record, Records

RECORD = "plane"


async def plane_id(records: Records) -> str:
    """The id, made at the first start. Raises StoreUnavailable."""
    while True:
        record = await records.read(RECORD)
        if record is not None:
            return str(record.value["id"])
        try:
            await records.write(Record(RECORD, {"id": secrets.token_hex(8)}))
        except Conflict:
            continue  # another instance was first: read its id
