"""What must never be, checked at every write and after every request."""

from collections.abc import Iterable
from typing import Protocol

from shared.domain.leases import Event, Lease, Owner, State
from shared.domain.policy import CLOCK_SKEW, Policy
from tests.doubles.kubernetes import Deletion
from tests.model.watched import Life

UNSURE = 2 * CLOCK_SKEW + 60.0  # how far two processes and a slow look may disagree about a period
OWNERS = (Owner("t", "alice"), Owner("t", "bob/../x"))
STRANGER = Owner("t", "carol")


class Truth(Protocol):
    """What a cluster in memory has to tell, past all that could go wrong in between."""

    archives: dict[str, list[str]]  # name → what was stored
    deletions: list[Deletion]
    most_at_once: dict[str, int]  # owner's key → most generations with a replica

    def replicas(self, generation: str) -> int:
        """How many are wanted, 0 where there is no workload."""


class Invariants:
    """The checks of a world, over what is true there."""

    policy: Policy
    cluster: Truth
    lives: dict[str, Life]
    acknowledged: dict[Owner, float]
    holds: dict[Owner, float | None]  # what its owner wrote last
    purges: set[Owner]  # who asked for one
    ends: set[Owner]  # who asked for an end that keeps what there is
    left: dict[Owner, tuple[list[str], float]]  # what an owner's last life left, and until when it is kept
    broken: BaseException | None
    deletions_seen: int

    def witness(self, before: Lease | None, after: Lease, event: Event | None) -> None:
        """`moved`, its verdict kept for `settle`: the code under test may catch what is raised in here."""
        try:
            self.moved(before, after, event)
        except AssertionError as error:
            self.breaks(after.owner, error)

    def breaks(self, owner: Owner, error: BaseException) -> None:
        """Something was that must never be."""
        self.broken = self.broken or error

    def moved(self, before: Lease | None, after: Lease, event: Event | None) -> None:
        """A write has happened: check the transition, learn what it says."""
        assert after.due_at <= after.look_by, f"due after it must be looked at: {after}"
        longest = max(self.policy.retention, self.policy.tombstone, self.policy.kept)
        assert after.due_at <= self.now + longest + UNSURE
        if after.generation not in self.lives:
            self.lives[after.generation] = Life(after.owner, self.now)
            self.check_inheritance(after)
        life = self.lives[after.generation]
        gives_up = before is not None and before.archive is not None and after.archive is None
        first = before is None or before.state is not State.DELETING
        deleted = after.state is State.DELETING and (first or gives_up)
        if event is not None and deleted and event.actor.startswith("user "):
            assert after.owner in self.purges or (after.owner in self.ends and not life.ready), "nobody asked for that"
            life.unwanted = after.owner in self.purges
            self.holds[after.owner] = None
        if event is not None and after.ended and not (before and before.ended):
            assert after.owner in self.ends and event.actor.startswith("user "), "nobody asked for that"
            self.holds[after.owner] = None
        self.check_hold(before, after, life, event)
        if before is not None and before.state is after.state:
            return
        moved_before, life.moved_at = life.moved_at, self.now
        match after.state:
            case State.RUNNING:
                life.ready, life.slept_at = True, None
                self.left.pop(after.owner, None)
            case State.HIBERNATING if before is not None and before.state is State.RUNNING:
                self.check_hibernation(after, life)
            case State.HIBERNATED:
                # The write may have been under way for days: what it says of the past must be possible.
                assert moved_before - UNSURE <= after.since <= self.now + UNSURE, "asleep since it was awake"
                life.slept_at = max(moved_before, after.since)
            case State.FAILED:
                assert not life.ready, "a life that was ready counts as failed"
            case State.ARCHIVING if before is not None and before.state is State.HIBERNATED and not after.ended:
                assert self.slept_enough(life), f"archiving {after.generation} too early"
            case State.DELETING:
                assert not life.ready or self.may_delete(after, life), f"deleting {after.generation} too early"
                if after.archive is not None and life.ready:
                    self.left[after.owner] = (list(life.data), after.archive.until)

    def check_inheritance(self, lease: Lease) -> None:
        """A new life begins with what its owner's last one left, as long as that is kept."""
        life = self.lives[lease.generation]
        if lease.archive is not None:
            life.data = list(self.cluster.archives[lease.archive.name])
        data, until = self.left.pop(lease.owner, ([], 0.0))
        if self.now < until - UNSURE and lease.owner not in self.purges:
            assert life.data == data, "what was archived is not what its owner's next life begins with"
            self.left[lease.owner] = (data, until)

    def check_hold(self, before: Lease | None, after: Lease, life: Life, event: Event | None) -> None:
        """Nobody but its owner ends a hold, and time alone takes away nothing that is held."""
        if event is not None and event.revision:
            self.holds[after.owner] = after.held_until
        if life.unwanted:
            self.holds[after.owner] = None
        until = self.holds[after.owner]
        if until is None or self.now >= until - UNSURE:
            return
        assert after.held_until == until, "a hold was forgotten"
        if before is not None and before.state is not after.state:
            slept = before.state is State.RUNNING and after.state is State.HIBERNATING
            lost = before.state is State.HIBERNATED and after.state in (State.DELETING, State.ARCHIVING)
            assert not slept and not lost, f"{after.state} although it was held"

    def check_hibernation(self, lease: Lease, life: Life) -> None:
        capped = "no use was proved" in lease.reason
        period = self.policy.hard_cap if capped else self.policy.grace
        heard = self.acknowledged[lease.owner]
        silent = self.now - heard - self.deaf(heard)
        assert silent >= period - UNSURE, f"hibernated {silent:.0f} s after an acknowledged beat"
        asked = life.asked
        if asked is not None and self.now - asked.at < 60:
            assert not asked.executing, "hibernated although a statement ran when its server was asked"
        if not capped:
            assert asked is not None and asked.unused_for >= period - UNSURE, "hibernated although it was in use"

    def may_delete(self, lease: Lease | None, life: Life) -> bool:
        """Its owner wanted that, or what it holds is stored, or nothing is stored here and it slept long enough."""
        archive = lease.archive if lease else None
        stored = archive is not None and self.cluster.archives.get(archive.name) == life.data
        return life.unwanted or stored or (self.policy.delete_without_archive and self.slept_enough(life))

    def slept_enough(self, life: Life) -> bool:
        if life.slept_at is None:
            return False
        return self.now - life.slept_at - self.deaf(life.slept_at) >= self.policy.retention - UNSURE

    def deaf(self, since: float) -> float:
        """Seconds since then in which nobody could be heard."""
        return 0.0

    def check(self, owners: Iterable[Owner] = (*OWNERS, STRANGER)) -> None:
        """What must be true of these owners at any moment, and of all deletions since the last check."""
        for owner in owners:
            lease = self.lease(owner)
            if lease is not None and lease.state is State.RUNNING:
                assert self.cluster.replicas(lease.generation) == 1, f"{lease.generation} runs only by its lease"
            most = self.cluster.most_at_once.get(owner.key, 0)
            assert most <= 1, f"{most} generations of {owner} had a replica at once"
        for deletion in self.cluster.deletions[self.deletions_seen :]:
            life = self.lives.get(deletion.name.removeprefix("pg-"))
            if life is not None and life.ready:
                lease = self.lease(life.owner)
                assert self.may_delete(lease, life), f"storage of {deletion.name} was deleted too early"
                current = lease is not None and f"pg-{lease.generation}" == deletion.name
                assert not current or lease.state in (State.DELETING, State.RELEASED)
        self.deletions_seen = len(self.cluster.deletions)

    def check_awake(self, owner: Owner, since: float) -> None:
        """What was answered `renewed` does not sleep, unless it fell asleep again meanwhile."""
        lease = self.lease(owner)
        if lease is not None and lease.state in (State.HIBERNATING, State.HIBERNATED):
            if self.lives[lease.generation].moved_at < since:
                self.breaks(owner, AssertionError(f"renewed, but it has been {lease.state} for long"))
