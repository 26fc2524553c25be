"""What is told of every request, timer and message: how long it took, what came of it, and which trace it is of."""

import time
from collections.abc import Awaitable, Callable
from functools import wraps

import azure.functions as func

from shared.edge import messages, tracing
from shared.ports import metrics
from shared.ports.telemetry import SILENT, Reach, Telemetry

telemetry: Telemetry = SILENT
"""To whom this process tells it; `wiring.telemetry` says so when the app is loaded."""

type Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


def answered(handle: Handler) -> Handler:
    """Of an HTTP function."""
    name = handle.__name__

    @wraps(handle)
    async def observed(req: func.HttpRequest) -> func.HttpResponse:
        began, status = time.perf_counter(), 500  # what its host answers where it raises
        with tracing.joined(req.headers.get(tracing.HEADER)), telemetry.span(name, Reach.SERVER) as span:
            try:
                response = await handle(req)
                status = response.status_code
            finally:
                telemetry.tell(metrics.REQUESTS, time.perf_counter() - began, name, str(status))
                span.note("http.request.method", req.method)
                span.note("http.route", name)
                span.note("http.response.status_code", status)
        return response

    return observed


def fired[**P](function: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Of a function that a timer or a message fires; a message may say which trace it belongs to."""
    name = function.__name__

    @wraps(function)
    async def observed(*args: P.args, **kwargs: P.kwargs) -> None:
        traceparent, posted_at = "", None
        for value in kwargs.values():
            if isinstance(value, func.QueueMessage):
                traceparent, posted_at = messages.carried(value.get_body())
        if posted_at is not None:
            telemetry.tell(metrics.WAITED, max(0.0, time.time() - posted_at))
        began, outcome = time.perf_counter(), "failed"
        with tracing.entered(traceparent), telemetry.span(name, Reach.CONSUMER):
            try:
                await function(*args, **kwargs)
                outcome = "done"
            finally:
                telemetry.tell(metrics.PASSES, time.perf_counter() - began, name, outcome)

    return observed
