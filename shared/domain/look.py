"""A look: claim a lease, see what is there, decide, act on the cluster, write what became of it.

A crash anywhere leaves a lease that is due: at the end of its claim the next look goes on.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from shared.domain import archiving, credentials
from shared.domain.control import Control
from shared.domain.errors import (
    ArchiveUnavailable,
    ClusterRefused,
    ClusterUnavailable,
    Conflict,
    Fenced,
    SealBroken,
    VolumeGone,
)
from shared.domain.hearing import DEAF, Hearing
from shared.domain.leases import Event, Lease, Owner, State
from shared.domain.lifecycle import Act, Seen, Step, decide, told
from shared.ports.cluster import Outcome, Status
from shared.ports.leases import Leases

log = logging.getLogger("playground.look")


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look came to. `failure` says why its act failed ("" if it did not)."""

    lease: Lease
    before: State
    act: Act
    failure: str = ""


async def look(
    control: Control, lease: Lease, actor: str, *, hearing: Hearing = DEAF, wait: bool = False, thorough: bool = False
) -> Looked:
    """Claim `lease` and take it one step further.

    With `wait` a start is watched until it is ready; with `thorough`, and once a day anyway, the
    cluster is asked even about a lease that was heard from. Raises Conflict if somebody else has written the lease
    since it was read, Fenced if somebody with a later step was at the cluster first, and
    StoreUnavailable; the lease is due again then.
    """
    began, now = asyncio.get_running_loop().time(), control.clock.now()
    thorough = thorough or lease.look_by <= now
    claimed = await control.leases.replace(lease.claimed(now + control.policy.claim))
    deadline = began + control.policy.act
    seen = await observe(control, claimed, deadline, hearing=hearing, thorough=thorough)
    return await carry_on(control, claimed, seen, actor, deadline, wait=wait)


async def observe(
    control: Control, lease: Lease, deadline: float, *, hearing: Hearing = DEAF, thorough: bool = False
) -> Seen:
    """Ask the cluster what `decide` needs to know of this lease; what cannot be told is unknown."""
    status = evidence = None
    now, policy = control.clock.now(), control.policy
    running = lease.state is State.RUNNING
    silent = running and now - lease.beat_at >= policy.silence
    late = lease.state in (State.PENDING, State.WAKING) and now - lease.since >= policy.start_timeout
    if silent or late or (running and thorough):
        with suppress(ClusterUnavailable, ClusterRefused, TimeoutError):  # unknown means busy
            async with asyncio.timeout_at(deadline):
                status = await control.cluster.status(lease.generation)
                if silent:
                    evidence = await control.cluster.evidence(lease.generation)
    return Seen(status, evidence, hearing)


async def carry_on(
    control: Control, lease: Lease, seen: Seen, actor: str, deadline: float, *, wait: bool = False
) -> Looked:
    """Decide and act for a lease this caller has claimed; `deadline` is of the loop's clock."""
    before = lease.state
    step = decide(lease, seen, control.clock.now(), control.policy)
    begins = step.act is Act.STORE and step.archive is None
    if begins:
        step = replace(step, archive=archiving.begun(control, lease))
    if begins or step.intent is not lease.state:
        lease = await write(control, lease, replace(step, result=step.intent, due_at=lease.due_at), actor)
    done = await _perform(control, lease, step, deadline, wait)
    now = control.clock.now()
    seen_then = Seen(done.status, archived=done.archived)
    after = decide(lease, seen_then, now, control.policy) if done.status else None
    if done.gone:
        kept = lease.archive.until if lease.archive else 0.0
        step = replace(step, result=State.RELEASED, due_at=max(kept, now + control.policy.tombstone))
    elif done.lost:
        step = replace(step, result=State.FAILED, due_at=now + control.policy.retention, reason=done.failure)
    elif done.outcome is not None and lease.archive is not None:
        step = told(lease, lease.archive, done.outcome, now, control.policy)
        if step.archive and step.archive.failure:
            log.error("%s of %s could not be archived: %s", lease.id, lease.owner.key, step.archive.failure)
    elif after and after.act is Act.NOTHING and (after.result, after.archive) != (lease.state, lease.archive):
        step = after
        if lease.archive and lease.archive.stored and after.archive is None:
            log.error("%s of %s: %s", lease.id, lease.owner.key, after.reason)
    elif done.failure:
        due_at = now + control.policy.backoff(lease.attempts)
        step = replace(step, result=lease.state, due_at=due_at, reason=done.failure)
        log.warning("%s %s of %s: %s", step.act, lease.id, lease.owner.key, done.failure)
    written = await write(control, lease, step, actor, done.status or seen.status)
    return Looked(written, before, step.act, done.failure)


@dataclass(frozen=True, slots=True)
class _Done:
    """What an act came to: what its workload is like then, why it failed ("" if it did not).

    `gone`: all of the life is; `lost`: its volume is, though nobody here deleted it; `outcome` is of
    storing what it holds, `archived` whether that is there.
    """

    status: Status | None = None
    failure: str = ""
    gone: bool = False
    lost: bool = False
    outcome: Outcome | None = None
    archived: bool | None = None


