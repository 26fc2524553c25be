"""What must come in time: nothing outlives what the policy gives it, and in the end all is settled."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.domain.hearing import RECORD, from_value
from shared.domain.leases import SPARES, Event, Lease, Owner, State
from shared.domain.policy import DAY, HOUR, MINUTE
from shared.domain.reconcile import YOUNG, Compared
from tests.model.invariants import UNSURE
from tests.simulation.shares import Shares
from tests.simulation.spares import Spares

if TYPE_CHECKING:
    from tests.simulation.parts import SimulatedStore, WatchedMachines
    from tests.simulation.troubles import Weather

RECONCILED = 3 * HOUR  # between two passes, each of which reads every lease once more
AUDITED = 2 * HOUR
LATE = 30 * MINUTE  # wrong clocks, two passes of the reaper, and a claim whose owner died
SETTLED = (State.HIBERNATED, State.FAILED, State.RELEASED)
# How long a state that only leads to another one may last where nothing is in trouble.
PASSING = {State.PENDING: 2 * HOUR, State.WAKING: 2 * HOUR, State.HIBERNATING: HOUR, State.DELETING: HOUR}
ARCHIVED = 4 * DAY  # three tries, a day apart each, for what stores it badly now and then
SELDOM = 3  # looks at a database that was heard from, and one a day


class Bounds(Spares, Shares):
    """Checked every two hours. Time in trouble (`Weather.excused`) counts for nothing in any of this.

    A look is late by LATE at most: no lease is due for longer. Between two looks at a running database lies the
    grace at most (after a look that found all quiet), so **no idle database outlives its policy by more than two
    looks**: one that sees that it was used, and one the grace later. With U the last moment at which it was used
    (a beat sent, a connection opened, closed or at work, a restart, its becoming ready, the end of a hold), it is
    asleep by U + 2 x grace + LATE if no connection is open, and by U + grace + hard cap + LATE whatever is open.

    What sleeps is archived or deleted within retention + LATE of falling asleep, or of the end of its hold. What
    nobody owns wants no replica any more when two passes of reconcile that met no trouble have begun since it was old
    enough, and there is such a pass in time for four.
    And nobody pays for looks that are not needed: what is heard from is looked at once a day. `Spares` has the pool's.
    """

    store: "SimulatedStore"
    cluster: "WatchedMachines"
    weather: "Weather"
    users: list[Any]
    loop: asyncio.AbstractEventLoop
    over: asyncio.Future[None]

    def begin_bounds(self) -> None:
        self.orphans: dict[str, float] = {}
        self.passes = [self.now]  # when those of reconcile began that met no trouble, and found not too much to touch
        self.compared_at = self.now  # when the last one began that met no trouble
        self.needless: dict[str, int] = defaultdict(int)
        self.beats: dict[Owner, float] = defaultdict(float)  # when one was sent last
        self.mortal = True

    async def audits(self) -> None:
        while True:
            await asyncio.sleep(AUDITED)
            self.audit()

    def audit(self) -> None:
        for lease in self.store.everything():
            if not lease.spare:
                self.tried(lease.owner, self.in_time, lease)
        for slot in self.slots:
            self.tried(SPARES, self.spare_in_time, slot)
        self.tried(None, self.check_databases)
        for generation, workload in self.cluster.workloads.items():
            if workload.replicas:
                self.no_orphan(generation, workload.volume.life.owner, workload.volume.life.lease)
        if not self.within(None, self.compared_at, 4 * RECONCILED):
            self.breaks(None, AssertionError("nobody has compared cluster and store for long"))

    def tried(self, owner: Owner | None, check: Callable[..., None], *what: Any) -> None:
        try:
            check(*what)
        except AssertionError as error:
            self.breaks(owner, error)

    def excuse(self, owner: Owner | None, since: float) -> float:
        zero = self.now - self.loop.time()
        return self.weather.excuse(number(owner), since - zero, self.loop.time())

    def within(self, owner: Owner | None, since: float, seconds: float) -> bool:
        """Whether no more than so many seconds that count have passed."""
        past = self.now - since
        return past <= seconds + LATE or past - self.excuse(owner, since) <= seconds + LATE

    def in_time(self, lease: Lease) -> None:
        owner, state, life = lease.owner, lease.state, self.lives[lease.generation]
        if state is State.RELEASED:
            return
        assert self.within(owner, lease.due_at, 0.0), f"nobody has looked at what is {state} since it was due"
        since = max(life.moved_at, lease.held_until or 0.0)
        match state:
            case State.RUNNING:
                self.not_idle(lease, max(since, life.used_at, self.beats[owner]))
            case State.HIBERNATED | State.FAILED:
                assert self.within(owner, since, self.policy.retention), f"it is {state} beyond its retention"
            case State.ARCHIVING:
                tasks = self.weather.unable.seconds(since - self.now + self.loop.time(), self.loop.time())
                assert self.within(owner, since, ARCHIVED + tasks), "it is never archived"
            case _:
                assert self.within(owner, since, PASSING[state]), f"it stays {state}"

    def not_idle(self, lease: Lease, used: float) -> None:
        policy, found = self.policy, self.server(lease.owner)
        connected = found is not None and found[1].connections > 0
        if found is not None and found[1].executing:
            return
        longest = policy.grace + (policy.hard_cap if connected else policy.grace)
        assert self.within(lease.owner, used, longest), f"it is idle and runs, {(self.now - used) / HOUR:.1f} h later"

    def no_orphan(self, generation: str, owner: Owner, id: str) -> None:
        """A workload that no lease names is stopped: an hour old, marked in one pass, stopped in the next."""
        lease = self.store.peek(owner, id)
        if lease is not None and lease.generation == generation and lease.state is not State.RELEASED:
            self.orphans.pop(generation, None)
            return
        since = self.orphans.setdefault(generation, self.now) + YOUNG + UNSURE
        if sum(began > since for began in self.passes[-3:]) > 2:
            self.breaks(owner, AssertionError(f"{generation} runs and nobody owns it"))

    def compared(self, task: asyncio.Task[Any], began: float) -> None:
        """A pass of reconcile has ended; it counts if nothing was in its way."""
        met = self.weather.share("store") or self.weather.share("cluster")
        if not met and not task.cancelled() and isinstance(task.result(), Compared):
            self.compared_at = began
            if not task.result().stopped:  # more orphans than a pass may touch are an operator's to judge
                self.passes.append(began)

    def witness(self, before: Lease | None, after: Lease, event: Event | None) -> None:
        super().witness(before, after, event)
        if before is None or event is not None or after.step == before.step or after.state is not State.RUNNING:
            return
        beating = self.now - self.acknowledged[after.owner] < self.policy.silence - UNSURE
        if beating and before.held_until is None and before.look_by > self.now + self.policy.silence + UNSURE:
            self.needless[after.generation] += 1
            seldom = SELDOM + (self.now - self.lives[after.generation].born) / DAY
            if self.needless[after.generation] > seldom:
                self.breaks(after.owner, AssertionError("looked at again and again although it is heard from"))

    async def converged(self) -> None:
        """Without troubles and users all has settled; and everybody who comes is given what was theirs."""
        self.mortal = False
        self.tried(SPARES, self.check_full)
        for lease in self.store.everything():
            if not lease.spare and not self.settled(lease):
                self.breaks(lease.owner, AssertionError(f"{lease.state} is not where anything settles"))
        record = await self.store.read(RECORD)
        gaps = [gap for gap in from_value(record.value).gaps if gap[0] > 0] if record else []
        deaf, excused = sum(end - begin for begin, end in gaps), self.weather.excused.seconds(0.0, self.loop.time())
        if deaf > excused:
            self.breaks(
                None, AssertionError(f"{deaf / HOUR:.1f} h count as deaf, {excused / HOUR:.1f} h can have been")
            )
        opened = await asyncio.gather(*(user.open_late(2 * HOUR) for user in self.users), return_exceptions=True)
        for user, answer in zip(self.users, opened, strict=True):
            if isinstance(answer, BaseException):
                self.breaks(user.owner, answer)
            elif not answer and not user.one_too_many:
                self.breaks(user.owner, AssertionError("nobody gives it a database"))
        await asyncio.sleep(LATE)
        self.tried(SPARES, self.check_full)

    def settled(self, lease: Lease) -> bool:
        """Whether it is where nothing but time or its owner takes it further, or its time has come just now."""
        if lease.state is State.RUNNING:
            return lease.held_until is not None and self.now < lease.held_until + LATE
        if lease.state is State.ARCHIVING and lease.reason.startswith("kept"):  # for another day
            return True
        going = lease.state in (State.ARCHIVING, State.DELETING)
        return lease.state in SETTLED or (going and self.now - self.lives[lease.generation].moved_at < HOUR)


def number(owner: Owner | None) -> int:
    """Which of the users it is; -1 for nobody of them."""
    kind, _, which = owner.user.partition("-") if owner else ("", "", "")
    return int(which) if kind == "user" else -1
