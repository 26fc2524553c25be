"""The servers do what the description says, whoever asks and whatever: schemathesis finds no difference."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from shared.domain.identity import Role
from tests.http.described import Run, run
from tests.http.described_hooks import signing_requests
from tests.http.documented import DOCUMENT, OPERATIONS
from tests.http.ways import OPEN, Served

pytestmark = pytest.mark.slow
CALLERS = {Role.USER: "alice", Role.FRONTEND: "hub", Role.ADMIN: "ops"}
AT_BOTH = {"show_openapi"}


@pytest.fixture(autouse=True)
def unlimited(unset: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many requests at once are more than one user's share."""
    monkeypatch.setenv("PLAYGROUND_USER_RATE", "0")
    monkeypatch.setenv("PLAYGROUND_TENANT_RATE", "0")


def with_examples(**examples: str) -> dict[str, Any]:
    """The description with examples that only one server has an answer to."""
    document = deepcopy(DOCUMENT)
    schemas = document["components"]["schemas"]
    for model in ("Signing", "Enrolment"):
        schemas[model]["properties"]["csr"]["examples"] = [signing_requests()[0]]
    schemas["Enrolment"]["properties"]["token"]["examples"] = [examples.get("token", "")]
    (serial, _) = document["paths"]["/api/certificates/{serial}"]["delete"]["parameters"]
    serial["schema"]["examples"] = [examples.get("serial", "")]
    return document


def only(*names: str) -> list[str]:
    return [f"--include-operation-id={name}" for name in names]


def assert_nothing_is_wrong(found: Run, never: set[str], names: set[str]) -> None:
    """And that every function was reached: asked for something, and did it."""
    assert found.status == 0, found.said
    done = {name for name, seen in found.seen.items() if any(status < 300 for status in seen)}
    assert done == names - never
    assert not {status for seen in found.seen.values() for status in seen if status >= 500}


@pytest.mark.parametrize("role", CALLERS)
async def test_whoever_has_a_certificate_gets_what_is_described(served: Served, tmp_path: Path, role: Role):
    await served.create_db("alice")
    token = await served.invite("alice")
    enrolled = await served.ask(
        "POST", "/api/enrolments", json.dumps({"token": token, "csr": signing_requests()[1]}).encode()
    )
    document = with_examples(serial=enrolled.json()["serial"])
    by = served.people.holder(role, CALLERS[role], "default")
    names = set(OPERATIONS) - OPEN
    found = await run(document, served._port, served.people, by, tmp_path, *only(*names), "--max-examples=12")
    assert_nothing_is_wrong(found, set(), names)


async def test_who_has_none_gets_what_is_described_for_all(served: Served, tmp_path: Path):
    document, names = with_examples(token=await served.invite("alice")), OPEN | AT_BOTH
    found = await run(document, served._open_port, served.people, None, tmp_path, *only(*names), "--max-examples=12")
    assert_nothing_is_wrong(found, set(), names)


def answer(document: dict[str, Any]) -> dict[str, Any]:
    """To a heartbeat."""
    told: dict[str, Any] = document["paths"]["/api/heart_beat"]["get"]["responses"]["200"]
    return told


def lacking(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["LeaseStatus"]["required"].append("shoe_size")


def silent(document: dict[str, Any]) -> None:
    del document["paths"]["/api/heart_beat"]["get"]["responses"]["200"]


def of_another_type(document: dict[str, Any]) -> None:
    answer(document)["content"] = {"application/xml": {}}


def with_a_header(document: dict[str, Any]) -> None:
    answer(document)["headers"] = {"X-Shoe-Size": {"required": True, "schema": {"type": "integer"}}}


def too_narrow(document: dict[str, Any]) -> None:
    document["paths"]["/api/heart_beat"]["get"]["parameters"][0]["schema"]["maxLength"] = 3


def too_wide(document: dict[str, Any]) -> None:
    (owner,) = document["paths"]["/api/certificates"]["get"]["parameters"]
    owner["schema"]["maxLength"] = 200


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (silent, "ST103 Undocumented status code"),
        (of_another_type, "ST105 Undocumented Content-Type"),
        (with_a_header, "ST107 Missing required response headers"),
        (lacking, "ST108 Response violates schema"),
        (too_narrow, "ST201 Schema-violating request accepted"),
        (too_wide, "ST202 Schema-valid request rejected"),
    ],
)
async def test_a_description_that_is_wrong_is_found_out(
    served: Served, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], code: str
):
    document = deepcopy(DOCUMENT)
    spoil(document)
    by = served.people.holder(Role.ADMIN, "ops", "default")
    asked = only("heart_beat", "list_certificates")
    found = await run(document, served._port, served.people, by, tmp_path, *asked, "--phases=coverage")
    assert found.status == 1 and code in found.said, found.said
    assert found.said.count("Test Case ID") == 1, "and nothing else is"
