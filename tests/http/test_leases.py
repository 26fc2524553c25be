"""What owners are told of their leases over HTTP, and whose they may ask about."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.leases import Sample, State
from shared.domain.policy import DAY
from tests.http.asserting import assert_problem, nothing_changes, told
from tests.http.leases import etag, in_days, put
from tests.http.ways import Called, Way

LIKE_NUMBERS = ("1_0", "%2B5", "%205", "5%20", "%C2%A05", "5.0", "%D9%A5")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NOT_THERE = ("/nothing", "/Database", "/database%20", "/database%2F", "/data%2Fbase", "/%64%25", "/%2564atabase",
             "/database%00", "/" + "x" * 129, "/lease-database", "/%C3%A4", "/%FF", "/..%2Fdatabase")  # fmt: skip


# Seeing


async def test_a_lease_is_told_to_its_owner_and_none_of_its_secrets(way: Way):
    source = (await way.create_db("alice")).json()["data_source"]
    reply = await way.lease("GET", "/database")
    assert (reply.header("content-type"), reply.header("cache-control")) == ("application/json", "no-store")
    told = reply.json()
    assert sorted(told) == sorted(
        ["id", "kind", "owner", "state", "reason", "revision", "generation", "created_at", "since", "last_beat_at",
         "last_use_at", "expires_at"]
    )  # fmt: skip
    assert (told["id"], told["kind"], told["owner"], told["state"]) == ("database", "database", "alice", "running")
    assert told["reason"] == "ready" and etag(reply)
    for name in ("created_at", "since", "last_beat_at", "last_use_at", "expires_at"):
        assert INSTANT.fullmatch(told[name]), name
    left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=10, minutes=50) < left < timedelta(hours=11, minutes=1)
    assert (await way.lease("GET")).json() == {"leases": [told]}
    password, address = source.split(":")[2].split("@")[0], source.split("(")[1].split(")")[0]
    for path in ("", "/database", "/database/events"):
        body = (await way.lease("GET", path)).body.decode()
        assert password not in body and address not in body and "mysql:" not in body


async def test_what_its_server_counted_is_told(called: Called):
    await called.create_db("alice")
    now = called.world.clock.now()
    await put(
        called, State.RUNNING, sample=Sample(now - 60, 1, 7, 90, "pod-uid/1"), held_until=now - 1, hold_note="over"
    )
    told = (await called.lease("GET", "/database")).json()
    assert told["evidence"].keys() == {"at", "connections", "connected", "statements"}
    assert (told["evidence"]["connections"], told["evidence"]["statements"]) == (1, 90)
    assert "hold" not in told, "what is over holds nothing"


EXPIRING = (State.RUNNING, State.HIBERNATED, State.ARCHIVING, State.FAILED, State.DELETING)


@pytest.mark.parametrize("state", State)
async def test_whatever_state_it_is_in_it_is_told(called: Called, state: State):
    await called.create_db("alice")
    await put(called, state, gone_at=called.world.clock.now() + DAY, reason="because")
    told = (await called.lease("GET", "/database")).json()
    assert (told["state"], told["reason"]) == (state, "because")
    assert ("expires_at" in told) == (state in EXPIRING)
    listed = (await called.lease("GET")).json()["leases"]
    assert listed == ([] if state is State.RELEASED else [told])


async def test_who_has_nothing_is_told_so(way: Way):
    assert (await way.lease("GET")).json() == {"leases": []}
    async with nothing_changes(way):
        for method, path, body in (
            ("GET", "/database", b""),
            ("GET", "/database/events", b""),
            ("DELETE", "/database", b""),
            ("DELETE", "/database?purge=true", b""),
            ("PUT", "/database/hold", b'{"until": null}'),
        ):
            reply = await way.lease(method, path, body=body)
            assert_problem(reply, 404, "not-found", "there is no such lease")


@pytest.mark.parametrize("path", NOT_THERE)
async def test_an_id_is_decoded_exactly_once(near: Called, path: str):
    await near.create_db("alice")
    assert (await near.lease("GET", "/d%61tabase")).json()["id"] == "database"
    async with nothing_changes(near):
        for method, rest in (("GET", ""), ("GET", "/events"), ("DELETE", "?purge=true"), ("PUT", "/hold")):
            reply = await near.lease(method, path + rest, body=b'{"until": null}')
            assert_problem(reply, 404, "not-found")


async def test_events_come_oldest_first_and_page_by_page(way: Way):
    await way.create_db("alice")
    await way.hold(in_days(1), "a run")
    await way.lease("DELETE", "/database?purge=true")
    whole = (await way.lease("GET", "/database/events")).json()
    assert [(event["before"], event["after"], event["actor"]) for event in whole["events"]] == [
        ("", "pending", "create_db"),
        ("pending", "running", "create_db"),
        ("running", "running", "user alice"),
        ("running", "deleting", "user alice"),
    ]
    assert whole["events"][2]["reason"].endswith("Z: a run")
    assert all(event.keys() == {"at", "generation", "before", "after", "reason", "actor"} for event in whole["events"])
    assert all(INSTANT.fullmatch(event["at"]) for event in whole["events"]) and "next" not in whole
    found, after = [], ""
    while True:
        part = (await way.lease("GET", f"/database/events?limit=3{after}")).json()
        found.append(part["events"])
        if "next" not in part:
            break
        after = f"&after={part['next']}"
    assert found == [whole["events"][:3], whole["events"][3:]]


# Whose


async def test_an_admin_lists_its_tenant_and_names_each_owner(way: Way):
    for user, tenant in (("alice", "default"), ("bob", "default"), ("al/ice", "default"), ("eve", "elsewhere")):
        await way.create_db(user, way.people.user(user, tenant))
    admin = way.people.holder("admin", "ops", "default")
    whole = (await way.lease("GET", by=admin)).json()["leases"]
    assert [lease["owner"] for lease in whole] == ["al/ice", "alice", "bob"]
    found, after = [], ""
    while True:
        part = (await way.lease("GET", f"?limit=1{after}", admin)).json()
        found += part["leases"]
        assert len(part["leases"]) <= 1
        if "next" not in part:
            break
        after = f"&after={part['next']}"
    assert found == whole
    assert (await way.lease("GET", "?owner=bob", admin)).json()["leases"] == [whole[2]]
    assert (await way.lease("GET", "/database?owner=al%2Fice", admin)).json() == whole[0]


async def test_a_frontend_steers_for_any_user_of_its_tenant_but_says_for_whom(way: Way):
    await way.create_db("alice")
    hub = way.people.frontend()
    assert (await way.lease("GET", "?owner=alice", hub)).json()["leases"][0]["owner"] == "alice"
    held = await way.lease("PUT", "/database/hold?owner=alice", hub, body=json.dumps({"until": in_days(1)}).encode())
    assert (held.status, held.json()["hold"]["note"]) == (200, "")
    assert (await way.lease("GET", "/database/events?owner=alice", hub)).json()["events"][-1]["actor"] == "frontend hub"
    for role in ("frontend", "admin"):
        by = way.people.holder(role, "hub", "default")
        for path in ("/database", "/database/events"):
            assert_problem(await way.lease("GET", path, by), 400, "invalid-request", "owner: say whose it is")
    assert_problem(await way.lease("GET", by=hub), 400, "invalid-request", "owner: say whose it is")
    assert_problem(await way.lease("GET", "?owner=a%20b", hub), 400, "invalid-request", "owner holds ' '")


async def test_what_belongs_to_somebody_else_is_not_there_on_any_path(way: Way):
    await way.create_db("bob")
    people = way.people
    strangers = [people.user("alice"), people.holder("worker", "bob", "default"), people.user("bob", "elsewhere"),
                 people.frontend("elsewhere"), people.holder("admin", "ops", "elsewhere")]  # fmt: skip
    requests = [
        ("GET", "/database", b""),
        ("GET", "/database/events", b""),
        ("DELETE", "/database", b""),
        ("DELETE", "/database?purge=true", b""),
        ("PUT", "/database/hold", b'{"until": null}'),
        ("PUT", "/database/hold", json.dumps({"until": in_days(1)}).encode()),
    ]
    async with nothing_changes(way):
        for by in strangers:
            for method, path, body in requests:
                there, not_there = [
                    await way.lease(method, f"{path}{'&' if '?' in path else '?'}owner={user}", by, body=body)
                    for user in ("bob", "bub")
                ]
                assert_problem(there, 404, "not-found")
                assert (told(there), there.header("etag")) == (told(not_there), None) or "elsewhere" in str(by)
            listed = await way.lease("GET", "?owner=bob", by)
            assert listed.status == 404 or listed.json() == {"leases": []}
        assert (await way.lease("GET", by=people.holder("admin", "ops", "elsewhere"))).json() == {"leases": []}


async def test_without_a_certificate_nothing_is_told(called: Called):
    await called.create_db("alice")
    async with nothing_changes(called):
        for method, path in (("GET", ""), ("GET", "/database"), ("GET", "/database/events"), ("DELETE", "/database"),
                             ("PUT", "/database/hold")):  # fmt: skip
            assert_problem(await called.ask(method, f"/api/leases{path}"), 403, "not-authenticated")


# Lists


async def test_a_list_is_chosen_by_kind_and_state(way: Way):
    await way.create_db("alice")
    for query, found in (
        ("kind=database", 1),
        ("state=running", 1),
        ("state=failed", 0),
        ("kind=database&state=x", None),
    ):
        reply = await way.lease("GET", f"?{query}")
        if found is None:
            assert_problem(reply, 400, "invalid-request", "state: input should be 'pending'")
        else:
            assert len(reply.json()["leases"]) == found


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("limit=0", "limit: input should be greater than or equal to 1"),
        ("limit=201", "limit: input should be less than or equal to 200"),
        ("limit=-1", "limit: "),
        ("limit=ten", "limit: input should be a valid integer"),
        *((f"limit={text}", "limit: input should be a valid integer, in digits") for text in LIKE_NUMBERS),
        ("limit=1&limit=2", "limit: "),
        ("kind=session", "kind: input should be 'database'"),
        ("state=released", "state: input should be "),
        ("state=Running", "state: input should be "),
        ("after=x", "after: not a token of ours"),
        ("after=%C3%A4", "after: not a token of ours"),
        ("after=YQ%3D%3D", "after: not a token of ours"),
        ("after=/w", "after: not a token of ours"),
        ("after=gA", "after: not a token of ours"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(served: Way, query: str, why: str):
    await served.create_db("alice")
    assert_problem(await served.lease("GET", f"?{query}"), 400, "invalid-request", why)
    if not query.startswith(("kind", "state")):
        assert_problem(await served.lease("GET", f"/database/events?{query}"), 400, "invalid-request", why)


async def test_a_token_of_another_list_leads_nowhere_else(way: Way):
    for user in ("alice", "bob"):
        await way.create_db(user)
    admin = way.people.holder("admin", "ops", "default")
    token = (await way.lease("GET", "?limit=1", admin)).json()["next"]
    mine = await way.lease("GET", f"?after={token}", way.people.user("bob"))
    assert {lease["owner"] for lease in mine.json()["leases"]} <= {"bob"}
    reply = await way.lease("GET", f"/database/events?after={token}")
    assert_problem(reply, 400, "invalid-request", "after: not from this list")
