"""A world of tenants that have shares, and processes that keep them: the real create_db, in a crowd."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from shared.domain import databases
from shared.domain.beats import RecentBeats
from shared.domain.control import Control, Pool
from shared.domain.errors import TooMany
from shared.domain.leases import Lease, Owner, State
from shared.domain.policy import Policy
from shared.domain.starts import Places
from tests.doubles.cluster import MemoryCluster
from tests.doubles.machines import Machines
from tests.doubles.memory import MemoryStore
from tests.model.acts import Acts
from tests.model.network import Wire
from tests.model.shares import WatchedStarts, too_many_databases
from tests.model.stage import Stage
from tests.model.watched import PostedLooks, Process, WorldClock
from tests.model.world import KEYS

OWNERS = (Owner("a", "alice"), Owner("a", "bob"), Owner("a", "carol"), Owner("b", "dan"), Owner("b", "erin"))
PLACES = Places(total=2, tenant=1)
WIDER = Places(total=3, tenant=2)
POLICY = Policy(delete_without_archive=True, tenant_databases=2)
QUICK, SLOW = 2.0, 60.0  # seconds that a database takes to start


class Writes:
    """The store as one request sees it: `written` are the states that it wrote, or tried to."""

    def __init__(self, store: Any):
        self._store = store
        self.written: list[State] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in ("create", "replace"):
            return method

        async def write(lease: Lease, *event: Any) -> Lease:
            self.written.append(lease.state)
            kept: Lease = await method(lease, *event)
            return kept

        return write


@dataclass(eq=False)
class Ask:
    """A create_db under way since `at`, by the loop's clock."""

    owner: Owner
    process: Process
    at: float
    task: asyncio.Task[Any]


class Tenants(Stage[Process], Acts):
    """Databases start in `takes` seconds."""

    def __init__(self, places: Places = PLACES):
        super().__init__()
        self.policy, self.places, self.takes = POLICY, places, QUICK
        self.store = MemoryStore(clock=self.clock)
        self.machines = Machines(self.clock, starts=lambda: self.takes)
        self.posted: list[tuple[Owner, str]] = []
        self.purges: set[Owner] = set()
        self.asks: list[Ask] = []
        self.processes = [self.new_process() for _ in range(2)]

    def new_process(self) -> Process:
        name, clock = self.name(), WorldClock(self.loop)
        leases, looks = Wire(self.store, self.network, name, "store"), PostedLooks(self.posted)
        control = Control(leases, MemoryCluster(self.machines), looks, KEYS, clock, self.policy, None, Pool(),
                          WatchedStarts(self.places, self.breaks))  # fmt: skip
        return Process(name, control, RecentBeats(clock))

    def another(self, process: Process) -> Process:
        return self.new_process()

    def lease(self, owner: Owner) -> Lease | None:
        return self.store.peek(owner, databases.ID)

    def databases(self, tenant: str) -> int:
        leases = [self.lease(owner) for owner in OWNERS if owner.tenant == tenant]
        return sum(lease is not None and lease.state is not State.RELEASED for lease in leases)

    def ask(self, process: Process, owner: Owner) -> Ask:
        """create_db, whose refusal must leave the store as it is."""
        writes = Writes(process.control.leases)

        async def create() -> str:
            try:
                return await databases.create(replace(process.control, leases=writes), owner)
            except TooMany as error:
                try:
                    self.check_refusal(owner, error, writes.written)
                except AssertionError as wrong:
                    self.breaks(owner, wrong)
                raise

        ask = Ask(owner, process, self.loop.time(), self.begin(process, create()))
        self.asks.append(ask)
        return ask

    def give_up(self, ask: Ask) -> None:
        """Who asked hangs up."""
        if ask.task in ask.process.work:
            ask.process.work.remove(ask.task)
        ask.task.cancel()
        self.settle()

    def check_refusal(self, owner: Owner, error: TooMany, written: list[State]) -> None:
        assert error.retry_after is not None and error.retry_after > 0, "refused, and not told for how long"
        assert State.PENDING not in written, "refused, though a life was begun"
        if too_many_databases(error):
            has, most = self.databases(owner.tenant), self.policy.tenant_databases
            assert has >= most, f"refused, though its tenant has {has} databases and may have {most}"
        else:
            assert not written, "refused, though something was done"

    def check(self) -> None:
        """What must be true at any moment, besides what `WatchedStarts` sees."""
        self.asks = [ask for ask in self.asks if not ask.task.done()]
        for ask in self.asks:
            assert self.loop.time() - ask.at <= self.policy.answer, f"{ask.owner} waits for ever"
        for process in self.processes:
            starts = process.control.starts
            assert isinstance(starts, WatchedStarts)
            starts.check_waiting()
