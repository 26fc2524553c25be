"""GET /api/leases: what the caller has; for an admin, what its tenant has."""

import azure.functions as func

from shared.domain import steering
from shared.domain.identity import Principal
from shared.edge import tokens
from shared.edge.leases import LeaseAnswer, Listing
from shared.edge.web import Answer, endpoint
from shared.wiring import callers, clocks
from shared.wiring.policies import policy
from shared.wiring.store import store

bp = func.Blueprint()


class Leases(Answer):
    """`next`: what to pass as `after` for the rest, of which there may be some even if this part is empty."""

    leases: list[LeaseAnswer]
    next: str | None


@bp.function_name("list_leases")
@bp.route("api/leases", methods=["GET"])
@endpoint(callers.identify, query=Listing)
async def list_leases(caller: Principal, asked: Listing) -> Leases:
    """Reads no more than `limit` leases, and so may answer fewer than there are.

    Raises InvalidRequest, NotFound for somebody else's, StoreUnavailable.
    """
    found, further = await steering.listed(
        await store.get(), caller, asked.owner, asked.kind, asked.state, asked.after, asked.limit
    )
    rules, now = await policy.get(), clocks.clock.now()
    return Leases(leases=[LeaseAnswer.of(lease, rules, now) for lease in found], next=tokens.encode(further) or None)
