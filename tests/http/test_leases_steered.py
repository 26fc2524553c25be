"""What owners do about their leases over HTTP: hold them, and end them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.leases import State
from shared.domain.policy import DAY, HOUR
from shared.domain.steering import NO_ARCHIVE
from tests.http.asserting import assert_beat, assert_problem, nothing_changes
from tests.http.leases import ALICE, etag, in_days, put
from tests.http.ways import Called, Way

# Holding


async def test_a_lease_is_held_and_let_go(way: Way):
    await way.create_db("alice")
    first = etag(await way.lease("GET", "/database"))
    until = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    held = await way.hold(until.isoformat(), "over the weekend ✓", headers=[f"If-Match: {first}"])
    assert held.json()["hold"] == {"until": f"{until:%Y-%m-%dT%H:%M:%SZ}", "note": "over the weekend ✓"}
    assert held.json()["expires_at"] == held.json()["hold"]["until"]
    second = etag(held)
    assert second != first
    assert (await way.lease("GET", "/database")).json() == held.json()
    async with nothing_changes(way):
        late = await way.hold(in_days(1), headers=[f"If-Match: {first}"])
        assert_problem(late, 412, "precondition-failed", f"its revision is {second.strip(chr(34))} now")
    free = await way.hold(None, headers=[f"If-Match: {first}, {second}"])
    assert "hold" not in free.json() and etag(free) not in (first, second)


@pytest.mark.parametrize("until", ["Z", "+05:30", "-08:00", "epoch", "whole epoch"])
async def test_an_instant_may_be_written_in_any_zone_or_as_seconds(called: Called, until: str):
    await called.create_db("alice")
    at = datetime.fromtimestamp(called.world.clock.now() // 1 + DAY, UTC)
    written: Any = at.timestamp() if until == "epoch" else int(at.timestamp())
    if "epoch" not in until:
        zone = UTC if until == "Z" else datetime.fromisoformat(f"2027-01-01T00:00:00{until}").tzinfo
        written = at.astimezone(zone).isoformat()
    told = (await called.hold(written)).json()
    assert told["hold"]["until"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"


NO_HOLD = {
    "a missing body": (b"", "the body is missing"),
    "no until": (b'{"note": "x"}', "until: field required"),
    "a local time": (b'{"until": "2999-01-15T08:00:00"}', "until: write an instant with its zone"),
    "a date": (b'{"until": "2999-01-15"}', "until: write an instant with its zone"),
    "digits in a string": (b'{"until": "32503680000"}', "until: write an instant with its zone"),
    "no time at all": (b'{"until": "Friday"}', "until: write an instant with its zone"),
    "a year that no calendar has": (b'{"until": "99999-01-01T00:00:00Z"}', "until: write an instant with its zone"),
    "true": (b'{"until": true}', "until: input should be a valid number"),
    "a list": (b'{"until": [1]}', "until: input should be a valid number"),
    "no number": (b'{"until": NaN}', "until: input should be a finite number"),
    "for ever": (b'{"until": Infinity}', "until: input should be a finite number"),
    "very long": (b'{"until": 1e300}', "until: at most 7 d ahead"),
    "yesterday": (b'{"until": 1000000000}', "until: it is over already"),
    "before all time": (b'{"until": -1e300}', "until: it is over already"),
    "a long note": (json.dumps({"until": None, "note": "x" * 201}).encode(), "note: string should have at most 200"),
    "a note of two lines": (b'{"until": null, "note": "a\\nb"}', "note: write one line without control characters"),
    "a note that steers terminals": (b'{"until": null, "note": "\\u001b[2J"}', "note: write one line"),
    "a note that is no text": (b'{"until": null, "note": 7}', "note: input should be a valid string"),
}


@pytest.mark.parametrize("kind", NO_HOLD)
async def test_a_hold_that_cannot_be_is_refused_and_says_why(near: Called, kind: str):
    await near.create_db("alice")
    body, why = NO_HOLD[kind]
    async with nothing_changes(near):
        assert_problem(await near.lease("PUT", "/database/hold", body=body), 400, "invalid-request", why)


async def test_a_note_may_be_200_characters_long(called: Called):
    await called.create_db("alice")
    assert (await called.hold(in_days(1), "ü" * 200)).json()["hold"]["note"] == "ü" * 200


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("*", 200),
        ('"2"', 200),
        ('"1", "2"', 200),
        (' "2" ', 200),
        ('"3"', 412),
        ('W/"2"', 412),
        ('"02x"', 412),
        ('"2" ,W/"3"', 200),
        ('"' + "9" * 400 + '"', 412),
        ("2", 400),
        ("'2'", 400),
        ('"2', 400),
        ('"2" "3"', 400),
        ("**", 400),
    ],
)
async def test_if_match_is_read_as_http_has_it(called: Called, if_match: str, status: int):
    await called.create_db("alice")
    assert etag(await called.lease("GET", "/database")) == '"2"'
    assert (await called.hold(in_days(1), headers=[f"If-Match: {if_match}"])).status == status
    ended = await called.lease("DELETE", "/database?purge=true&If-Match=*", headers=['If-Match: "1"'])
    assert ended.status == 412, "a query is no header"


@pytest.mark.parametrize("state", [State.FAILED, State.DELETING, State.RELEASED])
async def test_where_nothing_is_left_nothing_is_held(called: Called, state: State):
    await called.create_db("alice")
    await put(called, state)
    assert_problem(await called.hold(in_days(1)), 409, "not-allowed", f"it is {state}")


async def test_a_held_database_is_kept_by_the_reaper(near: Called, timers: dict[str, Any]):
    await near.create_db("alice")
    clock = near.world.clock
    assert (await near.hold(clock.now() + 2 * DAY)).status == 200
    for _ in range(3):
        clock.turn(15 * HOUR)
        await near.world.hear()
        await timers["reap_leases"](None)
    told = (await near.lease("GET", "/database")).json()
    assert (told["state"], told["reason"][:10]) == ("running", "held until")


# Ending


async def test_without_purge_it_is_told_what_purge_would_do(way: Way):
    await way.create_db("alice")
    async with nothing_changes(way):
        for query in ("", "?purge=false"):
            reply = await way.lease("DELETE", f"/database{query}")
            assert_problem(reply, 409, "not-allowed", NO_ARCHIVE)


@pytest.mark.parametrize("purge", ["yes", "1", "True", "TRUE", "true,true", "purge"])
async def test_only_true_is_true(called: Called, purge: str):
    await called.create_db("alice")
    async with nothing_changes(called):
        reply = await called.lease("DELETE", f"/database?purge={purge}")
        assert_problem(reply, 400, "invalid-request", "purge: input should be 'true' or 'false'")


async def test_a_purge_is_accepted_written_and_idempotent(way: Way):
    await way.create_db("alice")
    seen = etag(await way.lease("GET", "/database"))
    first = await way.lease("DELETE", "/database?purge=true", headers=[f"If-Match: {seen}"])
    assert (first.status, first.json()["state"], first.json()["reason"]) == (
        202,
        "deleting",
        "its deletion was asked for",
    )
    async with nothing_changes(way):
        for query in ("?purge=true", ""):
            again = await way.lease("DELETE", f"/database{query}", headers=[f"If-Match: {seen}"])
            assert (again.status, again.json()) == (202, first.json())
    told = (await way.heart_beat("alice")).json()
    assert (told["renewed"], told["state"]) == (False, "deleting")
    assert told["warning"] == "this database is being taken away"


async def test_a_purged_database_is_gone_after_a_look(near: Called, timers: dict[str, Any]):
    source = (await near.create_db("alice")).json()["data_source"]
    await near.lease("DELETE", "/database?purge=true")
    assert near.world.looks.posted == [(ALICE, "database")]
    for _ in range(2):
        await timers["reap_leases"](None)
        near.world.clock.turn(60)
    assert near.world.kubernetes.find("PersistentVolumeClaim") == []
    told = (await near.lease("GET", "/database")).json()
    assert (told["state"], told["reason"]) == ("released", "its deletion was asked for")
    assert (await near.lease("DELETE", "/database?purge=true")).status == 202
    assert_beat(await near.heart_beat("alice"), "alice", renewed=False, state="released")
    near.world.clock.turn(8 * DAY)
    assert (await near.lease("GET", "/database")).status == 404
    assert (await near.lease("DELETE", "/database?purge=true")).status == 404
    assert (await near.lease("GET", "/database/events")).status == 200, "its history stays"
    assert (await near.create_db("alice")).json()["data_source"] != source


# Trouble


async def test_without_its_store_each_says_so(way: Way):
    await way.create_db("alice")
    await way.strike("the store is down")
    for method, path in (("GET", ""), ("GET", "/database"), ("GET", "/database/events"), ("PUT", "/database/hold"),
                         ("DELETE", "/database?purge=true")):  # fmt: skip
        reply = await way.lease(method, path, body=b'{"until": null}')
        assert_problem(reply, 503, "store-unavailable", "in the log of this server")


async def test_a_conflict_is_invisible_and_one_without_end_is_told(way: Way):
    await way.create_db("alice")
    await way.strike("the store conflicts once")
    assert (await way.hold(in_days(1))).status == 200
    await way.strike("the store always conflicts")
    assert_problem(await way.hold(in_days(2)), 503, "conflict", "others keep changing it")
    assert_problem(await way.lease("DELETE", "/database?purge=true"), 503, "conflict", "others keep changing it")


async def test_no_key_and_no_cluster_are_needed(way: Way):
    await way.create_db("alice")
    await way.strike("the cluster is down")
    await way.strike("the key is missing")
    asked = (await way.state())["asked of the cluster"]
    assert (await way.hold(in_days(1))).status == 200
    assert (await way.lease("GET")).status == (await way.lease("GET", "/database")).status == 200
    assert (await way.lease("DELETE", "/database?purge=true")).status == 202
    assert (await way.state())["asked of the cluster"] == asked
