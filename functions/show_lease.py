"""GET /api/leases/{id}: how a lease stands, when it is taken away and why."""

import azure.functions as func

from shared.domain import steering
from shared.domain.identity import Principal
from shared.edge.leases import LeaseAnswer, Named
from shared.edge.web import endpoint
from shared.wiring import callers, clocks
from shared.wiring.policies import policy
from shared.wiring.store import store

bp = func.Blueprint()


@bp.function_name("show_lease")
@bp.route("api/leases/{id}", methods=["GET"])
@endpoint(callers.identify, query=Named)
async def show_lease(caller: Principal, asked: Named) -> LeaseAnswer:
    """The lease, or for some days after its end what became of it.

    Raises InvalidRequest, NotFound, StoreUnavailable.
    """
    lease = await steering.show(await store.get(), steering.target(caller, asked.owner, asked.id))
    return LeaseAnswer.of(lease, await policy.get(), clocks.clock.now())
