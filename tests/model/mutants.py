"""The fences, each broken once: what a mutant changes, so that the state machine can be seen to find it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from shared.adapters.k8s import fences
from shared.domain import beats, credentials, databases, lifecycle, look, moves, steering
from shared.domain.leases import Lease, State
from shared.domain.lifecycle import Act, Step
from shared.manifests import database as manifests
from tests.doubles.memory import MemoryStore, slot
from tests.model import stories


@dataclass(frozen=True)
class Mutant:
    """`target.attribute` replaced by what `make` makes of the original.

    `story` betrays it: one that Hypothesis found, told in the machine's own rules. Without one
    the search finds it within a few examples.
    """

    name: str
    target: Any
    attribute: str
    make: Callable[[Any], Any]
    story: Callable[[Any], None] | None = None


def _never_fenced(original: Any) -> Any:
    return lambda found, step: None


def _starts_when_made(original: Any) -> Any:
    def stateful_set(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **(kwargs | {"replicas": 1}))

    return stateful_set


def _believes_any_status(original: Any) -> Any:
    def decide(lease: Lease, seen: Any, now: float, policy: Any) -> Step:
        status = seen.status and replace(seen.status, step=10**9)
        return original(lease, replace(seen, status=status), now, policy)

    return decide


def _looks_before_it_acts(original: Any) -> Any:
    async def perform(control: Any, lease: Lease, step: Step, deadline: float, wait: bool) -> Any:
        if step.act in (Act.START, Act.STOP):
            status = await control.cluster.status(lease.generation)
            wanted = 1 if step.act is Act.START else 0
            if status.replicas == wanted and (status.ready or not wanted):
                return look._Done(replace(status, step=10**9))
        return await original(control, lease, step, deadline, wait)

    return perform


def _acts_without_intent(original: Any) -> Any:
    def decide(lease: Lease, *args: Any) -> Step:
        step = original(lease, *args)
        return replace(step, intent=lease.state) if lease.state is State.RUNNING else step

    return decide


def _forgets_open_connections(original: Any) -> Any:
    def learn(lease: Lease, evidence: Any, now: float) -> Any:
        before = lease.sample and replace(lease.sample, connections=0)
        return original(replace(lease, sample=before), evidence and replace(evidence, connections=0), now)

    return learn


def _forgets_past_connections(original: Any) -> Any:
    def learn(lease: Lease, evidence: Any, now: float) -> Any:
        sample = lease.sample
        if sample and evidence:
            evidence = replace(evidence, connected=sample.connected, statements=sample.statements, server=sample.server)
        return original(lease, evidence, now)

    return learn


def _keeps_no_grace(original: Any) -> Any:
    def decide(lease: Lease, seen: Any, now: float, policy: Any) -> Step:
        return original(lease, seen, now, replace(policy, grace=policy.silence))

    return decide


def _keeps_no_retention(original: Any) -> Any:
    def decide(lease: Lease, seen: Any, now: float, policy: Any) -> Step:
        return original(lease, seen, now, replace(policy, retention=3600.0))

    return decide


def _forgets_holds(original: Any) -> Any:
    def decide(lease: Lease, seen: Any, now: float, policy: Any) -> Step:
        return original(replace(lease, held_until=None), seen, now, policy)

    return decide


def _moves_without_the_hold(original: Any) -> Any:
    return lambda self, *args, **changes: original(replace(self, held_until=None), *args, **changes)


def _purges_at_once(original: Any) -> Any:
    return lambda lease, now, policy: now


def _beats_silently(original: Any) -> Any:
    async def beat(self: MemoryStore, owner: Any, id: str, now: float, due: float) -> bool:
        etag = lease.etag if (lease := self.peek(owner, id)) else ""
        answer: bool = await original(self, owner, id, now, due)
        if answer:
            self._leases[slot(owner, id)] = replace(self._leases[slot(owner, id)], etag=etag)
        return answer

    return beat


def _compares_no_etag(original: Any) -> Any:
    async def write(self: MemoryStore, lease: Lease, event: Any = None) -> Lease:
        stored = self.peek(lease.owner, lease.id)
        written: Lease = await original(self, replace(lease, etag=stored.etag) if stored else lease, event)
        return written

    return write


def _forgets_what_is_claimed(original: Any) -> Any:
    return lambda self, until: replace(original(self, until), due_at=until + 10**9, look_by=until + 10**9)


def _remembers_beats_for_hours(original: Any) -> Any:
    return 12 * 3600.0


def _leaves_the_failed_behind(original: Any) -> Any:
    async def further(control: Any, owner: Any, lease: Lease | None, creating: Any) -> None:
        if lease is not None and lease.state in (State.FAILED, State.WAKING, State.PENDING):
            now = control.clock.now()
            made = databases.new_life(control, owner, lease, now, now + control.policy.claim)
            await control.leases.replace(made, moves.transition(lease, made, now, "mutant"))
            return
        await original(control, owner, lease, creating)

    return further


def _wakes_at_the_same_step(original: Any) -> Any:
    async def wake(leases: Any, lease: Lease, now: float, due_at: float, actor: str) -> Lease:
        moved = replace(lease.moved(State.WAKING, now, due_at, "used again"), step=lease.step)
        written: Lease = await leases.replace(moved)
        return written

    return wake


def _overwrites_what_changed(original: Any) -> Any:
    async def change(self: Any, generation: str, step: int, change: Any, found: Any = None) -> Any:
        found = found or await self.own("StatefulSet", generation)
        if found is None:
            return None
        fences.fence(found, step)
        for _ in range(5):
            wanted = change(found)
            wanted["metadata"]["annotations"][manifests.STEP] = str(step)
            try:
                return await self.api.replace(wanted)
            except fences.ObjectConflict:
                found = await self.own("StatefulSet", generation)
        return None

    return change


def _acts_without_a_claim(original: Any) -> Any:
    async def join(control: Any, lease: Lease, now: float) -> None:
        if lease.due_at > now and lease.state in (State.PENDING, State.WAKING):
            status = await control.cluster.status(lease.generation)
            if status.ready and status.step < lease.step:
                await control.cluster.start(credentials.life(control.sealer, lease), lease.step)
        await original(control, lease, now)

    return join


def _wakes_nobody(original: Any) -> Any:
    async def wake(leases: Any, lease: Lease, now: float, due_at: float, actor: str) -> Lease:
        woken: Lease = lease if actor == "heart_beat" else await original(leases, lease, now, due_at, actor)
        return woken

    return wake


MUTANTS = [
    Mutant(
        "an act does not look at the step", fences, "fence", _never_fenced, stories.woken_while_the_stop_is_under_way
    ),
    Mutant(
        "an act that conflicts overwrites what it did not read",
        fences.Fences,
        "change",
        _overwrites_what_changed,
        stories.woken_while_the_stop_is_under_way,
    ),
    Mutant(
        "a workload is made with a replica",
        manifests,
        "stateful_set",
        _starts_when_made,
        stories.made_anew_while_the_first_make_is_under_way,
    ),
    Mutant(
        "a look believes what was before its act",
        look,
        "_perform",
        _looks_before_it_acts,
        stories.woken_while_the_stop_is_under_way,
    ),
    Mutant(
        "a joiner believes any status", databases, "decide", _believes_any_status, stories.joined_after_the_waker_died
    ),
    Mutant("a look acts without its intent", look, "decide", _acts_without_intent),
    Mutant(
        "an open connection is no use", lifecycle, "learn", _forgets_open_connections, stories.connected_all_the_time
    ),
    Mutant(
        "a past connection is no use", lifecycle, "learn", _forgets_past_connections, stories.connected_once_at_noon
    ),
    Mutant("half an hour of silence is enough", look, "decide", _keeps_no_grace),
    Mutant("an hour of retention is enough", look, "decide", _keeps_no_retention),
    Mutant("a hold is forgotten", look, "decide", _forgets_holds, stories.held_for_days),
    Mutant("a transition ends a hold", Lease, "moved", _moves_without_the_hold, stories.woken_while_it_is_held),
    Mutant(
        "a purge waits for nobody",
        steering,
        "_deletable_at",
        _purges_at_once,
        stories.purged_while_its_first_life_is_made,
    ),
    Mutant("a beat leaves the etag", MemoryStore, "beat", _beats_silently, stories.heard_while_it_is_looked_at),
    Mutant(
        "a replace compares nothing", MemoryStore, "replace", _compares_no_etag, stories.heard_while_it_is_looked_at
    ),
    Mutant("a claim has no end", Lease, "claimed", _forgets_what_is_claimed),
    Mutant(
        "a beat is remembered for hours",
        beats,
        "DURABLE",
        _remembers_beats_for_hours,
        stories.beaten_again_after_ten_hours,
    ),
    Mutant(
        "a new life does not wait for the old one's end",
        databases,
        "_further",
        _leaves_the_failed_behind,
        stories.asked_for_twice_while_no_pod_starts,
    ),
    Mutant(
        "a joiner acts without a claim",
        databases,
        "_join",
        _acts_without_a_claim,
        stories.given_up_just_when_it_is_ready,
    ),
    Mutant("a beat says renewed and wakes nobody", databases, "wake", _wakes_nobody),
    Mutant(
        "a wake keeps the step", databases, "wake", _wakes_at_the_same_step, stories.created_while_the_stop_is_under_way
    ),
]
