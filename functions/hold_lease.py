"""PUT /api/leases/{id}/hold: its owner wants a lease kept, whatever its use."""

import azure.functions as func

from shared.domain import steering
from shared.domain.identity import Principal
from shared.edge.leases import LeaseAnswer, Steered, Wished
from shared.edge.web import endpoint
from shared.wiring import callers, clocks
from shared.wiring.policies import policy
from shared.wiring.store import store

bp = func.Blueprint()


@bp.function_name("hold_lease")
@bp.route("api/leases/{id}/hold", methods=["PUT"])
@endpoint(callers.identify, query=Steered, body=Wished)
async def hold_lease(caller: Principal, asked: Steered, wished: Wished) -> LeaseAnswer:
    """Until then it is neither hibernated nor deleted; `until` null ends a hold.

    Raises InvalidRequest, NotFound, NotAllowed, PreconditionFailed, Conflict, StoreUnavailable.
    """
    target = steering.target(caller, asked.owner, asked.id, asked.revisions)
    leases, rules, clock = await store.get(), await policy.get(), clocks.clock
    lease = await steering.hold(leases, clock, rules, target, wished.until, wished.note)
    return LeaseAnswer.of(lease, rules, clock.now())
