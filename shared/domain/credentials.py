"""The passwords of one life: made once, kept sealed in its lease."""

import json
import secrets
import string
from dataclasses import dataclass, field

from shared.domain.errors import SealBroken
from shared.domain.leases import Lease, Owner
from shared.ports.cluster import Life
from shared.ports.sealer import Sealer

USER = "notebook"  # the account in every database; each database has a password of its own
_ALPHABET = string.ascii_letters + string.digits  # older SQLFlow parsers take no more in a data source


@dataclass(frozen=True, slots=True)
class Credentials:
    password: str = field(repr=False)
    root_password: str = field(repr=False)


def new_credentials() -> Credentials:
    """Two passwords of 32 characters, 190 bits each."""
    return Credentials(*("".join(secrets.choice(_ALPHABET) for _ in range(32)) for _ in range(2)))


def _context(owner: Owner, generation: str) -> str:
    return f"{owner.tenant} {generation}"


def seal(sealer: Sealer, owner: Owner, generation: str, credentials: Credentials) -> str:
    text = json.dumps([credentials.password, credentials.root_password])
    return sealer.seal(text, _context(owner, generation))


def unseal(sealer: Sealer, lease: Lease) -> Credentials:
    """The credentials of this life. Raises SealBroken."""
    password, root_password = json.loads(sealer.open(lease.credentials, _context(lease.owner, lease.generation)))
    return Credentials(password, root_password)


def resealed(sealer: Sealer, lease: Lease) -> str:
    """The lease's credentials under the key that seals now, so that older keys can be dropped one day."""
    if not lease.credentials or not sealer.stale(lease.credentials):
        return lease.credentials
    try:
        return seal(sealer, lease.owner, lease.generation, unseal(sealer, lease))
    except SealBroken:  # whoever needs them will say so
        return lease.credentials


def life(sealer: Sealer, lease: Lease) -> Life:
    """What the cluster must make of this lease. Raises SealBroken."""
    opened = unseal(sealer, lease)
    return Life(lease.owner, lease.id, lease.generation, opened.password, opened.root_password, lease.volume)
