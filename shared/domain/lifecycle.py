"""What lives and what dies: the whole policy, in one pure function."""

from dataclasses import dataclass, replace
from enum import StrEnum

from shared.domain.hearing import DEAF, Hearing
from shared.domain.instants import iso
from shared.domain.leases import Archive, Lease, Sample, State
from shared.domain.policy import DAY, MINUTE, PLUGIN_INTERVAL, Policy
from shared.ports.cluster import Evidence, Outcome, Status


class Act(StrEnum):
    """What a look does to the cluster."""

    NOTHING = "nothing"
    START = "start"
    STOP = "stop"
    STORE = "store"
    DELETE = "delete"


# Where time alone takes something away. A hold stops nothing else: no start that fails, no owner's own wish.
TAKEN_BY_TIME = (State.RUNNING, State.HIBERNATED, State.ARCHIVING, State.FAILED)
ADOPTED = 5.0  # seconds between two looks at a spare that is being adopted
FETCHED = 15.0  # seconds between two looks at a life whose content is being fetched
TRIED_AGAIN = DAY  # after an archive that failed
TURN = 5 * MINUTE  # seconds between two looks at what waits to be stored: many may, and each look asks the cluster
UNTAKEN = DAY  # how long a start is tried that the cluster, which refuses or is away, does not take


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found out. None means unknown (or not asked), and unknown means busy.

    `archived`: whether what was stored of it is there, as it was stored. `spare` is what there is to know of one.
    """

    status: Status | None = None
    evidence: Evidence | None = None
    hearing: Hearing = DEAF
    archived: bool | None = None
    spare: "Spare | None" = None


@dataclass(frozen=True, slots=True)
class Spare:
    """Of a spare: why it is not wanted any more ("" if it is), and whether its adopter has it (None: not yet)."""

    surplus: str = ""
    adopted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do with a lease: write `intent`, do `act`, write `result`; look again at `due_at`.

    `intent` differs from the lease's state only where the act may be seen by the user before its
    result is written. A DELETE that leaves nothing results in RELEASED, whatever `result` says.
    `archive` is what becomes of the lease's.
    """

    intent: State
    act: Act = Act.NOTHING
    result: State
    due_at: float
    reason: str
    archive: Archive | None
    sample: Sample | None = None
    used_at: float = 0.0


def decide(lease: Lease, seen: Seen, now: float, policy: Policy) -> Step:
    """The next step for `lease`, given what was `seen` at `now`.

    What its owner holds is not taken away by time alone, and is looked at when the hold ends.
    """
    step = _decide_unheld(lease, seen, now, policy)
    if lease.held_until is None or now >= lease.held_until:
        return step
    why = f"held until {iso(lease.held_until)}"
    if lease.state is State.ARCHIVING and not lease.ended:
        return Step(intent=lease.state, act=Act.STOP, result=State.HIBERNATED, due_at=lease.held_until, reason=why,
                    archive=None)  # fmt: skip
    if lease.state in TAKEN_BY_TIME and not lease.ended and step.act in (Act.STOP, Act.STORE, Act.DELETE):
        step = replace(
            step, intent=lease.state, act=Act.NOTHING, result=lease.state, due_at=lease.held_until, reason=why
        )
    return replace(step, due_at=min(step.due_at, lease.held_until))


