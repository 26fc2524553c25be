"""A look: claim a lease, see what is there, decide, act on the cluster, write what became of it.

A crash anywhere leaves a lease that is due: at the end of its claim the next look goes on.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from shared.domain import adoption, archiving, credentials
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
from shared.domain.leases import Lease, Owner, State
from shared.domain.lifecycle import Act, Seen, Step, decide, told
from shared.domain.moves import write
from shared.ports import metrics
from shared.ports.cluster import Outcome, Status

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
    try:
        with control.telemetry.span("look"):
            claimed = await control.leases.replace(lease.claimed(now + control.policy.claim))
            deadline = began + control.policy.act
            with control.telemetry.span("evidence"):
                seen = await observe(control, claimed, deadline, hearing=hearing, thorough=thorough)
            return await carry_on(control, claimed, seen, actor, deadline, wait=wait)
    except Exception as error:
        outcome = "lost" if isinstance(error, (Conflict, Fenced)) else "failed"
        control.telemetry.tell(metrics.LOOKS, 1, actor, "unknown", lease.state, lease.state, outcome)
        raise


async def observe(
    control: Control, lease: Lease, deadline: float, *, hearing: Hearing = DEAF, thorough: bool = False
) -> Seen:
    """Ask the cluster what `decide` needs to know of this lease; what cannot be told is unknown."""
    status = evidence = None
    now, policy = control.clock.now(), control.policy
    running = lease.state is State.RUNNING
    silent = running and now - lease.beat_at >= policy.silence
    late = lease.state in (State.PENDING, State.WAKING) and now - lease.since >= policy.start_timeout
    spare = await adoption.observe(control, lease) if lease.spare else None
    if silent or late or (running and thorough):
        with suppress(ClusterUnavailable, ClusterRefused, TimeoutError):  # unknown means busy
            async with asyncio.timeout_at(deadline):
                status = await control.cluster.status(lease.generation)
                if silent and spare is None:
                    evidence = await control.cluster.evidence(lease.generation)
    return Seen(status, evidence, hearing, spare=spare)


async def carry_on(
    control: Control, lease: Lease, seen: Seen, actor: str, deadline: float, *, wait: bool = False
) -> Looked:
    """Decide and act for a lease this caller has claimed; `deadline` is of the loop's clock."""
    before = lease.state
    if lease.adopts and before is State.PENDING:
        lease, tried = await adoption.adopted(control, lease), lease
        seen = seen if lease.generation == tried.generation else Seen()
    step = decide(lease, seen, control.clock.now(), control.policy)
    begins = step.act is Act.STORE and step.archive is None
    if begins:
        step = replace(step, archive=archiving.begun(control, lease))
    if begins or step.intent is not lease.state:
        lease = await write(control, lease, replace(step, result=step.intent, due_at=lease.due_at), actor)
    act = step.act
    with control.telemetry.span(f"act {act}"):
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
    failed = done.failure or (done.outcome is not None and done.outcome.failure)
    outcome = "failed" if failed else "done"
    control.telemetry.tell(metrics.LOOKS, 1, actor, act, before, written.state, outcome)
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
