"""GET /api/leases/{id}/events: what became of a lease, oldest first."""

import azure.functions as func

from shared.domain import steering
from shared.domain.identity import Principal
from shared.edge import tokens
from shared.edge.leases import EventAnswer, Named, Page
from shared.edge.web import Answer, endpoint
from shared.wiring import callers
from shared.wiring.store import store

bp = func.Blueprint()


class ListEvents(Named, Page):
    """Whose, which, and which part."""


class Events(Answer):
    """`next`: what to pass as `after` for the rest."""

    events: list[EventAnswer]
    next: str | None


@bp.function_name("list_events")
@bp.route("api/leases/{id}/events", methods=["GET"])
@endpoint(callers.identify, query=ListEvents)
async def list_events(caller: Principal, asked: ListEvents) -> Events:
    """Those of all its lives; they outlive the lease.

    Raises InvalidRequest, NotFound, StoreUnavailable.
    """
    target = steering.target(caller, asked.owner, asked.id)
    found, further = await steering.history(await store.get(), target, asked.after, asked.limit)
    return Events(events=[EventAnswer.of(event) for event in found], next=tokens.encode(further) or None)
