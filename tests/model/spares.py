"""A world with a pool, and what must never become of a spare and of who is given one."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from shared.adapters.k8s.readiness import seconds
from shared.domain import adoption, credentials, databases
from shared.domain.control import Pool
from shared.domain.errors import SealBroken
from shared.domain.leases import SPARES, Event, Lease, Owner, State
from shared.manifests import database
from tests.doubles.kubernetes import Object
from tests.model.invariants import OWNERS, STRANGER
from tests.model.watched import Life
from tests.model.world import KEYS, POLICY, Process, World

MOST = 2  # slots that any process ever fills
SLOTS = tuple(map(adoption.slot_id, range(MOST)))
A_SPARES = (State.PENDING, State.RUNNING, State.FAILED, State.DELETING, State.RELEASED)


class PoolWorld(World):
    """`lives` says of a spare's life that it is nobody's (`SPARES`) until an owner's slot has its generation."""

    def __init__(self) -> None:
        super().__init__(POLICY, Pool(2, "today"))
        self.made: dict[str, str] = {}  # password → the life that it was made for
        self.given: dict[str, Owner] = {}  # password → whose slot had it
        self.over: dict[str, float] = {}  # generation → when no slot had it any more

    def wants(self, process: Process, pool: Pool) -> None:
        """From its next request on a process wants another pool, as everybody is to in the end."""
        self.pool = pool
        process.control = replace(process.control, pool=pool)

    def spare(self, slot: str) -> Lease | None:
        return self.store.peek(SPARES, slot)

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
        if life is not None and life.owner == SPARES:
            life.owner, life.ready = after.owner, False  # it holds nothing of its new owner's yet
        assert life is None or life.owner == after.owner, f"{after.generation} is in two owners' slots"
        self.check_password(after)
        super().moved(before, after, event)

    def leaves(self, lease: Lease) -> None:
        """A slot does not have this life any more; if nobody else's does, it is over."""
        if self.lives[lease.generation].owner == lease.owner:
            self.over.setdefault(lease.generation, self.now)

    def check_password(self, lease: Lease) -> None:
        if not lease.credentials:
            return
        try:
            password = credentials.unseal(KEYS, lease).password
        except SealBroken:
            raise AssertionError(f"{lease.owner} cannot open the passwords of its own database") from None
        assert self.made.setdefault(password, lease.generation) == lease.generation, "a password was used twice"
        if not lease.spare:
            assert self.given.setdefault(password, lease.owner) == lease.owner, "a password was given to two"

    def spare_moved(self, before: Lease | None, after: Lease) -> None:
        life = self.lives.setdefault(after.generation, Life(SPARES, self.now))
        assert after.due_at <= after.look_by, f"due after it must be looked at: {after}"
        assert after.state in A_SPARES, f"a spare is {after.state}"
        if before is not None and (before.state, before.generation) == (after.state, after.generation):
            return
        self.check_password(after)
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
        ended = (State.DELETING, State.RELEASED)
        return lease is not None and lease.generation == generation and lease.state not in ended

    # --- after every request

    def check(self, owners: Iterable[Owner] = (*OWNERS, STRANGER)) -> None:
        for deletion in self.cluster.deletions[self.deletions_seen :]:
            generation = deletion.name.removeprefix("pg-")
            life = self.lives.get(generation)
            assert life is None or not self.has(life.owner, generation), f"{generation} was deleted under its owner"
        for spare in filter(None, map(self.spare, SLOTS)):
            if spare.state is State.RUNNING and not spare.adopter:
                assert self.cluster.replicas(spare.generation) == 1, f"{spare.id} is ready only by its lease"
        running = Counter(lease for generation, owner, lease in self.running() if self.is_spare(generation, owner))
        most = max(running.values(), default=0)
        assert most <= 1, f"{most} lives of one spare had a replica at once"
        super().check(owners)

    def running(self) -> list[tuple[str, str, str]]:
        """Generation, owner and lease of all that wants a replica, as the cluster says it."""
        return [_named(item) for item in self.kubernetes.find("StatefulSet") if item["spec"]["replicas"]]

    def is_spare(self, generation: str, owner: str) -> bool:
        return owner == SPARES.key and self.lives[generation].owner == SPARES

    def may_delete(self, lease: Lease | None, life: Life) -> bool:
        return life.owner == SPARES or super().may_delete(lease, life)

    # --- in the end

    def check_pool(self) -> None:
        """The pool is full and every spare serves; all that is on the cluster is some lease's."""
        for slot in SLOTS:
            spare = self.spare(slot)
            if slot not in map(adoption.slot_id, range(self.pool.size)):
                assert spare is None or spare.state is State.RELEASED, f"{slot} is {spare.state}, and nobody wants it"
                continue
            assert spare is not None and spare.state is State.RUNNING, f"{slot} is {spare and spare.state}"
            assert (spare.adopter, spare.template) == ("", self.pool.template), f"{slot} is to be had by nobody"
            self.kubernetes.controllers.server(spare.generation)
            made_with = self.kubernetes.passwords[spare.generation]
            assert credentials.unseal(KEYS, spare).password == made_with, f"{slot} has another password"
        for kind in ("StatefulSet", "PersistentVolumeClaim"):
            for item in self.kubernetes.find(kind):
                self.check_owned(item)

    def check_owned(self, item: Object) -> None:
        generation, owner, id = _named(item)
        if owner == STRANGER.key:
            return
        slots = [*((SPARES, slot) for slot in SLOTS), *((owner, databases.ID) for owner in OWNERS)]
        found = [self.store.peek(*slot) for slot in slots]
        has = [each for each in found if each and each.generation == generation and each.state is not State.RELEASED]
        if has:
            assert [(each.owner.key, each.id) for each in has] == [(owner, id)], f"{generation} is called {owner}'s"
            return
        # A claim whose request came when its life was over: nobody may tell it from one that was lost.
        late = item["kind"] == "PersistentVolumeClaim" and not self.kubernetes.volumes.get(item["metadata"]["uid"])
        made_at, over = seconds(item["metadata"]["creationTimestamp"]), self.over.get(generation)
        assert late and over is not None and made_at >= int(over), f"{generation} is an orphan"


def _named(item: Object) -> tuple[str, str, str]:
    metadata = item["metadata"]
    annotations = metadata["annotations"]
    return metadata["labels"][database.GENERATION], annotations[database.OWNER], annotations[database.LEASE]
