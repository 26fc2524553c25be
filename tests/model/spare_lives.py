"""What must never become of a spare and of who is given one, whatever the world is made of."""

from collections import Counter
from collections.abc import Iterable

from shared.domain import adoption, credentials
from shared.domain.control import Pool
from shared.domain.errors import SealBroken
from shared.domain.leases import SPARES, Event, Lease, Owner, State
from shared.ports.sealer import Sealer
from tests.model.invariants import OWNERS, STRANGER, Invariants
from tests.model.watched import Life

A_SPARES = (State.PENDING, State.RUNNING, State.FAILED, State.DELETING, State.RELEASED)
ENDED = (State.DELETING, State.RELEASED)


class SpareInvariants(Invariants):
    """`lives` says of a spare's life that it is nobody's (`SPARES`) until an owner's slot has its generation."""

    sealer: Sealer
    pool: Pool  # that everybody is to want
    slots: tuple[str, ...]  # all that any process ever fills

    def begin_spares(self) -> None:
        self.made: dict[str, str] = {}  # password → the life that it was made for
        self.password: dict[str, str] = {}  # and the other way round
        self.given: dict[str, Owner] = {}  # password → whose slot had it
        self.ownerless: dict[str, float] = {}  # generation → when no slot had it any more

    def spare(self, slot: str) -> Lease | None:
        """What the store holds of a spare, without any network in between."""
        raise NotImplementedError

    def spares_running(self) -> Iterable[str]:
        """The slot of every life that wants a replica and is nobody's, as the cluster says it."""
        raise NotImplementedError

    # --- at every write

    def moved(self, before: Lease | None, after: Lease, event: Event | None) -> None:
        if before is not None and before.generation != after.generation:
            self.leaves(before)
        if after.state is State.RELEASED:
            self.leaves(after)
        if after.spare:
            self.spare_moved(before, after)
            return
        life = self.lives.get(after.generation)
        if life is not None and life.owner == SPARES:  # it begins anew, and holds nothing of its new owner's yet
            life.owner, life.ready, life.born, life.moved_at = after.owner, False, self.now, self.now
        assert life is None or life.owner == after.owner, f"{after.generation} is in two owners' slots"
        self.check_password(before, after)
        super().moved(before, after, event)

    def leaves(self, lease: Lease) -> None:
        """A slot does not have this life any more; if nobody else's does, it is over."""
        if self.lives[lease.generation].owner == lease.owner:
            self.ownerless.setdefault(lease.generation, self.now)

    def check_password(self, before: Lease | None, lease: Lease) -> None:
        known = before is not None and before.generation == lease.generation
        if not lease.credentials or (known and before.credentials == lease.credentials):
            return
        try:
            password = credentials.unseal(self.sealer, lease).password
        except SealBroken:
            raise AssertionError(f"{lease.owner} cannot open the passwords of its own database") from None
        generation = lease.generation
        assert self.made.setdefault(password, generation) == generation, "a password was used twice"
        assert self.password.setdefault(generation, password) == password, f"{generation} has another password"
        if not lease.spare:
            assert self.given.setdefault(password, lease.owner) == lease.owner, "a password was given to two"

    def spare_moved(self, before: Lease | None, after: Lease) -> None:
        life = self.lives.setdefault(after.generation, Life(SPARES, self.now))
        assert after.due_at <= after.look_by, f"due after it must be looked at: {after}"
        assert after.state in A_SPARES, f"a spare is {after.state}"
        if before is not None and (before.state, before.generation) == (after.state, after.generation):
            return
        self.check_password(None, after)
        match after.state:
            case State.RUNNING:
                assert life.owner == SPARES
                life.ready = True
            case State.DELETING:
                assert not self.has(life.owner, after.generation), f"{after.generation} is deleted, and was given away"
            case State.RELEASED if before is not None and before.state is State.RUNNING:
                assert life.owner != SPARES, f"{after.generation} is forgotten, and nobody has it"

    def has(self, owner: Owner, generation: str) -> bool:
        """Whether an owner's slot has this life, and has not ended it."""
        lease = None if owner == SPARES else self.lease(owner)
        return lease is not None and lease.generation == generation and lease.state not in ENDED

    # --- after every request

    def check(self, owners: Iterable[Owner] = (SPARES, *OWNERS, STRANGER)) -> None:
        owners = list(owners)
        for deletion in self.cluster.deletions[self.deletions_seen :]:
            generation = deletion.name.removeprefix("pg-")
            life = self.lives.get(generation)
            assert life is None or not self.has(life.owner, generation), f"{generation} was deleted under its owner"
        if SPARES in owners:
            self.check_spares()
        super().check([owner for owner in owners if owner != SPARES])

    def check_spares(self) -> None:
        for spare in filter(None, map(self.spare, self.slots)):
            if spare.state is State.RUNNING and not spare.adopter:
                assert self.cluster.replicas(spare.generation) == 1, f"{spare.id} is ready only by its lease"
        most = max(Counter(self.spares_running()).values(), default=0)
        assert most <= 1, f"{most} lives of one spare had a replica at once"

    def may_delete(self, lease: Lease | None, life: Life) -> bool:
        return life.owner == SPARES or super().may_delete(lease, life)

    # --- in the end

    def check_full(self) -> None:
        """Every spare that is wanted is to be had, and nobody keeps another one."""
        for slot in self.slots:
            spare = self.spare(slot)
            if slot not in map(adoption.slot_id, range(self.pool.size)):
                assert spare is None or spare.state is State.RELEASED, f"{slot} is {spare.state}, and nobody wants it"
                continue
            assert spare is not None and spare.state is State.RUNNING, f"{slot} is {spare and spare.state}"
            assert (spare.adopter, spare.template) == ("", self.pool.template), f"{slot} is to be had by nobody"
