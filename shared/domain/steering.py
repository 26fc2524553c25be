"""What an owner can see of its leases, and what it can do about them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from shared.domain.acting import signed
from shared.domain.errors import Conflict, InvalidRequest, NotAllowed, NotFound, PreconditionFailed
from shared.domain.identity import Principal, Role, check_name
from shared.domain.instants import iso
from shared.domain.leases import Event, Lease, Owner, State
from shared.domain.lifecycle import TAKEN_BY_TIME
from shared.domain.moves import move
from shared.domain.policy import CLOCK_SKEW, DAY, Policy
from shared.ports.clock import Clock
from shared.ports.leases import Leases
from shared.ports.looks import Looks

ATTEMPTS = 5  # writes that meet somebody else's before the caller is told
WORTH_KEEPING = (State.RUNNING, State.HIBERNATING, State.HIBERNATED, State.WAKING, State.ARCHIVING)
NOTHING_TO_HOLD = (State.FAILED, State.DELETING, State.RELEASED)
NO_ARCHIVE = (
    "nothing archives databases here, so that ending it would lose its data; with ?purge=true it is deleted"
    " all the same, data included, and nobody can bring it back"
)


@dataclass(frozen=True, slots=True)
class Target:
    """The lease a request is about, who asks, and which revisions it may be of (None: any)."""

    owner: Owner
    id: str
    actor: str
    revisions: frozenset[int] | None = None


def target(caller: Principal, owner: str, id: str, revisions: frozenset[int] | None = None) -> Target:
    """The lease that `caller` names, whether or not it is there. Raises InvalidRequest, NotFound."""
    named = caller.owner(owner)
    try:
        check_name(id, "id")
    except InvalidRequest:
        raise NotFound("there is no such lease") from None
    return Target(named, id, caller.actor, revisions)


async def listed(
    leases: Leases, caller: Principal, owner: str, kind: str | None, state: str | None, after: str, limit: int
) -> tuple[list[Lease], str]:
    """Some of an owner's leases, or of all in an admin's tenant where it names none, and where to go on ("": the end).

    Chosen by kind and state among at most `limit`, so that no request costs more; a page may hold
    fewer than there are on the next. Raises InvalidRequest, NotFound, StoreUnavailable.
    """
    whose = caller.tenant if caller.role is Role.ADMIN and not owner else caller.owner(owner)
    found, further = await leases.of(whose, after, limit)
    return [each for each in found if kind in (None, each.kind) and state in (None, each.state)], further


async def show(leases: Leases, target: Target) -> Lease:
    """The lease, or the tombstone that says what became of it. Raises NotFound, StoreUnavailable."""
    lease = await leases.get(target.owner, target.id)
    if lease is None:
        raise NotFound("there is no such lease")
    return lease


async def history(leases: Leases, target: Target, after: str, limit: int) -> tuple[Sequence[Event], str]:
    """What became of a lease in all its lives, oldest first, from behind the event `after` ("": the first).

    Read and ordered as a whole: they are an owner's own, a few a day at most. Raises NotFound,
    InvalidRequest for an `after` that is none of them, StoreUnavailable.
    """
    events = [event for event in await leases.events(target.owner) if event.lease == target.id]
    if not events:
        raise NotFound("there is no such lease")
    ids = [event.id for event in events]
    if after and after not in ids:
        raise InvalidRequest("after: not from this list")
    begin = ids.index(after) + 1 if after else 0
    found = events[begin : begin + limit]
    return found, found[-1].id if begin + limit < len(events) else ""


async def hold(leases: Leases, clock: Clock, policy: Policy, target: Target, until: float | None, note: str) -> Lease:
    """Keep a lease until then, whatever its use; None ends the hold.

    Raises NotFound, InvalidRequest for an instant that is over or too far ahead, NotAllowed where
    nothing is that could be kept, PreconditionFailed, Conflict, StoreUnavailable.
    """

    async def write(lease: Lease) -> Lease:
        now = clock.now()
        if until is not None:
            _check_hold(lease, until, now, policy)
        _check_revision(lease, target)
        if until is None:
            if not lease.held(now):
                return lease
            due_at = min(lease.due_at, now) if lease.state in TAKEN_BY_TIME else lease.due_at
            changed, why = replace(lease, held_until=None, hold_note="", due_at=due_at), "no longer held"
        else:
            end = min(until, now + policy.longest_hold)
            if (lease.held_until, lease.hold_note) == (end, note):
                return lease
            changed = replace(lease, held_until=end, hold_note=note, due_at=min(lease.due_at, end))
            why = f"held until {iso(end)}" + (f": {note}" if note else "")
        changed, state = replace(changed, revision=lease.revision + 1), str(lease.state)
        event = Event(
            lease.owner, lease.id, lease.generation, lease.step, now, state, state, why, target.actor, changed.revision
        )
        return await leases.replace(changed, signed(event))

    return await _write(leases, target, write)


async def end(leases: Leases, looks: Looks, clock: Clock, policy: Policy, target: Target, *, purge: bool) -> Lease:
    """Have a lease's content archived, then all of it deleted; with `purge` nothing is archived, or stays so.

    What is on that way stays as it is. Raises NotFound, NotAllowed where nothing archives and `purge` is
    not given, PreconditionFailed, Conflict, StoreUnavailable.
    """

    async def write(lease: Lease) -> Lease:
        now = clock.now()
        if lease.state in (State.DELETING, State.RELEASED):
            if not purge or lease.archive is None:
                return lease
            _check_revision(lease, target)
            return await _forget(leases, lease, now, target.actor)
        state, due_at, why = State.DELETING, _deletable_at(lease, now, policy), "its deletion was asked for"
        archive = None if purge else lease.archive
        if not purge and lease.state in WORTH_KEEPING:
            if not policy.archives:
                raise NotAllowed(NO_ARCHIVE)
            if lease.ended:
                return lease
            state, due_at, why = State.ARCHIVING, now, "its end was asked for"
        _check_revision(lease, target)
        moved = lease.moved(state, now, due_at, why, held_until=None, hold_note="", archive=archive,
                            ended=state is State.ARCHIVING)  # fmt: skip
        return await move(leases, lease, moved, now, target.actor)

    lease = await _write(leases, target, write)
    if lease.state in (State.ARCHIVING, State.DELETING) and lease.due_at <= clock.now():
        await looks.post(lease.owner, lease.id)
    return lease


async def _forget(leases: Leases, lease: Lease, now: float, actor: str) -> Lease:
    """The lease without its archive: with the key goes what was sealed with it."""
    changed, state = replace(lease, archive=None, revision=lease.revision + 1), str(lease.state)
    why = "its archive was given up"
    event = Event(lease.owner, lease.id, lease.generation, lease.step, now, state, state, why, actor, changed.revision)
    return await leases.replace(changed, signed(event))


async def _write(leases: Leases, target: Target, write: Callable[[Lease], Awaitable[Lease]]) -> Lease:
    """What `write` makes of the lease as it is, read again if somebody else wrote it meanwhile."""
    for attempt in range(ATTEMPTS):
        try:
            return await write(await show(leases, target))
        except Conflict:
            await asyncio.sleep(0.01 * attempt)
    raise Conflict("others keep changing it; ask again")


def _deletable_at(lease: Lease, now: float, policy: Policy) -> float:
    """When to begin: where nothing may be yet whose step fences off its maker, once no claim can go on."""
    return max(now, min(lease.due_at, now + policy.claim)) if lease.state is State.PENDING else now


def _check_hold(lease: Lease, until: float, now: float, policy: Policy) -> None:
    longest = now + policy.longest_hold
    if until <= now:
        raise InvalidRequest("until: it is over already")
    if until > longest + CLOCK_SKEW:  # whoever counts from its own clock is given what there is
        raise InvalidRequest(f"until: at most {policy.longest_hold / DAY:g} d ahead, which is {iso(longest)}")
    if lease.ended:
        raise NotAllowed("its end was asked for: only a create_db brings it back")
    if lease.state in NOTHING_TO_HOLD:
        raise NotAllowed(f"it is {lease.state}: there is nothing that could be kept")


def _check_revision(lease: Lease, target: Target) -> None:
    if target.revisions is not None and lease.revision not in target.revisions:
        raise PreconditionFailed(f"its revision is {lease.revision} now")
