"""From request to model, from answer to response: what every HTTP function shares."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, overload

import azure.functions as func
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.domain.acting import Acting, acting
from shared.domain.errors import InvalidRequest, NotReady, PlaygroundError
from shared.domain.identity import Principal
from shared.edge import observing, problems, refusing, tracing

log = logging.getLogger("playground.web")

LARGEST_BODY = 64 * 1024

type Identify = Callable[[func.HttpRequest], Awaitable[Principal]]
type Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


class Answer(BaseModel):
    """Base of what functions answer with."""

    model_config = ConfigDict(frozen=True)

    @property
    def etag(self) -> str:
        """The ETag to answer with, quotes included; "" for none."""
        return ""

    def content(self) -> tuple[str, bytes]:
        """Media type and bytes."""
        return "application/json", self.model_dump_json(exclude_none=True).encode()


class Asked(BaseModel):
    """Base of what callers send: strictly typed; keys that nobody reads are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


@dataclass(frozen=True, slots=True)
class Contract:
    """What a handler was made of; what describes the API reads it as `contract` of the handler."""

    act: Callable[..., Awaitable[Answer]]
    status: int
    identify: Identify | None = None
    query: type[Asked] | None = None
    body: type[Asked] | None = None


type Deed[*Models, A] = Callable[[Principal, *Models], Awaitable[A]]


@overload
def endpoint[B: Asked, A: Answer](
    identify: Identify, *, body: type[B], status: int = 200
) -> Callable[[Deed[B, A]], Handler]: ...
@overload
def endpoint[Q: Asked, A: Answer](
    identify: Identify, *, query: type[Q], status: int = 200
) -> Callable[[Deed[Q, A]], Handler]: ...
@overload
def endpoint[Q: Asked, B: Asked, A: Answer](
    identify: Identify, *, query: type[Q], body: type[B], status: int = 200
) -> Callable[[Deed[Q, B, A]], Handler]: ...
def endpoint(
    identify: Identify, *, query: type[Asked] | None = None, body: type[Asked] | None = None, status: int = 200
) -> Callable[[Callable[..., Awaitable[Answer]]], Handler]:
    """Makes an HTTP trigger of `async (caller, query's model, body's model) -> answer`; errors become problems."""

    async def read(req: func.HttpRequest) -> list[Any]:
        caller = await identify(req)
        asked = [parse_query(query, req)] if query else []
        return [caller, *asked, *([parse_body(body, req.get_body())] if body else [])]

    return _answering(read, lambda act: Contract(act, status, identify, query, body))


@overload
def open_endpoint[A: Answer](*, status: int = 200) -> Callable[[Callable[[], Awaitable[A]]], Handler]: ...
@overload
def open_endpoint[B: Asked, A: Answer](
    *, body: type[B], status: int = 200
) -> Callable[[Callable[[B], Awaitable[A]]], Handler]: ...
def open_endpoint(
    *, body: type[Asked] | None = None, status: int = 200
) -> Callable[[Callable[..., Awaitable[Answer]]], Handler]:
    """The same for whoever has no certificate: no principal is built, whatever the headers say."""

    async def read(req: func.HttpRequest) -> list[Any]:
        return [parse_body(body, req.get_body())] if body else []

    return _answering(read, lambda act: Contract(act, status, body=body))


def _answering(
    read: Callable[[func.HttpRequest], Awaitable[list[Any]]],
    describe: Callable[[Callable[..., Awaitable[Answer]]], Contract],
) -> Callable[[Callable[..., Awaitable[Answer]]], Handler]:
    def decorate(act: Callable[..., Awaitable[Answer]]) -> Handler:
        contract = describe(act)

        async def handle(req: func.HttpRequest) -> func.HttpResponse:
            before = acting.set(Acting(trace=tracing.current_id()))  # whoever it is, until `identify` knows
            try:
                answer = await act(*await read(req))
            except PlaygroundError as error:
                refusing.tell(act.__name__, req, error)
                problem = problems.answer(error)
                if problem.status_code >= 500 and not isinstance(error, NotReady):
                    log.warning("%s: %s: %s", act.__name__, type(error).__name__, error)
                return problem
            except Exception as error:
                log.exception("%s failed", act.__name__)
                return problems.answer(error)
            finally:
                acting.reset(before)
            headers = {"Cache-Control": "no-store"} | ({"ETag": answer.etag} if answer.etag else {})
            mimetype, content = answer.content()
            return func.HttpResponse(content, status_code=contract.status, mimetype=mimetype, headers=headers)

        handle.__name__, handle.__doc__ = act.__name__, act.__doc__
        vars(handle)["contract"] = contract
        return observing.answered(handle)

    return decorate


def parse_body[M: Asked](model: type[M], body: bytes) -> M:
    """The JSON object in a body, whatever its content type says. Raises InvalidRequest, TooLarge."""
    if len(body) > LARGEST_BODY:
        raise problems.TooLarge(f"the body is larger than {LARGEST_BODY} bytes")
    if not body.strip():
        raise InvalidRequest("the body is missing: send a JSON object")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None


def parse_query[M: Asked](model: type[M], req: func.HttpRequest) -> M:
    """The query's parameters, those of the path (decoded once, by the host) and If-Match. Raises InvalidRequest."""
    given: dict[str, Any] = {**req.params, **req.route_params, "If-Match": req.headers.get("If-Match", "")}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None


def explain(error: ValidationError) -> str:
    """What is wrong, field by field, without repeating what was sent."""
    sentences = []
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in found["loc"]) or "the body"
        sentences.append(f"{where}: {found['msg'][0].lower()}{found['msg'][1:]}")
    return "; ".join(sentences)
