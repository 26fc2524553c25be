"""Giving a spare to an owner. Each step is one compare-and-set, and whoever finds it half-way goes on:

1. the owner's slot: `pending`, a life of its own, and `adopts` names the spare;
2. the spare: `adopter` names that life, so that nobody else takes it;
3. the owner's slot: the spare's generation, volume and passwords, under a higher step than the spare had;
4. the ordinary start, which writes owner and step on the objects and finds the server running;
5. the spare: `released`, and nothing of it is deleted.

Where the owner's slot goes another way before 3, the spare is deleted: its passwords are used by one owner or by none.
It does so as well where the pool cannot be read: its partition of the store is everybody's, and nobody needs a spare.
"""

import logging
from dataclasses import replace
from hashlib import sha256

from shared.domain import credentials
from shared.domain.control import Control, Pool
from shared.domain.credentials import Credentials
from shared.domain.errors import Conflict, SealBroken, StoreUnavailable
from shared.domain.leases import SPARES, Lease, Owner, State
from shared.domain.lifecycle import ADOPTED, Spare

log = logging.getLogger("playground.pool")

MOST = 100  # spares there can be
TRIES = 4  # spares that somebody else was faster to take


def slot_id(number: int) -> str:
    """The id of a spare's slot."""
    return f"spare-{number}"


def surplus(pool: Pool, spare: Lease) -> str:
    """Why a spare is not wanted any more, "" if it is."""
    if spare.id not in map(slot_id, range(pool.size)):
        return "the pool is smaller now"
    return "" if spare.template == pool.template else "databases are made with another image or template now"


async def offered(control: Control, life: Lease) -> str:
    """A spare that this new life may adopt, as its `adopts` names it; "" where none is to be had.

    Lives that begin together are spread over what there is.
    """
    if not control.pool.size:
        return ""
    try:
        spares, _ = await control.leases.of(SPARES, "", MOST)
    except StoreUnavailable as error:
        log.warning("the pool cannot be read: %s", error)
        return ""
    free = [spare for spare in spares if is_free(control, spare)]
    place = int.from_bytes(sha256(life.owner.key.encode()).digest())
    return _named(free[place % len(free)]) if free else ""


async def adopted(control: Control, lease: Lease) -> Lease:
    """The pending lease as the spare that it adopts, or with its own life where no spare was to be had.

    Raises Conflict if somebody else has written the lease, StoreUnavailable.
    """
    for left in reversed(range(TRIES)):
        id, _, generation = lease.adopts.partition("/")
        if not id or lease.generation == generation:
            return lease
        if found := await _taken(control, lease, id, generation):
            return await control.leases.replace(_as_spare(control, lease, *found))
        other = await offered(control, lease) if left else ""
        lease = await control.leases.replace(replace(lease, adopts=other))
    return lease


async def observe(control: Control, spare: Lease) -> Spare:
    """What there is to know of a spare besides its server. Raises StoreUnavailable."""
    if not spare.adopter:
        return Spare(surplus(control.pool, spare))
    key, id, generation = spare.adopter.split(" ")
    slot = await control.leases.get(Owner.from_key(key), id)
    if slot is not None and slot.generation == spare.generation:
        return Spare(adopted=True)
    pending = slot is not None and slot.state is State.PENDING
    if slot is not None and pending and (slot.generation, slot.adopts) == (generation, _named(spare)):
        return Spare()
    return Spare(adopted=False)


async def _taken(control: Control, lease: Lease, id: str, generation: str) -> tuple[Lease, Credentials] | None:
    """The spare, which nobody but `lease` can have from now on, and its passwords; None if it is not to be had.

    Where it is not known whether it was taken, it is not to be had: it goes, as its adopter goes another way.
    """
    adopter = f"{lease.owner.key} {lease.id} {lease.generation}"
    try:
        spare = await control.leases.get(SPARES, id)
        if spare is None or spare.generation != generation:
            return None
        opened = credentials.unseal(control.sealer, spare)
        if spare.adopter == adopter:  # whoever wrote that may have died then
            return spare, opened
        if is_free(control, spare):
            claimed = replace(spare.claimed(control.clock.now() + ADOPTED), adopter=adopter)
            return await control.leases.replace(claimed), opened
    except StoreUnavailable as error:
        log.warning("%s cannot be given away: %s", id, error)
    except (Conflict, SealBroken):
        pass  # somebody else was faster, or nobody can have it
    return None


def _as_spare(control: Control, lease: Lease, spare: Lease, opened: Credentials) -> Lease:
    return replace(
        lease,
        generation=spare.generation,
        step=max(lease.step, spare.step) + 1,
        volume=spare.volume,
        credentials=credentials.seal(control.sealer, lease.owner, spare.generation, opened),
    )


def is_free(control: Control, spare: Lease) -> bool:
    """Whether it serves, and nobody is to have it yet."""
    return spare.state is State.RUNNING and not spare.adopter and not surplus(control.pool, spare)


def _named(spare: Lease) -> str:
    return f"{spare.id}/{spare.generation}"
