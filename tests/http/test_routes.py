"""Paths and methods: what is there, and nothing else."""

from typing import Any

import pytest

from tests.http.alone import Alone
from tests.http.asserting import assert_problem, nothing_changes
from tests.http.ways import ROUTES, Way, over_tls, raw

PATHS = {
    path: {method for method, other in ROUTES if other == path} for path in dict.fromkeys(path for _, path in ROUTES)
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_another_method_is_refused_and_the_right_one_named(fronted: Way, path: str, method: str):
    if method in PATHS[path]:
        return
    async with nothing_changes(fronted):
        reply = await fronted.ask(method, path, b'{"user_id": "alice"}', fronted.people.user("alice"))
    assert_problem(reply, 405, "wrong-method", f"this path takes {reply.header('allow')}")
    allowed = (reply.header("allow") or "").split(", ")
    assert PATHS[path] & set(allowed) and method not in allowed, "alone, a function knows of itself"


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


def test_no_other_function_listens_to_http(registered: list[Any]):
    triggers = {each.get_function_name(): each.get_trigger() for each in registered}
    found = {
        (method.value, f"/{trigger.route.strip('/')}"): name
        for name, trigger in triggers.items()
        if trigger.type == "httpTrigger"
        for method in trigger.methods
    }
    assert found == ROUTES


@pytest.mark.slow
async def test_a_function_alone_serves_nothing_else(alone: Alone):
    by = alone.people.user("alice")
    found = {
        ((method, path), process.name)
        for process in alone.processes.values()
        for method, path in ROUTES
        for reply in [await over_tls(process.open_port or process.port, alone.people, raw(method, path, b"", ()), by)]
        if reply.status != 405 and b"nothing is served at this path" not in reply.body
    }
    assert found == set(ROUTES.items())
