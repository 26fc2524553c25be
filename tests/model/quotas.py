"""The state machine of shares: who is let in, who waits, who is refused, and that nothing of it is lost."""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from shared.domain.errors import TooMany
from shared.domain.leases import Owner
from shared.domain.starts import Places
from tests.model.rules import NetworkRules, mostly, processes
from tests.model.shares import too_many_databases
from tests.model.tenants import OWNERS, PLACES, QUICK, SLOW, WIDER, Tenants
from tests.model.watched import Process

owners = st.sampled_from(OWNERS)
some = st.integers(0, 7)


class QuotaMachine(NetworkRules):
    """Two processes, two tenants, places for few, and databases that start at once or hardly at all."""

    world: Tenants

    def __init__(self) -> None:
        super().__init__()
        self.world = Tenants()

    @initialize(places=st.sampled_from((PLACES, WIDER)), crowd=st.lists(owners, max_size=6))
    def begin_in_a_crowd(self, places: Places, crowd: list[Owner]) -> None:
        self.world.close()
        self.world = Tenants(places)
        for owner in crowd:
            self.ask(0, owner, at_once=True)

    @rule(process=processes, owner=owners, at_once=mostly)
    def ask(self, process: int, owner: Owner, at_once: bool) -> None:
        asked = self.world.processes[process]
        self.world.ask(asked, owner)
        self.all_of_one_arrives(asked, at_once)

    @precondition(lambda self: self.world.asks)
    @rule(which=some)
    def give_up(self, which: int) -> None:
        self.world.give_up(self.world.asks[which % len(self.world.asks)])
        self.world.check()

    @rule(process=processes, owner=owners)
    def purge(self, process: int, owner: Owner) -> None:
        """Its owner makes room."""
        asked = self.world.processes[process]
        self.world.purge(asked, owner)
        self.all_of_one_arrives(asked)
        self.reap(process)

    @rule(process=processes)
    def reap(self, process: int) -> None:
        asked = self.world.processes[process]
        self.world.reap(asked)
        self.all_of_one_arrives(asked)

    @rule(takes=st.sampled_from((0.0, QUICK, SLOW)))
    def databases_start_in(self, takes: float) -> None:
        self.world.takes = takes

    @rule(seconds=st.sampled_from((0.5, 1.0, 3.0, 9.0, 18.0, 60.0)))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(seconds=st.integers(1, 20))
    def time_passes_and_the_network_works(self, seconds: int) -> None:
        for _ in range(seconds):
            self.everything_arrives()
            self.world.pass_time(1.0)

    # --- what must come in the end

    def teardown(self) -> None:
        try:
            self.converge()
        finally:
            self.world.close()

    def converge(self) -> None:
        """Once the network works everybody who comes when it is told has a database, or its tenant has enough."""
        world = self.world
        world.takes = QUICK
        world.calm_down()
        for _ in range(20):
            world.pass_time(31.0)
            self.run(world.processes[0], lambda: world.reap(world.processes[0]))
        for process in world.processes:
            assert process.control.starts.empty(), "somebody has a place, and nobody is there"
        for owner in OWNERS:  # one after the other, nothing is made that is not counted
            before = world.databases(owner.tenant)
            self.run(world.processes[0], lambda owner=owner: world.ask(world.processes[0], owner).task)
            assert world.databases(owner.tenant) <= max(before, world.policy.tenant_databases), "nobody counts them"
        for process in world.processes:
            self.all_are_served(process)

    def all_are_served(self, process: Process) -> None:
        """All come at once."""
        wait = dict.fromkeys(OWNERS, 0.0)
        for _ in range(12):
            asks = [self.world.ask(process, owner) for owner in wait]
            self.world.pass_time(20.0)
            refused = {ask.owner: ask.task.result() for ask in asks if not isinstance(ask.task.result(), str)}
            told = {owner: answer for owner, answer in refused.items() if isinstance(answer, TooMany)}
            wait = {owner: float(answer.retry_after or 0) for owner, answer in told.items()
                    if not too_many_databases(answer)}  # fmt: skip
            wait |= {owner: 5.0 for owner in refused.keys() - told.keys()}
            if not wait:
                return
            self.world.pass_time(max(wait.values()))
        raise AssertionError(f"{list(wait)} come again and again")
