"""Writing what became of a lease, with the event that says so."""

import logging
from dataclasses import replace

from shared.domain import archiving, credentials
from shared.domain.acting import signed
from shared.domain.control import Control
from shared.domain.leases import Event, Lease, State
from shared.domain.lifecycle import Act, Step
from shared.ports.cluster import Status
from shared.ports.leases import Leases

log = logging.getLogger("playground.look")


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
            adopts="",
        )
    if step.result is State.RELEASED:
        moved = replace(
            moved, gone_at=step.due_at, credentials="", address="", volume="", sample=None, adopts="", adopter=""
        )
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
    event = Event(
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
    return signed(event)
