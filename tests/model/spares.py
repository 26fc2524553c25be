"""A world with a pool, and what must be true of it in the end."""

from collections.abc import Iterable
from dataclasses import replace

from shared.adapters.k8s.readiness import seconds
from shared.domain import adoption, credentials, databases
from shared.domain.control import Pool
from shared.domain.leases import SPARES, Lease, State
from shared.manifests import database
from tests.doubles.kubernetes import Object
from tests.model.invariants import OWNERS, STRANGER
from tests.model.spare_lives import SpareInvariants
from tests.model.world import KEYS, POLICY, Process, World

MOST = 2  # slots that any process ever fills
SLOTS = tuple(map(adoption.slot_id, range(MOST)))


class PoolWorld(SpareInvariants, World):
    """A pool of two, until a process wants another one."""

    sealer, slots = KEYS, SLOTS

    def __init__(self) -> None:
        super().__init__(POLICY, Pool(2, "today"))
        self.begin_spares()

    def wants(self, process: Process, pool: Pool) -> None:
        """From its next request on a process wants another pool, as everybody is to in the end."""
        self.pool = pool
        process.control = replace(process.control, pool=pool)

    def spare(self, slot: str) -> Lease | None:
        return self.store.peek(SPARES, slot)

    def spares_running(self) -> Iterable[str]:
        named = [_named(item) for item in self.kubernetes.find("StatefulSet") if item["spec"]["replicas"]]
        nobodys = [(generation, id) for generation, owner, id in named if owner == SPARES.key]
        return [id for generation, id in nobodys if self.lives[generation].owner == SPARES]

    # --- in the end

    def check_pool(self) -> None:
        """The pool is full and every spare serves; all that is on the cluster is some lease's."""
        self.check_full()
        for spare in filter(None, map(self.spare, SLOTS[: self.pool.size])):
            self.kubernetes.controllers.server(spare.generation)
            made_with = self.kubernetes.passwords[spare.generation]
            assert credentials.unseal(KEYS, spare).password == made_with, f"{spare.id} has another password"
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
        made_at, over = seconds(item["metadata"]["creationTimestamp"]), self.ownerless.get(generation)
        assert late and over is not None and made_at >= int(over), f"{generation} is an orphan"


def _named(item: Object) -> tuple[str, str, str]:
    metadata = item["metadata"]
    annotations = metadata["annotations"]
    return metadata["labels"][database.GENERATION], annotations[database.OWNER], annotations[database.LEASE]
