"""From error to answer: one table, RFC 9457 problem documents."""

import json
from dataclasses import dataclass

import azure.functions as func

from shared.domain import errors

CONTENT_TYPE = "application/problem+json"


class TooLarge(errors.PlaygroundError):
    """A request's body is larger than any request of ours can be."""


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    slug: str
    title: str


TABLE: dict[type[Exception], Problem] = {
    errors.InvalidRequest: Problem(400, "invalid-request", "The request is not valid"),
    errors.NotAuthenticated: Problem(403, "not-authenticated", "No client certificate that is accepted here"),
    errors.NotFound: Problem(404, "not-found", "There is no such thing"),
    TooLarge: Problem(413, "too-large", "The request is too large"),
    errors.NotReady: Problem(503, "not-ready", "Not ready yet"),
    errors.Conflict: Problem(503, "conflict", "Somebody else changed this at the same time"),
    errors.Fenced: Problem(503, "conflict", "Somebody else changed this at the same time"),
    errors.StoreUnavailable: Problem(503, "store-unavailable", "The store of leases cannot be used just now"),
    errors.ClusterUnavailable: Problem(503, "cluster-unavailable", "The cluster cannot be used just now"),
    errors.ClusterRefused: Problem(503, "cluster-refused", "The cluster refuses"),
    errors.SealBroken: Problem(500, "seal-broken", "Stored credentials cannot be opened"),
}
INTERNAL = Problem(500, "internal", "Something went wrong here")
IN_THE_LOG = "what it was is in the log of this server"


def answer(error: Exception) -> func.HttpResponse:
    """The answer to an error; of what is our own fault (500) the caller learns nothing."""
    problem = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), INTERNAL)
    told = isinstance(error, errors.PlaygroundError) and problem.status != 500
    document = {
        "type": f"urn:playground:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": (str(error) if told else IN_THE_LOG) or problem.title,
    }
    headers = {"Cache-Control": "no-store"}
    if problem.status == 503:
        headers["Retry-After"] = str(getattr(error, "retry_after", None) or 5)
    return func.HttpResponse(json.dumps(document), status_code=problem.status, mimetype=CONTENT_TYPE, headers=headers)
