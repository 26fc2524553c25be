"""Who did what, and what was refused to whom, is written down with the trace that the answer named."""

import json
from typing import Any

from shared.domain.identity import Role
from shared.domain.leases import Event, Owner, State
from shared.domain.policy import HOUR
from shared.wiring import refusals
from tests.http.test_enrolments import enroll, revoke
from tests.http.ways import Called

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01"
SPIFFE = "spiffe://playground.local/tenant/default"


async def written(near: Called) -> list[Event]:
    return list(await near.world.store.kept.since(0.0, 500))


async def refused(near: Called) -> list[Event]:
    """After the minute is over."""
    await refusals.close()
    return [event for event in await written(near) if event.after == "refused"]


async def test_a_create_and_an_end_name_the_caller_its_certificate_and_the_trace(near: Called):
    hub, alice = near.people.frontend(), near.people.user("alice")
    body = b'{"user_id": "alice"}'
    assert (await near.ask("POST", "/api/create_db", body, hub, [TRACEPARENT])).status == 200
    assert (await near.lease("DELETE", "/database?purge=true", alice)).status == 202
    events = await written(near)
    assert [event.after for event in events] == ["pending", "running", "deleting"]
    made, ended = events[0], events[2]
    assert (made.by, made.trace) == (f"{SPIFFE}/frontend/hub", TRACE)
    assert made.serial and made.serial != ended.serial
    assert (ended.by, ended.actor) == (f"{SPIFFE}/user/alice", "user alice")
    assert ended.trace not in ("", TRACE)


async def test_what_a_timer_does_is_nobodys(near: Called, timers: dict[str, Any]):
    await near.create_db("alice")
    near.world.clock.turn(HOUR)
    lease = await near.world.lease(Owner("default", "alice"))
    near.world.kubernetes.remove(near.world.kubernetes.objects["StatefulSet", f"pg-{lease.generation}"])
    await timers["reap_leases"](None)
    assert (await near.world.lease(Owner("default", "alice"))).state is not State.PENDING
    of_timers = [event for event in await written(near) if event.actor == "reaper"]
    assert of_timers and all((event.by, event.serial) == ("", "") for event in of_timers)


async def test_the_life_of_a_certificate_is_written_down(near: Called):
    serial = (await enroll(near, await near.invite("alice"))).json()["serial"]
    admin = near.people.holder(Role.ADMIN, "ops", "default")
    await revoke(near, serial, admin, "alice")
    events = [event for event in await written(near) if event.lease == "certificates"]
    assert [(event.after, event.generation == serial) for event in events] == [
        ("invited", False), ("issued", True), ("revoked", True)]  # fmt: skip
    assert events[2].by == f"{SPIFFE}/admin/ops" and events[1].reason.startswith("enrolled, as user until 2")


async def test_refusals_are_counted_by_reason_and_caller(near: Called):
    alice = near.people.user("alice")
    bad = near.people.factory.bad("expired")
    for _ in range(3):
        assert (await near.ask("POST", "/api/create_db", b'{"user_id": "bob"}', alice)).status == 404
    if not near.fronted:  # a front of ours lets nobody come so far
        for _ in range(2):
            assert (await near.heart_beat("alice", bad)).status == 403
    await enroll(near, "x")
    found = {(event.lease, event.by): event for event in await refused(near)}
    foreign = found["create_db", f"{SPIFFE}/user/alice"]
    assert foreign.reason == "not-found, 3 x" and len(foreign.serial) == 64 and foreign.trace
    assert found["enroll", ""].reason.startswith("not-invited: that is no token")
    if not near.fronted:
        assert found["heart_beat", ""].reason == "not-authenticated: the certificate has expired, 2 x"


async def test_a_slip_and_a_trouble_of_ours_are_no_refusals(near: Called):
    assert (await near.ask("POST", "/api/create_db", b"{", near.people.user("alice"))).status == 400
    await near.strike("the cluster is down")
    assert (await near.create_db("alice")).status == 503
    await near.strike("nothing")
    assert await refused(near) == []


async def test_what_is_written_holds_no_secret(near: Called):
    token = await near.invite("alice")
    await enroll(near, token)
    await enroll(near, token[:-1])
    source = (await near.create_db("alice")).json()["data_source"]
    password = source.partition(":")[2].partition("@")[0].rpartition(":")[2]
    await refusals.close()
    text = json.dumps([str(event) for event in await written(near)])
    assert token.partition(".")[2] not in text and password not in text
