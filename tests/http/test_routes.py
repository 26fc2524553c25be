"""Paths and methods: only what the plugin asks for is there."""

import pytest

from tests.http.alone import Alone
from tests.http.asserting import assert_problem, nothing_changes
from tests.http.ways import Way, over_tls, raw

ROUTES = {"/": "GET", "/api/create_db": "POST", "/api/heart_beat": "GET"}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_another_method_is_refused_and_the_right_one_named(fronted: Way, path: str, method: str):
    if method == ROUTES[path]:
        return
    async with nothing_changes(fronted):
        reply = await fronted.ask(method, path, b'{"user_id": "alice"}', fronted.people.user("alice"))
    assert_problem(reply, 405, "wrong-method", f"this path takes {reply.header('allow')}")
    allowed = (reply.header("allow") or "").split(", ")
    assert ROUTES[path] in allowed and method not in allowed


@pytest.mark.parametrize(
    "path",
    [
        *("/api", "/api/", "/api/create", "/api/create_db/alice", "/create_db", "/admin", "/robots.txt"),
        *("/api/heart_beat/..", "/api/../api/create_db", "/api/%2e%2e/create_db", "/runtime/webhooks"),
        "/admin/functions/reap_leases",
    ],
)
async def test_an_unknown_path_is_not_there(served: Way, path: str):
    async with nothing_changes(served):
        for method in ("GET", "POST"):
            reply = await served.ask(method, path, b'{"user_id": "alice"}', served.people.user("alice"))
            assert_problem(reply, 404, "not-found", "nothing is served at this path")


def test_no_other_function_listens_to_http(functions: dict[tuple[str, str], object]):
    assert {f"/{route}": method for method, route in functions} == ROUTES


@pytest.mark.slow
async def test_a_function_alone_serves_nothing_else(alone: Alone):
    by = alone.people.user("alice")
    found = {
        (process.name, path)
        for process in alone.processes.values()
        for path, method in ROUTES.items()
        if (await over_tls(process.port, alone.people, raw(method, path, b"", ()), by)).status != 404
    }
    assert found == {("greet", "/"), ("create_db", "/api/create_db"), ("heart_beat", "/api/heart_beat")}
