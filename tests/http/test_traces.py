"""Every problem names its trace: the caller's, or a new one; so do the lines that the log has of it."""

import logging

import pytest

from shared.edge import tracing
from tests.http.ways import Called, Served, Way

ID = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"traceparent: 00-{ID}-00f067aa0ba902b7-01"


async def test_a_problem_names_the_callers_trace(way: Way):
    refused = await way.lease("GET", "/nothing", headers=[GIVEN])
    assert (refused.status, refused.json()["trace_id"]) == (404, ID)


async def test_a_malformed_traceparent_is_ignored_and_each_request_has_a_trace_of_its_own(way: Way):
    found = [
        (await way.lease("GET", "/nothing", headers=[header])).json()["trace_id"]
        for header in ("traceparent: 00-none-01", f"{GIVEN}-more", "Accept: */*")
    ]
    assert len({*found, ID}) == 4


async def test_a_problem_of_the_fronts_own_names_it_too(fronted: Served):
    refused = await fronted.ask("GET", "/nowhere", by=fronted.people.user("alice"), headers=[GIVEN])
    assert (refused.status, refused.json()["trace_id"]) == (404, ID)


async def test_the_log_has_it_where_the_answer_has_it(near: Called, caplog: pytest.LogCaptureFixture):
    caplog.handler.setFormatter(tracing.Formatter(logging.BASIC_FORMAT))
    await near.strike("the store is down")
    refused = await near.create_db("alice")
    assert refused.status == 503
    (line,) = [line for line in caplog.text.splitlines() if ":playground.web:" in line]
    assert line.endswith(f" trace={refused.json()['trace_id']}")
