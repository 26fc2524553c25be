"""What a tenant may have, in a month: it is refused more only where its share is used up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.domain.errors import TooMany
from shared.domain.leases import Owner, State
from shared.domain.policy import Policy
from shared.domain.starts import Places
from tests.model.invariants import Invariants
from tests.model.shares import too_many_databases

if TYPE_CHECKING:
    from tests.simulation.parts import SimulatedStore

INSTANCES = 3
# Users for whom an instance has one place a tenant, and two in all: so few that those who begin together wait for them,
# and enough for all who come within two hours.
FOR_ONE = 1000
WITHOUT = 0.05, 16  # which part of the largest tenant, and how many at least, may have no database


class Shares(Invariants):
    """Places in an instance are watched by `WatchedStarts`; here it is the number of databases."""

    store: "SimulatedStore"
    tenants: dict[int, str]

    def begin_shares(self) -> None:
        tenant = max(1, len(self.tenants) // FOR_ONE)
        self.places = Places(total=2 * tenant, tenant=tenant)  # of each instance
        self.refusals: Counter[str] = Counter()  # by what there was too much of

    def shared_out(self, policy: Policy, tenants: Iterable[str]) -> Policy:
        """The policy with a number of databases that does for most users of the largest tenant."""
        users = max(Counter(tenants).values())
        without = max(int(WITHOUT[0] * users), min(WITHOUT[1], users // 2))
        return replace(policy, tenant_databases=users - without)

    def refused(self, owner: Owner, error: TooMany) -> None:
        self.refusals["databases" if too_many_databases(error) else "starts"] += 1
        if too_many_databases(error):
            has, most = self.databases()[owner.tenant], self.policy.tenant_databases
            assert has >= most, f"refused, though its tenant has {has} databases and may have {most}"
            assert error.retry_after is not None and error.retry_after > 0, "refused, and not told for how long"

    def databases(self) -> Counter[str]:
        """How many each tenant has, asleep or not."""
        return Counter(lease.owner.tenant for lease in self.store.everything() if lease.state is not State.RELEASED)

    def check_databases(self) -> None:
        """Beyond what it may have, a tenant has no more than was being made when the last was counted."""
        for tenant, has in self.databases().items():
            beyond = has - self.policy.tenant_databases
            assert beyond <= INSTANCES * self.places.tenant, f"{tenant} has {beyond} databases more than it may"