def _decide_unheld(lease: Lease, seen: Seen, now: float, policy: Policy) -> Step:
    state, status = lease.state, seen.status or Status()
    # Only what comes after an act of this state proves anything: an earlier act may still arrive.
    obeyed = seen.status is not None and (status.step >= lease.step or not status.exists)
    again = now + policy.backoff(lease.attempts)

    def stay(due_at: float, reason: str, act: Act = Act.NOTHING) -> Step:
        return become(state, due_at, reason, act)

    def become(result: State, due_at: float, reason: str, act: Act = Act.NOTHING, intent: State = state) -> Step:
        return Step(intent=intent, act=act, result=result, due_at=due_at, reason=reason, archive=lease.archive)

    if lease.spare and state in (State.RUNNING, State.FAILED):
        return _decide_spare(lease, seen, now, policy)
    match state:
        case State.PENDING | State.WAKING:
            if obeyed and status.ready:
                return become(State.RUNNING, now + policy.silence, "ready")
            # Late is what was tried and is seen not to be ready: for a long time nobody may have looked. Nor has
            # a start failed that the cluster has not taken, as while it was away.
            tried = lease.attempts > 0 and seen.status is not None and not status.ready
            limit = policy.start_timeout if status.replicas else UNTAKEN
            if lease.archive is not None:  # its content is fetched first, and nobody tells us when it is there
                limit, again = limit + policy.task, min(again, now + FETCHED)
            if now - lease.since < limit or not tried:
                why = status.failure or ("starting" if state is State.PENDING else "waking")
                return stay(again, why, Act.START)
            why = f"not ready within {limit:.0f} s" + (f": {lease.reason}" if lease.reason else "")
            if state is State.PENDING:
                return become(State.FAILED, now + policy.retention, why, Act.STOP)
            return become(State.HIBERNATED, now + policy.retention, f"could not be woken: {why}", Act.STOP)

        case State.RUNNING:
            return _decide_running(lease, seen, now, policy)

        case State.HIBERNATING:
            if obeyed and status.replicas == 0 and status.pods == 0:
                return become(State.HIBERNATED, now + policy.retention, lease.reason)
            return stay(again, lease.reason, Act.STOP)

        case State.HIBERNATED:
            asleep_for = seen.hearing.silence(lease.since, now)
            if asleep_for < policy.retention:
                return stay(now + policy.retention - asleep_for, lease.reason)
            if not policy.archives and not policy.delete_without_archive:
                return stay(now + DAY, "retention is over; the volume is kept, as nothing archives it")
            if not seen.hearing.trusted(now):
                return stay(now + PLUGIN_INTERVAL, "retention is over; kept, as its owner may not have been heard")
            why = f"not used for {policy.retention / DAY:.1f} d"
            if policy.archives:
                return become(State.ARCHIVING, again, why, Act.STORE, intent=State.ARCHIVING)
            return become(State.DELETING, again, why, Act.DELETE, intent=State.DELETING)

        case State.ARCHIVING:
            return _decide_archiving(lease, seen, again, now, gone=obeyed and status.replicas == 0 and status.pods == 0)

        case State.FAILED:
            if now - lease.since < policy.retention:
                return stay(lease.since + policy.retention, lease.reason)
            return become(State.DELETING, again, "never was ready", Act.DELETE, intent=State.DELETING)

        case State.DELETING:
            return stay(again, lease.reason, Act.DELETE)

        case State.RELEASED:
            return stay(lease.gone_at or now + policy.tombstone, lease.reason)


def _decide_archiving(lease: Lease, seen: Seen, again: float, now: float, *, gone: bool) -> Step:
    """Store, then let the pod that did it go, then see that it is there, then delete; `gone`: no pod is left."""
    state, archive = lease.state, lease.archive

    def step(due_at: float, reason: str, act: Act = Act.NOTHING, archive: Archive | None = archive) -> Step:
        return Step(intent=state, act=act, result=state, due_at=due_at, reason=reason, archive=archive)

    if archive is None or not (archive.stored or archive.failure):
        return step(again, lease.reason, Act.STORE)
    if not gone:
        return step(again, lease.reason, Act.STOP)
    if archive.failure:
        return step(now + TRIED_AGAIN, f"kept, as it could not be archived: {archive.failure}", archive=None)
    if seen.archived is None:
        return step(again, lease.reason)
    if not seen.archived:
        return step(now + TRIED_AGAIN, "kept, as what was archived is not what is there now", archive=None)
    why = f"{lease.reason}; archived until {iso(archive.until)}"
    return Step(intent=state, act=Act.NOTHING, result=State.DELETING, due_at=now, reason=why, archive=archive)


def _decide_spare(lease: Lease, seen: Seen, now: float, policy: Policy) -> Step:
    """A spare stays until somebody has it, nobody wants it, or it does not serve: time alone does nothing to it."""
    state, spare = lease.state, seen.spare or Spare()

    def step(result: State, due_at: float, reason: str, act: Act = Act.NOTHING, intent: State = state) -> Step:
        return Step(intent=intent, act=act, result=result, due_at=due_at, reason=reason, archive=None)

    def end(reason: str) -> Step:
        again = now + policy.backoff(lease.attempts)
        return step(State.DELETING, again, reason, Act.DELETE, intent=State.DELETING)

    if state is State.FAILED:
        return end(lease.reason)
    if lease.adopter:
        if spare.adopted is None:
            return step(state, now + ADOPTED, "being adopted")
        if spare.adopted:
            return step(State.RELEASED, now + policy.tombstone, "adopted")
        return end("who was to have it went another way")
    if spare.surplus:
        return end(spare.surplus)
    if seen.status is not None and not seen.status.ready:
        return end(seen.status.failure or "it does not serve any more")
    return step(state, now + policy.silence, "waits for an owner")


