"""What a notebook asks of us: a database, and that we keep it."""

import asyncio
from dataclasses import dataclass, replace
from math import ceil

from shared.domain import adoption, archiving, credentials
from shared.domain.control import Control
from shared.domain.creating import Creating
from shared.domain.errors import Conflict, Fenced, NotReady, StoreUnavailable, TooMany
from shared.domain.leases import Lease, Owner, State, new_generation
from shared.domain.lifecycle import Seen, decide, expires_at
from shared.domain.look import carry_on, look
from shared.domain.moves import move, transition, write
from shared.domain.policy import Policy
from shared.ports.clock import Clock
from shared.ports.leases import Leases
from shared.ports.looks import Looks

ID = "database"  # the slot's id: one database an owner
ACTOR = "create_db"
NOT_YET = 0.3  # seconds to wait where whoever is at a lease has not told the cluster yet


async def create(control: Control, owner: Owner) -> str:
    """The data source of this owner's database, made or woken if it must be.

    Raises NotReady when that takes longer than an answer may (the next call goes on with the same
    life) or when the cluster says why it cannot be; TooMany where others are before it or its tenant
    has as many as it may; StoreUnavailable, ClusterUnavailable.
    """
    try:
        with Creating(control.telemetry, control.clock) as creating:
            async with asyncio.timeout(control.policy.answer):
                lease = await control.leases.get(owner, ID)
                if lease is not None and lease.state is State.RUNNING and await _stays(control, lease):
                    return data_source(control, lease)
                async with control.starts.place(owner, control.policy.answer / 2):
                    creating.begins(lease)
                    return await _started(control, owner, lease, creating)
    except TimeoutError as error:
        raise NotReady("the database is not ready yet; ask again", retry_after=5) from error


async def _stays(control: Control, lease: Lease) -> bool:
    """Whether a running database goes on running: who asks for one that is quiet has time until its first beat."""
    if control.clock.now() - lease.beat_at < control.policy.silence:
        return True
    renewed = await beat(control.leases, control.looks, control.clock, control.policy, lease.owner)
    return renewed.renewed and renewed.state == State.RUNNING


async def _started(control: Control, owner: Owner, lease: Lease | None, creating: Creating) -> str:
    """The data source once the database runs, beginning with `lease`, which a wait may have made old."""
    conflicts = 0
    while True:
        try:
            await _further(control, owner, lease, creating)
        except (Conflict, Fenced):
            # Somebody else was first: read again what became of it. A read may lag behind.
            await asyncio.sleep(min(0.005 * conflicts, 0.5))
            conflicts += 1
        lease = await control.leases.get(owner, ID)
        if lease is not None and lease.state is State.RUNNING:
            return data_source(control, lease)


def data_source(control: Control, lease: Lease) -> str:
    """How the Go MySQL driver names this database, password included."""
    password = credentials.unseal(control.sealer, lease).password
    return f"mysql://{credentials.USER}:{password}@tcp({lease.address})/?maxAllowedPacket=0"


async def _further(control: Control, owner: Owner, lease: Lease | None, creating: Creating) -> None:
    """Bring what is not running one step closer to it, or wait for who is at it."""
    began = asyncio.get_running_loop().time()
    now = control.clock.now()
    deadline, claim = began + control.policy.act, now + control.policy.claim
    match lease.state if lease else None:
        case None | State.RELEASED:
            await _check_quota(control, owner)
            made = new_life(control, owner, lease, now, claim)
            if made.archive is None:
                made = replace(made, adopts=await adoption.offered(control, made))
            written = await begin(control.leases, lease, made, now, ACTOR)
        case State.HIBERNATED | State.HIBERNATING | State.ARCHIVING:
            assert lease
            written = await wake(control.leases, lease, now, claim, ACTOR)
        case State.FAILED:
            assert lease
            moved = lease.moved(State.DELETING, now, claim, "its owner asked for a new one")
            written = await move(control.leases, lease, moved, now, ACTOR)
        case _:
            assert lease
            await _join(control, lease, now)
            return
    looked = await carry_on(control, written, Seen(), ACTOR, deadline, wait=True)
    if written.state is State.PENDING:
        creating.made(written, looked.lease)
    if looked.failure:
        raise NotReady(looked.failure, retry_after=10)


async def _check_quota(control: Control, owner: Owner) -> None:
    """Raises TooMany where the tenant has its share; what others make at this moment is not counted."""
    most = control.policy.tenant_databases
    if most and await control.leases.count(owner.tenant, most) >= most:
        raise TooMany(f"your tenant has {most} databases, and may not have more; end one", retry_after=60)


