"""A pool in a month: who is given a spare, what is made anew, and that what nobody wants goes in time."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.domain import adoption
from shared.domain.control import Pool
from shared.domain.leases import SPARES, Lease, Owner, State
from shared.domain.policy import HOUR
from tests.model.spare_lives import SpareInvariants
from tests.simulation.parts import KEYS, WatchedCluster

if TYPE_CHECKING:
    from tests.simulation.parts import SimulatedStore, WatchedMachines

MOST = 4  # spares that anybody ever wants
# What everybody wants in turn: another template and fewer, then yet another and more.
POOLS = (Pool(MOST, "first"), Pool(2, "second"), Pool(3, "third"))
FILLED = 4 * HOUR  # until a spare is there again, however many tries that takes
# How long one may be on its way where nothing is in trouble, as with all leases.
PASSING = {State.PENDING: 2 * HOUR, State.DELETING: HOUR}


class Spares(SpareInvariants):
    """What is neither free nor on its way is dealt with at once: it is late by LATE at most (see `Bounds`)."""

    store: "SimulatedStore"
    cluster: "WatchedMachines"
    sealer = KEYS
    slots = tuple(map(adoption.slot_id, range(MOST)))

    def begin_pool(self) -> None:
        self.begin_spares()
        self.pool, self.wanted_at = POOLS[0], self.now  # when the last process came that wants another pool
        self.turned = dict.fromkeys(self.slots, self.now)  # when it became what it is
        self.lacking = dict.fromkeys(self.slots, self.now)  # since when it is not free
        self.adoptions = 0

    def within(self, owner: Owner | None, since: float, seconds: float) -> bool:
        raise NotImplementedError

    def spare(self, slot: str) -> Lease | None:
        return self.store.peek(SPARES, slot)

    def spares_running(self) -> Iterable[str]:
        return [life.lease for life in self.cluster.wanted(SPARES) if self.lives[life.generation].owner == SPARES]

    def answered(self, owner: Owner, source: str) -> None:
        """What create_db says leads to the server that has this password."""
        password, _, address = source.partition("://")[2].partition(":")[2].partition("@tcp(")
        generation = self.made[password]
        assert self.lives[generation].owner == owner, f"{owner} was told how to reach somebody else's server"
        there = WatchedCluster(self.cluster)._status(generation)
        assert address.startswith(f"{there.address})"), f"{owner} was told where another one's server is"

    def spare_moved(self, before: Lease | None, after: Lease) -> None:
        super().spare_moved(before, after)
        id, was = after.id, before and (before.state, before.generation, before.adopter)
        if was == (after.state, after.generation, after.adopter):
            return
        self.turned[id] = self.now
        if after.state is State.RUNNING and not after.adopter:
            self.lacking.pop(id, None)
        else:
            self.lacking.setdefault(id, self.now)
        if after.state is State.RELEASED and before is not None and before.state is State.RUNNING:
            self.adoptions += 1
        if after.adopter or (before is not None and before.adopter):  # that is up to its adopter, and may take long
            self.lacking[id] = self.now

    def spare_in_time(self, slot: str) -> None:
        """A spare is to be had, or becomes so in time; what is not wanted goes in time."""
        spare, since = self.spare(slot), max(self.turned[slot], self.wanted_at)
        wanted = slot in map(adoption.slot_id, range(self.pool.size))
        if spare is None or spare.state is State.RELEASED:
            assert not wanted or self.within(SPARES, since, 0.0), f"nobody makes {slot}"
            return
        adopter = Owner.from_key(spare.adopter.split(" ")[0]) if spare.adopter else SPARES
        assert self.within(adopter, spare.due_at, 0.0), f"nobody has looked at what is {spare.state} since it was due"
        if spare.state is State.RUNNING and not spare.adopter:
            useless = adoption.surplus(self.pool, spare)
            assert not useless or self.within(SPARES, since, 0.0), f"{slot} stays, but {useless}"
            return
        assert self.within(adopter, since, PASSING.get(spare.state, 0.0)), f"{slot} stays {spare.state}"
        lacking = max(self.lacking[slot], self.wanted_at)
        assert not wanted or self.within(adopter, lacking, FILLED), f"{slot} is never to be had"