def told(lease: Lease, archive: Archive, outcome: Outcome, now: float, policy: Policy) -> Step:
    """What to write of an archive that is being stored, by what is known of it."""
    state, failure, due_at = State.ARCHIVING, outcome.failure, now
    if outcome.waits:  # its time begins with its turn
        return Step(intent=state, result=state, due_at=now + TURN, reason=lease.reason, archive=None)
    if outcome.done:
        archive = replace(archive, sha256=outcome.sha256, size=outcome.size, until=now + policy.kept)
    elif failure or now - archive.at >= policy.task:
        archive = replace(archive, failure=failure or f"it took longer than {policy.task / MINUTE:.0f} min")
    else:
        due_at = now + policy.backoff(lease.attempts)
    return Step(intent=state, act=Act.STORE, result=state, due_at=due_at, reason=lease.reason, archive=archive)


def _decide_running(lease: Lease, seen: Seen, now: float, policy: Policy) -> Step:
    """Whether a running database is idle; see `learn` for what its counters prove."""
    sample, quiet, used_at = learn(lease, seen.evidence, now)

    def step(state: State, due_at: float, reason: str, act: Act = Act.NOTHING) -> Step:
        return Step(intent=state, act=act, result=state, due_at=due_at, reason=reason, archive=lease.archive,
                    sample=sample, used_at=used_at)  # fmt: skip

    if seen.status is not None and seen.status.replicas == 0:
        return step(State.WAKING, now + policy.claim, "its workload was missing or stopped by somebody else", Act.START)
    if now - lease.beat_at < policy.silence:
        return step(State.RUNNING, lease.beat_at + policy.silence, "heard from")

    trusted = seen.hearing.trusted(now)
    soon = now + (MINUTE if trusted else PLUGIN_INTERVAL)  # while silence proves nothing, no look does
    used = max(lease.beat_at, used_at)
    capped_for = seen.hearing.silence(used, now)
    if trusted and capped_for >= policy.hard_cap:
        return step(State.HIBERNATING, now, f"no use was proved for {policy.hard_cap / 3600:.1f} h", Act.STOP)
    cap_at = max(soon, now + policy.hard_cap - capped_for)

    if sample is None or not quiet:
        if seen.evidence is None:
            why = "what its server counts is unknown"
        elif seen.evidence.connections:
            why = "a connection is open"
        else:
            why = "it was used since the last look, or nothing tells that it was not"
        return step(State.RUNNING, min(now + policy.silence, cap_at), why)

    idle_for = seen.hearing.silence(max(used, sample.at), now)
    if trusted and idle_for >= policy.grace:
        return step(State.HIBERNATING, now, f"no beat and no connection for {policy.grace / 3600:.1f} h", Act.STOP)
    return step(State.RUNNING, min(max(soon, now + policy.grace - idle_for), cap_at), "silent, within its grace")


def learn(lease: Lease, evidence: Evidence | None, now: float) -> tuple[Sample | None, bool, float]:
    """What the counters prove: (sample to keep, whether all was quiet since it, last proved use).

    Quiet is only what cannot have been otherwise: no connection open then, none now, none in
    between (the same server's counter did not move). The older sample is kept, so its `at` is
    since when it is quiet. Another server, or a smaller counter, means a restart: unknown.
    """
    before, used_at = lease.sample, lease.used_at
    if evidence is None:
        return before, False, used_at
    sample = Sample(now, evidence.connections, evidence.connected, evidence.statements, evidence.server)
    if evidence.executing:
        used_at = now
    if before is None or before.server != sample.server:
        return sample, False, used_at
    if sample.connected < before.connected or sample.statements < before.statements:
        return sample, False, used_at
    if sample.connected > before.connected or sample.statements > before.statements:
        return sample, False, now
    if before.connections == 0 and sample.connections == 0:
        return before, True, used_at
    return sample, False, used_at


def expires_at(lease: Lease, policy: Policy) -> float | None:
    """When `lease` is taken away, at the earliest, if nothing more is heard of it; None: nothing is foreseen."""
    match lease.state:
        case State.RUNNING:
            used = max(lease.beat_at, lease.used_at)
            quiet_since = max(used, lease.sample.at if lease.sample else 0.0)
            at = min(quiet_since + policy.grace, used + policy.hard_cap)
        case State.HIBERNATED if policy.archives or policy.delete_without_archive:
            at = lease.since + policy.retention
        case State.FAILED:
            at = lease.since + policy.retention
        case State.ARCHIVING | State.DELETING:
            return lease.since
        case _:
            return None
    return max(at, lease.held_until or 0.0)
