"""A whole control plane of doubles in the place of this process's wiring, and what can go wrong with it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from shared.adapters.items import to_item
from shared.adapters.k8s.databases import Databases
from shared.adapters.sealing import KeyRing, new_key
from shared.domain import databases, enrolment
from shared.domain.beats import RecentBeats
from shared.domain.hearing import Hearing, to_value
from shared.domain.identity import Principal, Role
from shared.domain.leases import Lease, Owner
from shared.domain.policy import Policy
from shared.edge import refusing
from shared.manifests.mariadb import Spec
from shared.ports.clock import Clock
from shared.ports.leases import Record
from shared.wiring import beats, callers, clocks, cluster, control, issuing, looks, policies, refusals, sealing, store
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request
from tests.http import troubles

WIRED = (control.control, looks.looks, cluster.cluster, cluster.api, store.store, sealing.sealer,
         policies.policy,
         callers.certificates, callers.rates, callers.revocations,
         issuing.revocation_list, issuing.authority)  # fmt: skip
BEAT_ANSWER = databases.BEAT_ANSWER
WRITES = ("create", "replace", "beat", "keep", "write")


@dataclass
class Hands:
    """A clock that the test turns; it begins at the true time, because TLS knows no other."""

    turned: float = 0.0
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.time()

    def now(self) -> float:
        return self.began + self.turned

    def monotonic(self) -> float:
        return self.turned

    def turn(self, seconds: float) -> None:
        self.turned += seconds


class Watched:
    """A store that counts what it is asked, lets others run meanwhile, and fails as `trouble` says."""

    def __init__(self, kept: Any):
        self.kept = kept
        self.calls: Counter[str] = Counter()
        self.trouble: troubles.StoreTrouble = troubles.no_store_trouble

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any) -> Any:
            self.calls[name] += 1
            await asyncio.sleep(0)
            await self.trouble(name)
            return await getattr(self.kept, name)(*args)

        return call

    async def close(self) -> None:
        await self.kept.close()


class Posted:
    """Looks that were posted, for a test to see; nobody looks."""

    def __init__(self) -> None:
        self.posted: list[tuple[Owner, str]] = []

    async def post(self, owner: Owner, id: str) -> None:
        self.posted.append((owner, id))

    async def close(self) -> None:
        """As the real ones have it."""


class World:
    """The doubles of one control plane. `install` puts them into the wiring, `close` takes them out."""

    def __init__(self, kept: Any, clock: Clock, policy: Policy):
        self.store = Watched(kept)
        self.clock = clock
        self.policy = policy
        self.key = new_key()
        self.looks = Posted()
        self.trouble: troubles.ClusterTrouble = troubles.no_cluster_trouble
        self.kubernetes = Kubernetes(gate=self._gate, auto=True)

    async def _gate(self, request: Request) -> Fate | None:
        await asyncio.sleep(0)
        return await self.trouble(request) if request.moment == "before" else None

    async def install(self) -> None:
        await uninstall()
        clocks.clock = self.clock
        beats.recent = RecentBeats(self.clock)
        store.store.set(cast(store.Store, self.store))
        cluster.cluster.set(Databases(self.kubernetes, Spec(image="mariadb"), "plane", patience=0.01))
        looks.looks.set(self.looks)
        sealing.sealer.set(KeyRing.parse(self.key))
        policies.policy.set(self.policy)
        refusing.told = refusals.count  # as when the app is loaded, which a test that calls functions may never do

    async def hear(self) -> None:
        """The canary has been heard until now, without a gap."""
        record = await self.store.kept.read("hearing") or Record("hearing")
        await self.store.kept.write(Record("hearing", to_value(Hearing(self.clock.now())), record.etag))

    async def leases(self) -> list[Lease]:
        return list((await self.store.kept.page("", 10_000))[0])

    async def lease(self, owner: Owner) -> Lease:
        found = await self.store.kept.get(owner, "database")
        assert found is not None
        return cast(Lease, found)

    async def state(self) -> dict[str, Any]:
        """Everything that a request could have changed, as JSON; equal if and only if nothing was."""
        leases = await self.leases()
        return {
            "leases": [to_item(lease) | {"etag": lease.etag} for lease in leases],
            "events": [to_item(event) for lease in leases for event in await self.store.kept.events(lease.owner)],
            "objects": {"/".join(key): item for key, item in self.kubernetes.objects.items()},
            "asked of the cluster": len(self.kubernetes.requests),
            "written": sum(self.store.calls[name] for name in WRITES),
        }

    async def invite(self, name: str, role: str, tenant: str) -> str:
        """A token for somebody, good for a day."""
        invitee = Principal(tenant, Role(role), name)
        return await enrolment.invite(self.store.kept, self.clock, invitee, 86_400, "operator")

    async def hurry(self, seconds: float) -> None:
        """No answer takes longer than this any more: neither a create_db nor a beat."""
        databases.BEAT_ANSWER = seconds
        policies.policy.set(replace(self.policy, answer=seconds))
        await control.control.close()  # it holds the old policy


async def uninstall() -> None:
    """Close what the wiring holds, so that the next use makes it anew."""
    databases.BEAT_ANSWER = BEAT_ANSWER
    forget_refusals()
    for each in WIRED:
        await each.close()  # type: ignore[attr-defined]


def forget_refusals() -> None:
    """What was counted so far is written to no store, least of all to one that nobody here has opened."""
    counting, refusals._counting = refusals._counting, None
    writing = counting._writing if counting is not None else None
    if writing is not None and not writing.done() and not writing.get_loop().is_closed():
        writing.cancel()
