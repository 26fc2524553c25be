"""A control plane over doubles, on a loop whose time jumps to whatever happens next."""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from shared.adapters.k8s.databases import Databases
from shared.adapters.sealing import KeyRing, new_key
from shared.domain import databases
from shared.domain.control import Control, Pool
from shared.domain.leases import Lease, Owner, State
from shared.domain.policy import Policy
from shared.domain.starts import Starts
from shared.manifests.mariadb import Spec
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.memory import MemoryStore, Moment
from tests.doubles.network import Fate, Request
from tests.doubles.tasks import MemoryArchives
from tests.samples import ALICE, T0
from tests.virtual import VirtualLoop


def virtual[**P](test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class LoopClock:
    """Both clocks follow the loop's; `turn` lets wall time pass that nobody waited for."""

    def __init__(self) -> None:
        self.turned = 0.0

    def now(self) -> float:
        return T0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.turned

    def turn(self, seconds: float) -> None:
        self.turned += seconds


class Posted:
    def __init__(self) -> None:
        self.posted: list[tuple[Owner, str]] = []

    async def post(self, owner: Owner, id: str) -> None:
        self.posted.append((owner, id))


NO_POOL = Pool()


class Rig:
    """Store, cluster and what is between them; `dies_at` says at which of all awaits a process ends."""

    def __init__(self, policy: Policy | None = None, *, auto: bool = True, pool: Pool = NO_POOL,
                 starts: Starts | None = None):  # fmt: skip
        self.clock, self.looks = LoopClock(), Posted()
        self.calls: Counter[str] = Counter()
        self.awaits = 0
        self.dies_at: int | None = None
        self.died = asyncio.Event()
        self.store = MemoryStore(clock=self.clock, gate=self._store_gate)
        self.kubernetes = Kubernetes(clock=self.clock, gate=self._cluster_gate, auto=auto)
        self.cluster = Databases(self.kubernetes, Spec(image="mariadb"), "plane")
        keys = KeyRing.parse(new_key())
        self.archives = MemoryArchives(self.kubernetes)
        self.control = Control(
            self.store,
            self.cluster,
            self.looks,
            keys,
            self.clock,
            policy or Policy(),
            self.archives,
            pool,
            starts or Starts(),
        )

    async def _store_gate(self, name: str, moment: Moment) -> None:
        if moment == "before":
            self.calls[name] += 1
        await self._await()

    async def _cluster_gate(self, request: Request) -> Fate | None:
        await self._await()
        return None

    async def _await(self) -> None:
        self.awaits += 1
        if self.awaits == self.dies_at:
            self.died.set()
            await asyncio.Event().wait()  # for ever: its process is gone
        await asyncio.sleep(0.001)

    async def create(self, owner: Owner = ALICE) -> str:
        return await databases.create(self.control, owner)

    def lease(self, owner: Owner = ALICE) -> Lease:
        lease = self.store.peek(owner, databases.ID)
        assert lease is not None
        return lease

    async def put(self, lease: Lease) -> Lease:
        """Store it as it is, past any gate."""
        return self.store._store(lease)

    async def move(self, state: State, owner: Owner = ALICE, **changes: Any) -> Lease:
        """Somebody moved the lease there, and is at it for the time of a claim."""
        now = self.clock.now()
        due_at = changes.pop("due_at", now + self.control.policy.claim)
        return await self.put(self.lease(owner).moved(state, now, due_at, "moved by a test", **changes))

    async def moves(self, owner: Owner = ALICE) -> list[tuple[str, str]]:
        """All transitions so far."""
        return [(event.before, event.after) for event in await self.store.events(owner)]

    def standing(self, kind: str = "StatefulSet") -> list[str]:
        """Names of what there is on the cluster."""
        return [item["metadata"]["name"] for item in self.kubernetes.find(kind)]
