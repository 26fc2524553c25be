"""From error to answer: one table, RFC 9457 problem documents.

Functions answer by it, and the front of our own server, where it has no function to ask.
"""

import json
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from shared.domain import errors
from shared.edge import tracing

CONTENT_TYPE = "application/problem+json"


class TooLarge(errors.PlaygroundError):
    """A request's body is larger than any request of ours can be."""


class NotHttp(errors.PlaygroundError):
    """What came can be read as no request."""


class WrongMethod(errors.PlaygroundError):
    """There is something at that path, but it takes other methods."""


class HeadTooLarge(errors.PlaygroundError):
    """Request line and headers are larger, or more, than any request of ours can have."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One row. `told`: an error's own detail is for its caller; it is for the log alone otherwise."""

    status: int
    slug: str
    title: str
    told: bool = True


TABLE: dict[type[Exception], Problem] = {
    NotHttp: Problem(400, "not-http", "The request is not valid HTTP"),
    errors.InvalidRequest: Problem(400, "invalid-request", "The request is not valid"),
    errors.NotAuthenticated: Problem(403, "not-authenticated", "No client certificate that is accepted here"),
    errors.NotInvited: Problem(403, "not-invited", "No token that is accepted here"),
    errors.NotFound: Problem(404, "not-found", "There is no such thing"),
    WrongMethod: Problem(405, "wrong-method", "What is there takes other methods"),
    errors.NotAllowed: Problem(409, "not-allowed", "That cannot be done with it as it is"),
    errors.PreconditionFailed: Problem(412, "precondition-failed", "It has changed meanwhile"),
    TooLarge: Problem(413, "too-large", "The request is too large"),
    HeadTooLarge: Problem(431, "head-too-large", "The request's line and headers are too large"),
    errors.TooMany: Problem(429, "too-many", "More than your share"),
    errors.NotReady: Problem(503, "not-ready", "Not ready yet"),
    errors.Conflict: Problem(503, "conflict", "Somebody else changed this at the same time"),
    errors.Fenced: Problem(503, "conflict", "Somebody else changed this at the same time"),
    errors.StoreUnavailable: Problem(
        503, "store-unavailable", "The store of leases cannot be used just now", told=False
    ),
    errors.ArchiveUnavailable: Problem(
        503, "archive-unavailable", "Where archives are kept cannot be used just now", told=False
    ),
    errors.AuthorityUnavailable: Problem(
        503, "authority-unavailable", "Certificates cannot be signed just now", told=False
    ),
    errors.ClusterUnavailable: Problem(503, "cluster-unavailable", "The cluster cannot be used just now"),
    errors.ClusterRefused: Problem(503, "cluster-refused", "The cluster refuses"),
    errors.SealBroken: Problem(500, "seal-broken", "Stored credentials cannot be opened", told=False),
}
INTERNAL = Problem(500, "internal", "Something went wrong here", told=False)
IN_THE_LOG = "what it was is in the log of this server"


def document(error: Exception) -> dict[str, Any]:
    """What is told of an error; a kind that is not in the table counts as the nearest that is.

    Of paths, hosts and keys of ours the caller learns nothing; by `trace_id` the lines are found
    that the log has of it.
    """
    problem = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)
    return {
        "type": f"urn:playground:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": (str(error) if problem.told else IN_THE_LOG) or problem.title,
        "trace_id": tracing.current_id() or tracing.received(None).id,
    }


def answer(error: Exception) -> func.HttpResponse:
    """A function's answer to an error."""
    told, headers = document(error), {"Cache-Control": "no-store"}
    if told["status"] in (429, 503):
        headers["Retry-After"] = str(getattr(error, "retry_after", None) or 5)
    return func.HttpResponse(json.dumps(told), status_code=told["status"], mimetype=CONTENT_TYPE, headers=headers)
