"""What is told of a whole life, and that it names nobody."""

from typing import Any

import pytest

from shared.domain.leases import Owner
from shared.domain.policy import DAY, HOUR
from shared.ports import metrics
from tests.http.ways import Called
from tests.observability.conftest import Told

ALICE = Owner("default", "alice")
ID = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"traceparent: 00-{ID}-00f067aa0ba902b7-01"


@pytest.fixture
def look(called: Called, timers: dict[str, Any]):
    async def look(turn: float = 0.0) -> None:
        """Time passes in which we could hear; then the timers fire."""
        called.world.clock.turn(turn)
        await called.world.hear()
        for name in ("reap_leases", "reconcile_cluster", "refill_pool"):
            await timers[name](None)

    return look


async def test_a_life_is_counted_as_it_was(called: Called, told: Told, look: Any):
    assert (await called.create_db("alice")).status == 200
    assert (await called.create_db("alice")).status == 200
    assert (await called.heart_beat("alice")).status == 200
    assert (await called.lease("GET", "/nothing")).status == 404
    await look()
    assert told.value('playground_create_db_duration_seconds_count{how="cold",outcome="ready"}') == 1
    assert told.value('playground_create_db_duration_seconds_count{how="warm",outcome="ready"}') == 1
    assert told.value("playground_create_db_active") == 0
    count = "http_server_request_duration_seconds_count"
    assert told.value(f'{count}{{http_response_status_code="200",http_route="create_db"}}') == 2
    assert told.value(f'{count}{{http_response_status_code="200",http_route="heart_beat"}}') == 1
    assert told.value(f'{count}{{http_response_status_code="404",http_route="show_lease"}}') == 1
    assert told.value('playground_leases{kind="database",state="running"}') == 1
    assert told.value('playground_leases{kind="spare",state="running"}') == 0
    assert told.value('playground_pass_duration_seconds_count{function="reap_leases",outcome="done"}') == 1
    assert told.value('db_client_operation_duration_seconds_count{db_operation_name="beat",outcome="done"}') == 1
    assert told.value("playground_canary_heard_seconds") == pytest.approx(called.world.clock.now(), abs=1)
    for turn in (HOUR, 12 * HOUR, 60):
        await look(turn)
    stopped = 'act="stop",actor="reaper",after="hibernated",before="running",outcome="done"'
    assert told.value(f"playground_looks_total{{{stopped}}}") == 1
    assert told.value('playground_leases{kind="database",state="hibernated"}') == 1
    assert told.value('playground_leases{kind="database",state="running"}') == 0
    assert (await called.create_db("alice")).status == 200
    assert told.value('playground_create_db_duration_seconds_count{how="wake",outcome="ready"}') == 1


async def test_what_fails_is_counted_as_failing(called: Called, told: Told):
    await called.lease("GET")
    await called.strike("the store is down")
    assert (await called.create_db("alice")).status == 503
    assert told.value('db_client_operation_duration_seconds_count{db_operation_name="get",outcome="unavailable"}') == 1
    await called.strike("the cluster is down")
    assert (await called.create_db("alice")).status == 503
    asked = 'http_response_status_code="none",kind="StatefulSet",verb="get"'
    assert told.value(f"http_client_request_duration_seconds_count{{{asked}}}") == 1
    assert told.value('playground_create_db_duration_seconds_count{how="cold",outcome="not_ready"}') == 1
    failed = 'act="start",actor="create_db",after="pending",before="pending",outcome="failed"'
    assert told.value(f"playground_looks_total{{{failed}}}") == 1


async def test_a_request_and_all_that_it_asked_for_are_one_trace(called: Called, told: Told):
    await called.lease("GET", "/database", headers=[GIVEN])
    spans = {span.name: span for span in told.spans}
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {ID}
    request, read = spans["show_lease"], spans["store get"]
    assert request.parent is not None and f"{request.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert read.parent is not None and read.parent.span_id == request.context.span_id
    assert request.attributes == {
        "http.request.method": "GET", "http.route": "show_lease", "http.response.status_code": 404,
    }  # fmt: skip


async def test_a_problem_names_the_trace_that_its_spans_are_of(called: Called, told: Told):
    refused = await called.lease("GET", "/database")
    assert {f"{span.context.trace_id:032x}" for span in told.spans} == {refused.json()["trace_id"]}


async def test_a_look_is_a_span_with_its_parts_in_it(called: Called, told: Told, look: Any):
    await called.create_db("alice")
    await look()
    told.exporter.clear()
    await look(HOUR)
    spans = {span.context.span_id: span for span in told.spans}

    def path(span: Any) -> str:
        return f"{path(spans[span.parent.span_id])}/{span.name}" if span.parent else span.name

    paths = {path(span) for span in spans.values()}
    look_at = "reap_leases/look"
    assert {look_at, f"{look_at}/store replace", f"{look_at}/evidence", f"{look_at}/act nothing"} <= paths, paths
    assert f"{look_at}/evidence/kubernetes get StatefulSet" in paths
    assert {"reconcile_cluster", "refill_pool"} <= paths, "passes are traces of their own"


async def test_nobody_is_named_in_a_whole_life(called: Called, told: Told, look: Any):
    """Neither owner nor database nor serial nor secret, in a name, a label, an attribute or an event."""
    world = called.world
    generations: set[str] = set()
    for trouble in ("the store is down", "the cluster is down", "the image is unknown", "nothing"):
        await called.strike(trouble)
        world.clock.turn(40)
        await called.create_db("alice")
        await called.heart_beat("alice")
        for path in ("", "/database", "/database/events", "/what-is-this"):
            await called.lease("GET", path)
    for turn in (0, HOUR, 12 * HOUR, 60, 15 * DAY, 60, 60):
        await look(turn)
        generations |= {lease.generation for lease in await world.leases()}
    objects = [item for _, _, item in world.kubernetes._history]
    secret = {value for item in objects if item["kind"] == "Secret" for value in item["stringData"].values()}
    named = {item["metadata"]["name"] for item in objects}
    serial = called.people.user("alice").der.hex()
    assert generations and secret and named
    spans = "\n".join(span.to_json() for span in told.spans)
    shown = {"metrics": told.metrics(), "spans": spans}
    assert "playground_looks_total" in shown["metrics"] and "act delete" in spans
    for where, text in shown.items():
        for word in {"alice", "what-is-this", "/database", serial, world.key, *generations, *secret, *named}:
            assert word not in text, f"{word} is in the {where}"


def test_what_is_not_in_the_table_cannot_be_told(told: Told):
    from shared.edge import observing

    with pytest.raises(ValueError):
        observing.telemetry.tell(metrics.LOOKS, 1, "alice")


async def test_what_is_known_of_revocations_is_read_when_somebody_looks(called: Called, told: Told):
    await called.lease("GET")
    called.world.clock.turn(7)
    assert told.value("playground_revocations_age_seconds") == pytest.approx(7, abs=1)
