"""From request to model, from answer to response: what every HTTP function shares."""

import logging
from collections.abc import Awaitable, Callable

import azure.functions as func
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.domain.errors import InvalidRequest, NotReady, PlaygroundError
from shared.domain.identity import Principal
from shared.edge import problems

log = logging.getLogger("playground.web")

LARGEST_BODY = 64 * 1024

type Identify = Callable[[func.HttpRequest], Awaitable[Principal]]
type Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


class Answer(BaseModel):
    """Base of what functions answer with."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """Base of what callers send: strictly typed; keys that nobody reads are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


def endpoint[M: Asked, A: Answer](
    identify: Identify, *, body: type[M] | None = None, query: type[M] | None = None
) -> Callable[[Callable[[Principal, M], Awaitable[A]]], Handler]:
    """Makes an HTTP trigger of `async (caller, model) -> answer`; errors become problems."""
    assert (body is None) != (query is None), "a function reads its body or its query"

    def decorate(act: Callable[[Principal, M], Awaitable[A]]) -> Handler:
        async def handle(req: func.HttpRequest) -> func.HttpResponse:
            try:
                caller = await identify(req)
                asked = parse_body(body, req.get_body()) if body else parse_query(query, req)  # type: ignore[arg-type]
                answer = await act(caller, asked)
            except PlaygroundError as error:
                problem = problems.answer(error)
                if problem.status_code >= 500 and not isinstance(error, NotReady):
                    log.warning("%s: %s: %s", act.__name__, type(error).__name__, error)
                return problem
            except Exception as error:
                log.exception("%s failed", act.__name__)
                return problems.answer(error)
            return func.HttpResponse(
                answer.model_dump_json(exclude_none=True), mimetype="application/json",
                headers={"Cache-Control": "no-store"},
            )  # fmt: skip

        handle.__name__, handle.__doc__ = act.__name__, act.__doc__
        return handle

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
    """The query's parameters. Raises InvalidRequest."""
    try:
        return model.model_validate(dict(req.params))
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None


def explain(error: ValidationError) -> str:
    """What is wrong, field by field, without repeating what was sent."""
    sentences = []
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in found["loc"]) or "the body"
        sentences.append(f"{where}: {found['msg'][0].lower()}{found['msg'][1:]}")
    return "; ".join(sentences)
