"""The state machine where spares are kept ready."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from shared.domain import pool
from shared.domain.control import Pool
from shared.domain.leases import SPARES
from shared.domain.policy import MINUTE
from tests.model.machine import LeaseMachine, mostly, processes
from tests.model.spares import SLOTS, PoolWorld
from tests.model.watched import Process


class PoolMachine(LeaseMachine):
    """Stories of spares that are made, given away, half given away, and let go."""

    world: PoolWorld
    crowds = (1, 2, 2)
    starts = ("full pool", "full pool", "being adopted", "being adopted", "half filled", "running", "falling asleep")

    def new_world(self) -> PoolWorld:
        return PoolWorld()

    def begin(self, start: str, requests: int, owners: int = 1) -> None:
        self.owners = owners
        world = self.world
        if start == "half filled":
            self.refill(0, at_once=False)
            self.some_arrive(5 * requests)
            return
        with world.calmly():
            self.refill(0, at_once=False)
        if start == "being adopted":
            super().begin("starting", 3 * requests, owners)
        elif start != "full pool":
            super().begin(start, requests, owners)

    @rule(process=processes, at_once=mostly)
    def refill(self, process: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.begin(asked, pool.refill(asked.control))
        self.all_of_one_arrives(asked, at_once)

    @rule(process=processes, size=st.sampled_from((2, 2, 1, 0)), template=st.sampled_from(("today", "tomorrow")))
    def upgrade(self, process: int, size: int, template: str) -> None:
        """One process is replaced by one that wants another pool; the other one's turn comes later."""
        self.world.wants(self.world.processes[process], Pool(size, template))

    @rule(slot=st.sampled_from(SLOTS))
    def touch_a_spare(self, slot: str) -> None:
        self.world.store.touch(SPARES, slot)

    @rule(slot=st.sampled_from(SLOTS))
    def a_spares_node_goes(self, slot: str) -> None:
        """Its pod is gone; there is another one when kubelet is awake."""
        spare, kubernetes = self.world.spare(slot), self.world.kubernetes
        if spare is None or self.world.lives[spare.generation].owner != SPARES:
            return
        if (pod := kubernetes.objects.get(("Pod", f"pg-{spare.generation}-0"))) is not None:
            kubernetes.remove(pod)
            self.world.run_alone(kubernetes.settle())

    def converge(self) -> None:
        world = self.world
        for process in world.processes:
            world.wants(process, world.pool)
        super().converge()
        healthy = world.processes[-1]
        world.pass_time(pool.LEFT_ALONE)  # what was made just now for another pool may be left alone until then
        for _ in range(3):  # what was given away just now is forgotten, and made anew
            world.pass_time(MINUTE)
            self.timers(healthy)
        world.check_pool()

    def timers(self, process: Process) -> None:
        super().timers(process)
        self.run(process, lambda: self.world.begin(process, pool.refill(process.control)))
