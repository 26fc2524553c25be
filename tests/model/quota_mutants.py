"""What gives each tenant its share and loses none of it, each broken once."""

from typing import Any

from shared.domain import databases
from shared.domain.errors import TooMany
from shared.domain.leases import Lease
from shared.domain.starts import Starts
from tests.model.mutants import Mutant
from tests.model.tenants import POLICY


def _does_nothing(original: Any) -> Any:
    return lambda self, *args: None


def _knows_no_share(original: Any) -> Any:
    return lambda self, tenant: not self._places.total or len(self._taken) < self._places.total


def _knows_no_total(original: Any) -> Any:
    return lambda self, tenant: not self._places.tenant or self._of[tenant] < self._places.tenant


def _counts_no_databases(original: Any) -> Any:
    async def check(control: Any, owner: Any) -> None:
        """Whoever asks may have another one."""

    return check


def _counts_what_it_has_made(original: Any) -> Any:
    async def begin(leases: Any, before: Any, made: Lease, *rest: Any) -> Lease:
        written: Lease = await original(leases, before, made, *rest)
        if await leases.count(made.owner.tenant, POLICY.tenant_databases) >= POLICY.tenant_databases:
            raise TooMany("your tenant has them all", retry_after=60)
        return written

    return begin


QUOTA_MUTANTS = [
    Mutant("nobody is called when a place is free", Starts, "_call", _does_nothing),
    Mutant("a place is never given back", Starts, "_leave", _does_nothing),
    Mutant("a tenant may take all places", Starts, "_free", _knows_no_share),
    Mutant("tenants together may take more than there are", Starts, "_free", _knows_no_total),
    Mutant("nobody counts databases", databases, "_check_quota", _counts_no_databases),
    Mutant("databases are counted when one more is begun", databases, "begin", _counts_what_it_has_made),
]
