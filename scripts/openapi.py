"""The description of this API as OpenAPI 3.1, from the functions themselves.

`python -m scripts.openapi` prints it, with `--write` it is put where `functions/show_openapi.py` finds it.
Models give the schemas, blueprints paths and methods, docstrings the words; what follows "Raises" in
the docstring of a function, and of what it shares with others, gives the problems that it can answer.
"""

import inspect
import json
import pkgutil
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import azure.functions as func
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared.edge import problems
from shared.edge.problems import Problem
from shared.edge.web import LARGEST_BODY, Answer, Asked, Contract, parse_body, parse_query

ROOT = Path(__file__).parents[1]
FILE = ROOT / "shared/edge/openapi.json"
MODEL = "#/components/schemas/{model}"
NULL = {"type": "null"}
FRONTS_OWN = (problems.NotHttp, problems.TooLarge, problems.HeadTooLarge)  # whatever function it is for
WITH_RETRY_AFTER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
KINDS = {kind.__name__: kind for kind in problems.TABLE}

ABOUT = f"""
Databases on Kubernetes for notebooks: asked for, leased, taken away when nobody uses them.

A client certificate of the server's CA says who calls. A user acts for itself, a frontend for any user of its tenant,
an admin for its tenant; what is anybody else's is answered as if it were not there (404). Who has no certificate yet
enrolls, and anybody reads the revocation list, at a listener of its own: on one machine, that of `--open_port`.

Whatever is refused is answered with a problem document (RFC 9457), whose `type` says which. Another path is 404,
another method 405 with `Allow`; HEAD goes where GET goes. A 503 says by `Retry-After` when to ask again. A body has
{LARGEST_BODY} bytes at most, and is read as JSON whatever its type is said to be. Keys and parameters that are not
described here are ignored, and a parameter of the query that is empty counts as left out.
"""
PROBLEM = {
    "description": "RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "trace_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string", "description": "The same for every problem of this type."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, for people."},
        "trace_id": {
            "type": "string",
            "pattern": "^[0-9a-f]{32}$",
            "description": "The trace of this request (W3C): the caller's, where it sent a `traceparent`.",
        },
    },
}
ETAG = {"required": True, "schema": {"type": "string"}}
RETRY_AFTER = {
    "description": "Seconds after which to ask again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
WITHOUT_MODELS: dict[str, dict[str, Any]] = {
    "greet": {
        "responses": {"200": {"description": "A greeting.", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    },
    "show_openapi": {
        "parameters": [{"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}],
        "responses": {
            "200": {
                "description": "This.",
                "headers": {"ETag": ETAG},
                "content": {
                    "application/json": {"schema": {"type": "object", "required": ["openapi", "info", "paths"]}}
                },
            },
            "304": {"description": "Who asks has it already."},
        },
    },
}


class _Schemas(GenerateJsonSchema):
    """Without a title for every field, which would be its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def document() -> dict[str, Any]:
    """The whole of it."""
    paths: dict[str, dict[str, Any]] = {}
    contracts: list[Contract] = []
    refusals: dict[str, Any] = {}
    for path, method, name, handler in sorted(_functions(), key=lambda each: each[:2]):
        contract: Contract | None = vars(handler).get("contract")
        told = _of_contract(contract, path) if contract else WITHOUT_MODELS[name] | {"security": []}
        found = _problems([handler, *_shared(contract)])
        summary = (sys.modules[f"functions.{name}"].__doc__ or "").partition(": ")[2].partition("\n")[0]
        responses = told.pop("responses") | {
            status: {"$ref": f"#/components/responses/{key}"} for status, (key, _) in found.items()
        }
        paths.setdefault(path, {})[method] = {
            "operationId": name,
            "summary": summary[:1].upper() + summary[1:],
            "description": "\n\n".join([_words(handler), *_words_of_query(contract)]),
            **told,
            "responses": responses,
        }
        refusals |= dict(found.values())
        contracts += [contract] if contract else []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Playground",
            "version": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
            "description": _joined(ABOUT),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({"Problem": PROBLEM, **_schemas(contracts)}.items())),
            "responses": dict(sorted(refusals.items())),
            "securitySchemes": {
                "certificate": {"type": "mutualTLS", "description": "A client certificate of the server's CA."}
            },
        },
    }


def _functions() -> Iterator[tuple[str, str, str, Any]]:
    """Path, method, name and handler of every HTTP function."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    for module in pkgutil.iter_modules(import_module("functions").__path__):
        app.register_functions(import_module(f"functions.{module.name}").bp)
    for function in app.get_functions():
        trigger: Any = function.get_trigger()
        if trigger.type == "httpTrigger":
            for method in trigger.methods:
                path = "/" + trigger.route.strip("/")
                yield path, method.value.lower(), function.get_function_name(), function.get_user_function()


def _of_contract(contract: Contract, path: str) -> dict[str, Any]:
    """What its models say of an operation."""
    told: dict[str, Any] = {} if contract.identify else {"security": []}
    if contract.query:
        told["parameters"] = list(_parameters(contract.query, path))
    if contract.body:
        told["requestBody"] = {
            "description": f"At most {LARGEST_BODY} bytes.",
            "required": True,
            "content": {"application/json": {"schema": {"$ref": MODEL.format(model=contract.body.__name__)}}},
        }
    return told | {"responses": {str(contract.status): _answer(_answered(contract))}}


def _shared(contract: Contract | None) -> Iterator[Callable[..., Any]]:
    """What reads a request before the function itself."""
    if contract and contract.identify:
        yield contract.identify
    if contract and contract.query:
        yield parse_query
    if contract and contract.body:
        yield parse_body


def _parameters(model: type[Asked], path: str) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema(schema_generator=_Schemas)
    for name, told in schema["properties"].items():
        (told,) = _options(told)
        if told.get("default", "") in ("", None):
            told.pop("default", None)
        where = "path" if f"{{{name}}}" in path else "header" if name == "If-Match" else "query"
        parameter = {"name": name, "in": where, "required": name in schema.get("required", ()), "schema": told}
        yield parameter | ({"allowEmptyValue": True} if where == "query" else {})


def _answered(contract: Contract) -> type[Answer]:
    answer: type[Answer] = get_type_hints(contract.act)["return"]
    return answer


def _answer(answer: type[Answer]) -> dict[str, Any]:
    """One that is no JSON is bytes, of which there is no schema."""
    told: dict[str, Any] = {"description": _words(answer) or "Done."}
    if answer.etag is not Answer.etag:
        told["headers"] = {"ETag": ETAG | {"description": "The revision, as If-Match takes it."}}
    if answer.content is Answer.content:
        content = {"application/json": {"schema": {"$ref": MODEL.format(model=answer.__name__)}}}
    else:
        content = {answer.model_construct(**dict.fromkeys(answer.model_fields, b"")).content()[0]: {}}
    return told | {"content": content}


def _problems(readers: Iterable[Callable[..., Any]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """By status: the name of an answer in common, and that answer, from the errors that docstrings name."""
    raised = [KINDS[name] for each in readers for name in _raised(each)]
    rows = {problems.TABLE[kind] for kind in (*raised, *FRONTS_OWN)} | {problems.INTERNAL}
    told = {}
    for status in sorted({row.status for row in rows}):
        alike = sorted((row for row in rows if row.status == status), key=lambda row: row.slug)
        told[str(status)] = (".".join(row.slug for row in alike), _refusal(HTTPStatus(status), alike))
    return told


def _refusal(status: HTTPStatus, rows: Iterable[Problem]) -> dict[str, Any]:
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if status in WITH_RETRY_AFTER else {}
    types = [f"urn:playground:problem:{row.slug}" for row in rows]
    properties = {"type": {"enum": types}, "status": {"const": status.value}}
    return {
        "description": ". ".join(row.title for row in rows) + ".",
        **headers,
        "content": {
            problems.CONTENT_TYPE: {"schema": {"$ref": MODEL.format(model="Problem"), "properties": properties}}
        },
    }


def _schemas(contracts: Iterable[Contract]) -> dict[str, Any]:
    """Of all bodies, and of all answers that are JSON."""
    contracts = list(contracts)
    asked = [(each.body, "validation") for each in contracts if each.body]
    answered = [(each, "serialization") for each in map(_answered, contracts) if each.content is Answer.content]
    read, told = (
        models_json_schema(models, ref_template=MODEL, schema_generator=_Schemas)[1]["$defs"]  # type: ignore[arg-type]
        for models in (asked, answered)
    )
    return read | {name: _without_null(schema) for name, schema in told.items()}


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is null in an answer is left out of it."""
    properties = {name: _options(told) for name, told in schema["properties"].items()}
    required = [name for name in schema["required"] if NULL not in schema["properties"][name].get("anyOf", ())]
    return {**schema, "properties": {name: told for name, (told,) in properties.items()}, "required": required}


def _options(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it may be besides null."""
    return [dict(option) for option in schema.get("anyOf", [schema]) if option != NULL]


def _raised(reader: Callable[..., Any]) -> list[str]:
    named = (reader.__doc__ or "").partition("Raises ")[2]
    return [name for name in re.findall(r"\w+", named) if name in KINDS]


def _words_of_query(contract: Contract | None) -> list[str]:
    """Those of its models, the most special first."""
    lineage = contract.query.__mro__ if contract and contract.query else ()
    return [_words(model) for model in lineage if issubclass(model, Asked) and model is not Asked and model.__doc__]


def _words(documented: Any) -> str:
    """A docstring without what it raises."""
    return _joined(inspect.cleandoc(documented.__doc__ or "").partition("Raises ")[0])


def _joined(text: str) -> str:
    """A line a paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def text() -> str:
    """As the file has it."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    if not FILE.exists():
        FILE.write_text("{}\n")  # or the function that serves it could not be loaded
    if "--write" in sys.argv:
        FILE.write_text(text())
    else:
        print(text(), end="")


if __name__ == "__main__":
    main()
