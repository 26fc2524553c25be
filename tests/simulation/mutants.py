"""What the simulation must find: rules of time and of archives, each broken once (see `tests.model.mutants`)."""

from dataclasses import replace
from typing import Any

from shared.domain import adoption, archiving, databases, look, pool, reaper, reconcile
from shared.domain.hearing import Hearing
from shared.domain.leases import SPARES
from shared.domain.lifecycle import Spare
from shared.domain.starts import Starts
from tests.doubles.memory import MemoryStore
from tests.model.archive_mutants import _inherits_nothing
from tests.model.mutants import (
    Mutant,
    _forgets_holds,
    _forgets_open_connections,
    _forgets_past_connections,
    _keeps_no_grace,
    _keeps_no_retention,
    lifecycle,
)
from tests.model.quota_mutants import _counts_no_databases, _does_nothing, _knows_no_share


def _subtracts_no_gap(original: Any) -> Any:
    return lambda self, since, now: max(0.0, now - since)


def _trusts_every_silence(original: Any) -> Any:
    return lambda self, now: True


def _records_no_gap(original: Any) -> Any:
    return lambda self, now: Hearing(max(self.heard_at, now), self.gaps)


def _believes_what_is_stored(original: Any) -> Any:
    async def holds(control: Any, archive: Any) -> bool:
        return True

    return holds


def _stops_at_the_first_failure(original: Any) -> Any:
    async def one(control: Any, lease: Any, hearing: Any, counts: Any) -> None:
        if not counts.failed:
            await original(control, lease, hearing, counts)

    return one


def _beats_and_stays_due(original: Any) -> Any:
    async def beat(self: MemoryStore, owner: Any, id: str, now: float, due: float) -> bool:
        before = self.peek(owner, id)
        answer: bool = await original(self, owner, id, now, due)
        if answer and before is not None and (after := self.peek(owner, id)) is not None:
            self._keep(replace(after, due_at=before.due_at))
        return answer

    return beat


def _has_no_cap(original: Any) -> Any:
    def decide(lease: Any, seen: Any, now: float, policy: Any) -> Any:
        return original(lease, seen, now, replace(policy, hard_cap=1e9))

    return decide


def _never(original: Any) -> Any:
    return 1e9


def _wants_every_spare(original: Any) -> Any:
    async def observe(control: Any, spare: Any) -> Spare:
        return Spare() if not spare.adopter else await original(control, spare)

    return observe


def _forgets_who_adopts(original: Any) -> Any:
    async def observe(control: Any, spare: Any) -> Spare:
        return Spare() if spare.adopter else await original(control, spare)

    return observe


def _fills_a_slot_once(original: Any) -> Any:
    async def begin(control: Any, id: str, done: Any) -> None:
        if await control.leases.get(SPARES, id) is None:
            await original(control, id, done)

    return begin


# Each with what is to be said of it: what is found for another reason is found by chance.
MUTANTS = [
    (Mutant("half an hour of silence is enough", look, "decide", _keeps_no_grace), "after an acknowledged beat"),
    (Mutant("an hour of retention is enough", look, "decide", _keeps_no_retention), "archiving .* too early"),
    (Mutant("no use has a cap", look, "decide", _has_no_cap), "it is idle and runs"),
    (Mutant("a hold is forgotten", look, "decide", _forgets_holds), "although it was held"),
    (Mutant("an open connection is no use", lifecycle, "learn", _forgets_open_connections), "it was in use"),
    (Mutant("a past connection is no use", lifecycle, "learn", _forgets_past_connections), "it was in use"),
    (Mutant("a gap is silence", Hearing, "silence", _subtracts_no_gap), "(after an acknowledged beat|too early)"),
    (
        Mutant("silence in a gap is trusted", Hearing, "trusted", _trusts_every_silence),
        "(nobody could be heard|after an)",
    ),
    (
        Mutant("the canary leaves no gap", Hearing, "heard", _records_no_gap),
        "(before anybody could be heard|after an|too early)",
    ),
    (
        Mutant("what was stored is taken for there", archiving, "holds", _believes_what_is_stored),
        "deleting .* too early",
    ),
    (
        Mutant("the next life begins with nothing", archiving, "inherited", _inherits_nothing),
        "what was archived is not",
    ),
    (
        Mutant("the reaper stops at the first that fails", reaper, "_look", _stops_at_the_first_failure),
        "nobody has looked",
    ),
    (Mutant("a beat leaves its lease due", MemoryStore, "beat", _beats_and_stays_due), "although it is heard from"),
    (Mutant("an orphan is marked and never stopped", reconcile, "AGAIN", _never), "runs and nobody owns it"),
    (Mutant("every spare is wanted", adoption, "observe", _wants_every_spare), "stays, but"),
    (Mutant("it is not asked who has a spare", adoption, "observe", _forgets_who_adopts), "spare-. stays running"),
    (Mutant("a slot of the pool is filled once", pool, "_begin", _fills_a_slot_once), "nobody makes spare"),
    (Mutant("a place is never given back", Starts, "_leave", _does_nothing), "though a place is free"),
    (Mutant("a tenant has no share of the places", Starts, "_free", _knows_no_share), "has 2 places"),
    (Mutant("nobody counts databases", databases, "_check_quota", _counts_no_databases), "databases more than it may"),
]