async def _perform(control: Control, lease: Lease, step: Step, deadline: float, wait: bool) -> _Done:
    """Do the step's act."""
    cluster, waits, archived = control.cluster, wait and step.act is Act.START, None
    try:
        async with asyncio.timeout_at(deadline):
            match step.act:
                case Act.START:
                    life = credentials.life(control.sealer, lease)
                    if lease.archive is not None:
                        task = await archiving.to_fetch(control, lease, lease.archive)
                        fetched = await cluster.restore(life, lease.step, task, wait=waits)
                        if not fetched.done:
                            return _Done(failure=fetched.failure)
                    await cluster.start(life, lease.step)
                case Act.STORE:
                    assert lease.archive
                    life = credentials.life(control.sealer, lease)
                    task = await archiving.to_store(control, lease, lease.archive)
                    return _Done(outcome=await cluster.store(life, lease.step, task))
                case Act.STOP:
                    await cluster.stop(lease.generation, lease.step)
                case Act.DELETE:
                    return _Done(gone=await cluster.delete(lease.generation, lease.step, lease.volume))
                case Act.NOTHING:
                    return _Done()
            if not waits:
                status = await cluster.status(lease.generation)
            if step.act is Act.STOP and lease.state is State.ARCHIVING and lease.archive and lease.archive.stored:
                archived = await archiving.holds(control, lease.archive)
        if waits:
            try:
                async with asyncio.timeout_at(deadline):
                    status = await cluster.wait_ready(lease.generation)
            except TimeoutError:
                return _Done()  # still starting is no failure
    except VolumeGone as error:
        return _Done(failure=error.detail, lost=True)
    except (ClusterUnavailable, ClusterRefused, ArchiveUnavailable, SealBroken) as error:
        return _Done(failure=error.detail)
    except TimeoutError:
        fetching = waits and lease.archive is not None  # still under way is no failure
        return _Done(failure="" if fetching else "the cluster took too long")
    return _Done(status, status.failure, archived=archived)


async def write(control: Control, lease: Lease, step: Step, actor: str, status: Status | None = None) -> Lease:
    """Write the step's result, with an event if it is a transition. Raises Conflict."""
    now, policy = control.clock.now(), control.policy
    look_by = now + policy.unseen if step.result is State.RUNNING else step.due_at
    sample, used_at = step.sample or lease.sample, max(lease.used_at, step.used_at)
    archive = archiving.resealed(control.sealer, replace(lease, archive=step.archive))
    lease = replace(lease, credentials=credentials.resealed(control.sealer, lease), archive=archive)
    if step.result is lease.state:
        moved_to = status.address if status and status.ready and lease.state is State.RUNNING else ""
        new_address = moved_to not in ("", lease.address)
        return await control.leases.replace(
            replace(
                lease,
                due_at=min(step.due_at, look_by),
                look_by=look_by,
                reason=step.reason,
                sample=sample,
                used_at=used_at,
                attempts=0 if step.act is Act.NOTHING else lease.attempts + 1,
                address=moved_to or lease.address,
                revision=lease.revision + new_address,
            )
        )
    moved = lease.moved(step.result, now, step.due_at, step.reason, look_by=look_by, sample=sample, used_at=used_at)
    if step.result is State.RUNNING and status is not None:
        moved = replace(
            moved,
            address=status.address,
            volume=status.volume,
            ready_at=lease.ready_at or now,
            beat_at=now,
            used_at=now,
            sample=None,
            archive=None,  # what it began with is its own now, and grows old
        )
    if step.result is State.RELEASED:
        moved = replace(moved, gone_at=step.due_at, credentials="", address="", volume="", sample=None)
    return await move(control.leases, lease, moved, now, actor)


async def move(leases: Leases, before: Lease, after: Lease, now: float, actor: str) -> Lease:
    """Write a transition with its event; what takes something away from its owner is logged. Raises Conflict."""
    written = await leases.replace(after, transition(before, after, now, actor))
    if after.state in (
        State.HIBERNATING,
        State.HIBERNATED,
        State.ARCHIVING,
        State.FAILED,
        State.DELETING,
        State.RELEASED,
    ):
        log.info(
            "%s of %s is %s: %s; made %.1f h ago, last beat %.1f h ago, evidence %s",
            after.id,
            after.owner.key,
            after.state,
            after.reason,
            (now - after.created_at) / 3600,
            (now - after.beat_at) / 3600,
            after.sample or "none",
        )
    return written


def transition(before: Lease | None, after: Lease, now: float, actor: str) -> Event:
    """The event of a lease's becoming `after`."""
    return Event(
        after.owner,
        after.id,
        after.generation,
        after.step,
        now,
        str(before.state) if before else "",
        str(after.state),
        after.reason,
        actor,
    )


async def look_now(control: Control, owner: Owner, id: str) -> Looked | None:
    """Look at one lease because somebody used it, and watch it start; None if there is none.

    Raises StoreUnavailable. That somebody else is at it already is as good.
    """
    lease = await control.leases.get(owner, id)
    if lease is None:
        return None
    with suppress(Conflict, Fenced):
        return await look(control, lease, "look", wait=True)
    return None
