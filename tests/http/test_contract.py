"""What the notebook plugin relies on, whichever way the functions are served."""

import asyncio
import json
import re

from shared.domain.leases import Owner
from tests.http.asserting import assert_beat
from tests.http.ways import Called, Way

DATA_SOURCE = re.compile(r"mysql://notebook:[A-Za-z0-9]+@tcp\([0-9.]+:3306\)/\?maxAllowedPacket=0")


async def test_create_db_answers_with_a_data_source(way: Way):
    reply = await way.create_db("alice")
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert DATA_SOURCE.fullmatch(reply.json()["data_source"])
    assert reply.header("cache-control") == "no-store"


async def test_the_same_kernel_or_another_gets_the_same_database(way: Way):
    first, second = await way.create_db("alice"), await way.create_db("alice", way.people.frontend())
    assert (second.status, second.body) == (200, first.body)


async def test_ten_at_once_get_one_database(way: Way):
    replies = await asyncio.gather(*(way.create_db("alice") for _ in range(10)))
    assert [reply.status for reply in replies] == [200] * 10, [reply.body for reply in replies]
    assert len({reply.body for reply in replies}) == 1
    state = await way.state()
    assert len([key for key in state["objects"] if key.startswith("StatefulSet/")]) == 1
    assert len({event["generation"] for event in state["events"]}) == 1


async def test_every_user_has_a_database_of_its_own(way: Way):
    replies = await asyncio.gather(*(way.create_db(user) for user in ("alice", "bob", "carol")))
    assert len({reply.json()["data_source"] for reply in replies}) == 3


async def test_a_heartbeat_is_acknowledged(way: Way):
    await way.create_db("alice")
    reply = await way.heart_beat("alice")
    assert (reply.status, reply.header("content-type")) == (200, "application/json")
    assert_beat(reply, "alice", renewed=True, state="running")


async def test_a_heartbeat_without_a_database_says_so(way: Way):
    before = await way.state()
    assert_beat(await way.heart_beat("alice"), "alice", renewed=False, state="none")
    after = await way.state()
    assert (after["leases"], after["objects"]) == (before["leases"], before["objects"])


async def test_the_front_page_says_who_is_here(way: Way):
    reply = await way.ask("GET", "/", by=way.people.user("alice"))
    assert (reply.status, reply.body) == (200, b"Hello, SQLFlow Playground!")


async def test_an_acknowledged_beat_is_in_the_store(near: Called):
    await near.create_db("alice")
    near.world.clock.turn(600)
    assert (await near.heart_beat("alice")).json()["renewed"] is True
    assert (await near.world.lease(Owner("default", "alice"))).beat_at == near.world.clock.now()


async def test_the_greeting_needs_no_certificate(called: Called):
    assert (await called.ask("GET", "/")).status == 200


async def test_a_bodys_type_does_not_matter(way: Way):
    by = way.people.user("alice")
    body = json.dumps({"user_id": "alice", "unknown": [1]}).encode()
    reply = await way.ask("POST", "/api/create_db", body, by, ["Accept: text/html"])
    assert reply.status == 200
