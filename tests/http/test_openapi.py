"""The description of the API: current, valid, there for everybody; and a reply that differs from it is found."""

import asyncio
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from jsonschema_rs import ValidationError
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from scripts import openapi
from selfhost.server import SHARE
from shared.edge import problems
from tests.http import documented
from tests.http.alone import Alone
from tests.http.documented import DOCUMENT, OPERATIONS
from tests.http.ways import ROUTES, Called, Served, Way, over_tls, raw
from tests.selfhost.clients import Reply

LEASE = {"id": "database", "kind": "database", "owner": "alice", "state": "running", "reason": "", "revision": 3,
         "generation": "g", "since": "2027-01-15T08:00:00Z"}  # fmt: skip
OF_JSON = ("content-type", "application/json")


def found(name: str, within: Any = DOCUMENT) -> Iterator[Any]:
    """Every value of that key, however deep."""
    if isinstance(within, dict):
        yield from (value for key, value in within.items() if key == name)
    for each in within.values() if isinstance(within, dict) else within if isinstance(within, list) else ():
        yield from found(name, each)


def test_it_is_what_the_functions_say_now():
    assert openapi.FILE.read_text() == openapi.text(), "run `python -m scripts.openapi --write`"


def test_it_is_valid_openapi():
    assert DOCUMENT["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    wrong = deepcopy(DOCUMENT)
    del wrong["paths"]["/api/leases/{id}"]["get"]["parameters"][0]
    with pytest.raises(OpenAPIValidationError, match="id"):
        OpenAPIV31SpecValidator(wrong).validate()


def test_it_has_every_function_with_its_words():
    told = {(method.upper(), path): each["operationId"] for path in DOCUMENT["paths"]
            for method, each in DOCUMENT["paths"][path].items()}  # fmt: skip
    assert told == ROUTES
    assert all(each["summary"] and each["description"] for each in OPERATIONS.values())
    assert "within 18 s" in OPERATIONS["create_db"]["description"]


def test_it_says_who_is_asked_for_a_certificate():
    assert DOCUMENT["security"] == [{"certificate": []}]
    assert DOCUMENT["components"]["securitySchemes"]["certificate"]["type"] == "mutualTLS"
    free = {name for name, each in OPERATIONS.items() if each.get("security") == []}
    assert free == {"greet", "show_openapi", "enroll", "publish_crl"}


def test_every_problem_but_those_that_become_another_is_told_of_somewhere():
    told = {slug for types in found("enum", DOCUMENT["components"]["responses"]) for slug in types}
    silent = {"wrong-method"}  # of no function: of a path
    assert told == {
        f"urn:playground:problem:{row.slug}"
        for row in (*problems.TABLE.values(), problems.INTERNAL)
        if row.slug not in silent | {"archive-unavailable"}  # only what nobody waits for speaks to archives
    }


def test_no_example_is_a_secret():
    examples = {example for examples in found("examples") for example in examples}
    assert examples == {"alice", "database", "2027-01-15T18:00:00+01:00"}
    assert not list(found("example"))


async def test_every_way_has_it(way: Way):
    reply = await way.ask("GET", "/openapi.json", by=way.people.user("alice"))
    assert (reply.status, reply.header("content-type"), reply.json()) == (200, "application/json", DOCUMENT)


async def test_it_needs_no_certificate(called: Called):
    assert (await called.ask("GET", "/openapi.json")).json() == DOCUMENT


async def test_both_listeners_have_it(served: Served):
    for port, by in ((served._port, served.people.user("alice")), (served._open_port, None)):
        assert (await over_tls(port, served.people, raw("GET", "/openapi.json", b"", ()), by)).json() == DOCUMENT


@pytest.mark.slow
async def test_both_listeners_of_a_server_have_it(alone: Alone):
    process = alone.processes["show_openapi"]
    for port, by in ((process.port, alone.people.user("alice")), (process.open_port, None)):
        assert (await over_tls(port, alone.people, raw("GET", "/openapi.json", b"", ()), by)).json() == DOCUMENT


@pytest.mark.slow
async def test_one_address_fills_no_listener_that_is_open_to_all(alone: Alone):
    port, stranger = alone.processes["show_openapi"].open_port, ("127.0.0.3", 0)
    held = [await asyncio.open_connection("127.0.0.1", port, local_addr=stranger) for _ in range(SHARE + 1)]
    try:
        async with asyncio.timeout(5):  # those that it has stand at the door for longer
            assert await held[-1][0].read() == b""
        answer = await over_tls(port, alone.people, raw("GET", "/openapi.json", b"", ()), None)
        assert answer.json() == DOCUMENT
    finally:
        for _, writer in held:
            writer.transport.abort()


async def test_who_has_it_already_is_not_sent_it_again(way: Way):
    by = way.people.user("alice")
    etag = (await way.ask("GET", "/openapi.json", by=by)).header("etag")
    for seen in (etag, f'"another", W/{etag}', "*"):
        reply = await way.ask("GET", "/openapi.json", by=by, headers=[f"If-None-Match: {seen}"])
        assert (reply.status, reply.body, reply.header("etag")) == (304, b"", etag)
    assert (await way.ask("GET", "/openapi.json", by=by, headers=['If-None-Match: "another"'])).status == 200


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("show_lease", Reply(418, [OF_JSON], b"{}")),
        ("show_lease", Reply(200, [OF_JSON], json.dumps(LEASE).encode())),  # without ETag
        ("show_lease", Reply(200, [("content-type", "text/html"), ("etag", '"3"')], json.dumps(LEASE).encode())),
        ("show_lease", Reply(200, [OF_JSON, ("etag", '"3"')], json.dumps(LEASE | {"revision": "3"}).encode())),
        ("show_lease", Reply(200, [OF_JSON, ("etag", '"3"')], json.dumps(LEASE | {"since": None}).encode())),
        ("show_lease", Reply(200, [OF_JSON, ("etag", '"3"')], json.dumps(LEASE | {"since": "today"}).encode())),
        ("greet", Reply(503, [], b"")),
    ],
)
def test_a_reply_that_it_does_not_tell_of_is_found(name: str, reply: Reply):
    documented.check("show_lease", Reply(200, [OF_JSON, ("etag", '"3"')], json.dumps(LEASE).encode()))
    with pytest.raises((AssertionError, ValidationError)):
        documented.check(name, reply)
