"""What `shared/edge/openapi.json` tells of every function's answers, to hold real ones against it."""

import json
from pathlib import Path
from typing import Any

from jsonschema_rs import Draft202012Validator

from tests.selfhost.clients import Reply

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "shared/edge/openapi.json").read_text())
OPERATIONS = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}


def check(name: str, reply: Reply) -> None:
    """Fail where the function of that name cannot answer so, as the document has it."""
    told = OPERATIONS[name]["responses"].get(str(reply.status))
    assert told is not None, f"{name} answers {reply.status}, and the document does not say so: {reply.body!r}"
    told = _resolved(told)
    for header, about in told.get("headers", {}).items():
        assert reply.header(header.lower()) or not about["required"], f"{name} answers {reply.status} without {header}"
    if content := told.get("content"):
        (media_type,) = content
        assert (reply.header("content-type") or "").partition(";")[0] == media_type
        if media_type.endswith("json") and reply.body:
            schema = {**content[media_type]["schema"], "components": DOCUMENT["components"]}
            Draft202012Validator(schema, validate_formats=True).validate(json.loads(reply.body))


def _resolved(told: dict[str, Any]) -> dict[str, Any]:
    """What a reference names."""
    _, _, key = told.get("$ref", "").rpartition("/")
    return DOCUMENT["components"]["responses"][key] if key else told