async def _join(control: Control, lease: Lease, now: float) -> None:
    """Go on with a lease somebody is at: wait until it is ready or their claim is over."""
    if lease.due_at <= now:
        await _take(control, lease)
        return
    if lease.state is State.DELETING:
        await asyncio.sleep(min(lease.due_at - now, 1.0))
        return
    try:
        async with asyncio.timeout(lease.due_at - now):
            status = await control.cluster.wait_ready(lease.generation)
    except TimeoutError:
        return  # the claim is over: take it
    if status.replicas == 0:
        # Nothing was started yet: somebody is about to, or tried and will again when it is due.
        left = lease.due_at - control.clock.now()
        if not lease.attempts or left <= 0:
            await asyncio.sleep(NOT_YET)
        elif left > control.policy.claim:  # so it is nobody's claim, and its owner asks now
            await _take(control, lease)
        else:
            raise NotReady(lease.reason, retry_after=ceil(left))
        return
    if not status.ready:
        raise NotReady(status.failure, retry_after=10)
    step = decide(lease, Seen(status), control.clock.now(), control.policy)
    if step.result is State.RUNNING:
        # Whoever made it may have died by now; if not, one of us loses this write and reads again.
        await write(control, lease, step, ACTOR, status)
    else:  # it serves, but was not told to stay since it was to sleep: who has claimed it is about to tell
        await asyncio.sleep(NOT_YET)


async def _take(control: Control, lease: Lease) -> None:
    """Look at a lease that nobody is at."""
    looked = await look(control, lease, ACTOR, wait=True)
    if looked.failure:
        raise NotReady(looked.failure, retry_after=10)


async def begin(leases: Leases, before: Lease | None, made: Lease, now: float, actor: str) -> Lease:
    """Write a new life into a slot that is empty, or had others before. Raises Conflict."""
    if before is None:
        return await leases.create(made, transition(None, made, now, actor))
    return await move(leases, before, made, now, actor)


def new_life(control: Control, owner: Owner, before: Lease | None, now: float, due_at: float, id: str = ID) -> Lease:
    """A pending lease with a generation and passwords of its own, and what the slot of `before` has archived."""
    generation = new_generation()
    sealed = credentials.seal(control.sealer, owner, generation, credentials.new_credentials())
    return Lease(
        owner=owner,
        id=id,
        state=State.PENDING,
        generation=generation,
        step=before.step + 1 if before else 1,
        revision=before.revision + 1 if before else 1,
        since=now,
        created_at=now,
        due_at=due_at,
        look_by=due_at,
        beat_at=now,
        used_at=now,
        reason="asked for",
        held_until=before.held_until if before else None,  # what its owner holds is the slot, not one try to fill it
        hold_note=before.hold_note if before else "",
        archive=archiving.inherited(before, now),
        credentials=sealed,
        etag=before.etag if before else "",
    )


async def wake(leases: Leases, lease: Lease, now: float, due_at: float, actor: str) -> Lease:
    """Write that a hibernated lease is used, be it while it is archived. Raises Conflict."""
    moved = lease.moved(State.WAKING, now, due_at, "used again", beat_at=max(lease.beat_at, now),
                        archive=None, ended=False)  # fmt: skip
    return await move(leases, lease, moved, now, actor)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat came to. `renewed` is the acknowledgement, and it is durable.

    `state` is the lease's, "none" where there is none, "unknown" where the store did not say.
    `expires_at` is when it is taken away, at the earliest, if nothing more is heard (None: nothing
    is foreseen): after a write without a read that is the grace, though a hold may keep it longer.
    """

    renewed: bool
    state: str
    expires_at: float | None = None


NONE, UNKNOWN = Beat(False, "none"), Beat(False, "unknown")
ATTEMPTS = 3  # conflicts in a row after which a beat gives up; its plugin beats again
BEAT_ANSWER = 2.0  # seconds the store has: a beat that hangs freezes its user's kernel


async def beat(leases: Leases, looks: Looks, clock: Clock, policy: Policy, owner: Owner) -> Beat:
    """Renew this owner's lease, waking it if it sleeps. Never touches the cluster, never raises.

    One conditional write while all is well; a read and a compare-and-set otherwise.
    """
    try:
        async with asyncio.timeout(BEAT_ANSWER):
            now = clock.now()
            if await leases.beat(owner, ID, now, now + policy.silence):
                return Beat(True, State.RUNNING, now + policy.grace)  # the cap, longer, counts from this beat as well
            for _ in range(ATTEMPTS):
                try:
                    return await _beat_slowly(leases, looks, clock.now(), policy, owner)
                except Conflict:
                    continue
    except (StoreUnavailable, TimeoutError):
        pass
    return UNKNOWN


async def _beat_slowly(leases: Leases, looks: Looks, now: float, policy: Policy, owner: Owner) -> Beat:
    lease = await leases.get(owner, ID)
    if lease is None:
        return NONE
    match lease.state:
        case State.RUNNING:
            if lease.beat_at >= now:
                # Another process, its clock ahead, wrote a later one.
                return Beat(True, State.RUNNING, expires_at(lease, policy))
            due_at = now + policy.silence
            seldom_seen = due_at > lease.look_by
            due_at = min(now, lease.look_by) if seldom_seen else due_at
            written = await leases.replace(replace(lease, beat_at=now, due_at=due_at))
            if seldom_seen:
                await looks.post(owner, ID)
            return Beat(True, State.RUNNING, expires_at(written, policy))
        case State.HIBERNATED | State.HIBERNATING | State.ARCHIVING if not lease.ended:
            await wake(leases, lease, now, now, "heart_beat")
            await looks.post(owner, ID)
            return Beat(True, State.WAKING)
        case State.PENDING | State.WAKING:
            if lease.due_at <= now:
                await looks.post(owner, ID)
            return Beat(True, lease.state)  # its silence begins when it runs: nothing to write
        case _:
            return Beat(False, lease.state, expires_at(lease, policy))
