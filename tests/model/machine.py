"""The state machine: Hypothesis chooses what happens next, and the world checks what must never be."""

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from shared.domain import databases
from shared.domain.leases import Owner, State, new_generation
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR, MINUTE
from tests.model.rules import NetworkRules, mostly, processes
from tests.model.watched import Process
from tests.model.world import OWNERS, POLICY, World

owners = st.integers(0, 1)
SETTLED = (State.RUNNING, State.HIBERNATED, State.FAILED, State.RELEASED)


class LeaseMachine(NetworkRules):
    """Two processes with wrong clocks, one owner or two, a network that does what it likes."""

    starts: Sequence[str] = (
        "nothing",
        "starting",
        "running",
        "looked at",
        "falling asleep",
        "waking",
        "asleep",
        "long asleep",
    )

    policy = POLICY
    crowds = (1, 1, 2)  # how many owners there are; most stories are about one

    def __init__(self) -> None:
        super().__init__()
        self.world = self.new_world()
        self.owners = 1

    def new_world(self) -> World:
        return World(self.policy)

    def owner(self, which: int) -> Owner:
        return OWNERS[which % self.owners]

    @initialize(data=st.data())
    def begin_somewhere(self, data: st.DataObject) -> None:
        start = data.draw(st.sampled_from(self.starts), "start")
        self.begin(start, data.draw(st.integers(0, 6), "requests"), data.draw(st.sampled_from(self.crowds), "owners"))

    def begin(self, start: str, requests: int, owners: int = 1) -> None:
        """Somewhere in a life, so that short stories reach its end."""
        self.owners = owners
        world, first = self.world, self.world.processes[0]
        if start == "nothing":
            return
        if start == "starting":
            world.create_db(first, OWNERS[0])
            self.some_arrive(requests)
            return
        with world.calmly():
            world.create_db(first, OWNERS[0])
            self.idle({"looked at": 2, "falling asleep": 2, "running": 0}.get(start, 4))
        match start:
            case "looked at":
                world.pass_time(6 * HOUR)
                world.reap(first)
                self.some_arrive(requests)
            case "falling asleep":
                world.pass_time(6 * HOUR)
                world.reap(first)
                while world.lease(OWNERS[0]).state is State.RUNNING and world.network.under_way:
                    self.some_arrive(1)
                self.some_arrive(requests)
            case "long asleep":
                world.pass_time(world.policy.retention)
            case "waking":
                world.create_db(first, OWNERS[0])
                self.some_arrive(requests)

    # --- what is asked of one process; `at_once`: its network is fast just now

    @rule(process=processes, owner=owners, at_once=mostly)
    def create_db(self, process: int, owner: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.create_db(asked, self.owner(owner))
        self.all_of_one_arrives(asked, at_once)

    @rule(process=processes, owner=owners, at_once=mostly)
    def heart_beat(self, process: int, owner: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.heart_beat(asked, self.owner(owner))
        self.all_of_one_arrives(asked, at_once)
        if at_once:
            self.look(process, True)  # what it may have posted

    @rule(process=processes, at_once=mostly)
    def look(self, process: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.look(asked)
        self.all_of_one_arrives(asked, at_once)

    @rule(process=processes, at_once=mostly)
    def reap(self, process: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.reap(asked)
        self.all_of_one_arrives(asked, at_once)

    @rule(process=processes, at_once=mostly)
    def reconcile(self, process: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.reconcile(asked)
        self.all_of_one_arrives(asked, at_once)

    @rule(process=processes, owner=owners, hours=st.sampled_from((None, 2, 30, 150)), at_once=mostly)
    def hold(self, process: int, owner: int, hours: float | None, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.hold(asked, self.owner(owner), hours and hours * HOUR)
        self.all_of_one_arrives(asked, at_once)

    @precondition(lambda self: not self.world.purges)  # more would leave little to tell
    @rule(process=processes, owner=owners, at_once=mostly)
    def purge(self, process: int, owner: int, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.purge(asked, self.owner(owner))
        self.all_of_one_arrives(asked, at_once)

    @precondition(lambda self: not self.world.stranded())
    @rule()
    def the_store_forgets_one(self) -> None:
        self.world.strand(new_generation())

    # --- what befalls everybody

    @rule(owner=owners)
    def touch(self, owner: int) -> None:
        """Somebody else writes the lease: whoever has read it conflicts."""
        self.world.store.touch(self.owner(owner), databases.ID)

    @rule()
    def kubelet_sleeps_or_wakes(self) -> None:
        self.world.kubernetes.controllers.asleep ^= True
        self.world.run_alone(self.world.kubernetes.settle())

    @rule(owner=owners)
    def restart_the_server(self, owner: int) -> None:
        if found := self.world.server(self.owner(owner)):
            self.world.used(found[0])
            self.world.kubernetes.controllers.restart(self.world.lease(self.owner(owner)).generation)

    @rule(seconds=st.sampled_from([6.0, 31.0, 11 * MINUTE, 35 * MINUTE, 12 * HOUR, 15 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(times=st.integers(1, 4))
    def idle(self, times: int) -> None:
        """Hours in which the network works, the reaper passes and owners do nothing new."""
        for _ in range(times):
            self.world.pass_time(6 * HOUR)
            self.world.reap(self.world.processes[0])
            self.everything_arrives()

    # --- what owners do in their databases

    @rule(owner=owners, stays=st.booleans())
    def connect(self, owner: int, stays: bool) -> None:
        if found := self.world.server(self.owner(owner)):
            self.world.used(found[0])
            found[1].connect()
            if not stays:
                found[1].disconnect()

    @rule(owner=owners)
    def disconnect(self, owner: int) -> None:
        if (found := self.world.server(self.owner(owner))) and found[1].connections:
            self.world.used(found[0])
            found[1].disconnect()

    @rule(owner=owners)
    def work(self, owner: int) -> None:
        if (found := self.world.server(self.owner(owner))) and found[1].connections:
            life, server = found
            self.world.used(life)
            row = f"row {len(life.data)}"
            server.execute(row)
            life.data.append(row)

    # --- what must come in the end

    def teardown(self) -> None:
        try:
            self.converge()
        finally:
            self.world.close()

    def converge(self) -> None:
        """Once the network works and nobody dies, everything settles and owners have their data."""
        world = self.world
        world.kubernetes.controllers.asleep = False
        world.calm_down()
        world.pass_time(2 * CLOCK_SKEW)
        healthy = world.new_process(0.0)
        world.processes.append(healthy)
        for _ in range(12):
            self.timers(healthy)
            world.pass_time(6 * MINUTE)
        for owner in OWNERS:
            lease = world.lease(owner)
            waits = lease and lease.state is State.ARCHIVING and lease.reason.startswith("kept")  # for another day
            assert lease is None or waits or lease.state in SETTLED, f"{lease} has not settled"
        for _ in range(2):  # sees what nobody owns, then stops it
            world.pass_time(2 * HOUR)
            self.run(healthy, lambda: world.reconcile(healthy))
        for replicas, data in world.stranded():
            assert (replicas, data) == (0, ["precious"]), "what nobody owns is stopped, and keeps its volume"
        for owner in OWNERS:
            if (lease := world.lease(owner)) is not None and lease.state is State.HIBERNATED:
                self.wake_by_a_beat(healthy, owner)
            before = world.lease(owner)
            answer = self.run(healthy, lambda owner=owner: world.create_db(healthy, owner))
            assert isinstance(answer, str), f"{owner} does not get a database: {answer!r}"
            after, found = world.lease(owner), world.server(owner)
            assert after.state is State.RUNNING and found is not None, f"{owner} was told of what does not run"
            life, server = found
            assert server.data == life.data, f"{owner} has lost data"
            if before is not None and before.state in (State.RUNNING, State.HIBERNATED):
                assert after.generation == before.generation, f"{owner} was given another database"
        world.check()

    def timers(self, process: Process) -> None:
        """All that a process does by itself, once."""
        self.run(process, lambda: self.world.reap(process))
        while self.world.posted:
            self.run(process, lambda: self.world.look(process))

    def wake_by_a_beat(self, process: Process, owner: Owner) -> None:
        world = self.world
        beat = self.run(process, lambda: world.heart_beat(process, owner))
        assert beat.renewed, f"{beat} for a hibernated database"
        while world.posted:
            self.run(process, lambda: world.look(process))
        assert world.lease(owner).state is State.RUNNING, "a beat and its look do not bring it back"
