"""DELETE /api/leases/{id}: its owner wants a lease gone."""

from typing import Literal

import azure.functions as func

from shared.domain import steering
from shared.domain.identity import Principal
from shared.edge.leases import LeaseAnswer, Steered
from shared.edge.web import endpoint
from shared.wiring import callers, clocks
from shared.wiring.looks import looks
from shared.wiring.policies import policy
from shared.wiring.store import store

bp = func.Blueprint()


class EndLease(Steered):
    """`purge`: its data is given up, too, what is archived of it included."""

    purge: Literal["true", "false"] = "false"


@bp.function_name("end_lease")
@bp.route("api/leases/{id}", methods=["DELETE"])
@endpoint(callers.identify, query=EndLease, status=202)
async def end_lease(caller: Principal, asked: EndLease) -> LeaseAnswer:
    """Once it is written it will be done; asking again changes nothing.

    Raises InvalidRequest, NotFound, NotAllowed where nothing archives, PreconditionFailed, Conflict,
    StoreUnavailable.
    """
    target = steering.target(caller, asked.owner, asked.id, asked.revisions)
    leases, rules, clock = await store.get(), await policy.get(), clocks.clock
    lease = await steering.end(leases, await looks.get(), clock, rules, target, purge=asked.purge == "true")
    return LeaseAnswer.of(lease, rules, clock.now())
