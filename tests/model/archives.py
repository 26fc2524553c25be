"""The state machine where what goes is archived first."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from shared.domain.leases import State
from shared.domain.policy import DAY, Policy
from tests.model.machine import LeaseMachine, mostly, owners, processes
from tests.model.world import OWNERS


class ArchiveMachine(LeaseMachine):
    """Stories that reach the end of retention, and what comes after it."""

    policy = Policy(archives=True)
    starts = ("running", "asleep", "long asleep", "archiving", "archiving", "archived", "archived", "fetching")

    def begin(self, start: str, requests: int, owners: int = 1) -> None:
        if start not in ("archiving", "archived", "fetching"):
            super().begin(start, requests, owners)
            return
        super().begin("running", 0, owners)
        self.connect(0, stays=True)
        self.work(0)
        self.disconnect(0)
        world, first = self.world, self.world.processes[0]
        with world.calmly():
            self.idle(4)
            world.pass_time(world.policy.retention)
        if start == "archiving":
            world.reap(first)
            self.some_arrive(4 * requests)
            return
        with world.calmly():
            for _ in range(20):
                if world.lease(OWNERS[0]).state is State.RELEASED:
                    break
                world.pass_time(31.0)
                world.reap(first)
        assert world.lease(OWNERS[0]).state is State.RELEASED
        if start == "fetching":
            world.create_db(first, OWNERS[0])
            self.some_arrive(4 * requests)

    @rule(process=processes, owner=owners, at_once=mostly)
    def end(self, process: int, owner: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.end(asked, self.owner(owner))
        self.all_of_one_arrives(asked, at_once)

    @rule(why=st.sampled_from(("", "", "no room on the disk")))
    def tasks_fail_or_work(self, why: str) -> None:
        self.world.kubernetes.controllers.broken_tasks = why

    @precondition(lambda self: self.world.kubernetes.archives and not self.world.left)
    @rule()
    def a_month_passes(self) -> None:
        self.world.pass_time(30 * DAY)

    def converge(self) -> None:
        self.world.kubernetes.controllers.broken_tasks = ""
        super().converge()
