"""Keeping the record of when this control plane could hear."""

from dataclasses import replace

from shared.domain.errors import Conflict
from shared.domain.hearing import BIRTH, DEAF, RECORD, Hearing, from_value, to_value
from shared.ports.leases import Record, Records


async def hearing(records: Records) -> Hearing:
    """What is known of our hearing; DEAF before the first canary. Raises StoreUnavailable."""
    record = await records.read(RECORD)
    return from_value(record.value) if record else DEAF


async def heard(records: Records, now: float) -> Hearing:
    """Write that the canary was heard `now`. Raises StoreUnavailable."""
    while True:
        record = await records.read(RECORD)
        new = (from_value(record.value) if record else BIRTH).heard(now)
        changed = replace(record, value=to_value(new)) if record else Record(RECORD, to_value(new))
        try:
            await records.write(changed)
            return new
        except Conflict:
            continue  # another canary's beat: add ours to what it wrote
