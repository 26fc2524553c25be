"""Which ids work, that they reach nothing but the owner's annotation, and which are refused."""

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.leases import Owner
from shared.manifests.database import OWNER
from tests.http.asserting import assert_beat, assert_problem, nothing_changes
from tests.http.ways import CARRIED, Called, Way

ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
GOOD = [
    "a", "7", "alice@example.com", "o'brien", "$(id)", "..", ".", "../../etc", "/etc/passwd", "a//b", "-rf", "--",
    "a=b", "a?b=c", "a:b", "~", "!", "(x)", "*", "yes", "null", "0x10", "1e3", "a" * 128, CARRIED,
]  # fmt: skip
BAD = {
    "'; DROP TABLE x;": "';' at position 2",
    "a b": "' ' at position 2",
    "a&b": "'&' at position 2",
    "a+b": "'+' at position 2",
    "a%62": "'%' at position 2",
    "a#b": "'#' at position 2",
    "`id`": "'`' at position 1",
    "$(id)\n": "'\\n' at position 6",
    "a\x00b": "'\\x00' at position 2",
    'a"b': "'\"' at position 2",
    "a\\b": "'\\\\' at position 2",
    "<script>": "'<' at position 1",
    "{{x}}": "'{' at position 1",
    "älice": "'\\xe4' at position 1",
    "\u0430lice": "'\\u0430' at position 1",
    "\u202ealice": "'\\u202e' at position 1",
    "alice|id": "'|' at position 6",
    "a;b": "';' at position 2",
    "a[b]": "'[' at position 2",
    "a^b": "'^' at position 2",
    "😀": "'\\U0001f600' at position 1",
}
SAME_FOR_A_DNS_NAME = ("alice", "Alice", "ALICE", "a.lice", "a_lice", "a-lice", "alice-", "-alice", "alice.", "a/lice",
                       "a:lice", "alice=", "~alice", "alice?", "al/../alice", "./alice")  # fmt: skip


@pytest.mark.parametrize("user", GOOD)
async def test_an_id_that_a_query_carries_works(way: Way, user: str):
    created = await way.create_db(user)
    assert created.status == 200, created.body
    assert_beat(await way.heart_beat(user), user, renewed=True, state="running")


@pytest.mark.parametrize("user", BAD)
async def test_an_id_that_a_query_would_change_is_refused(way: Way, user: str):
    by = way.people.frontend()
    async with nothing_changes(way):
        reply = await way.create_db(user, by)
    assert_problem(reply, 400, "invalid-request", f"user_id holds {BAD[user]}; allowed are A-Za-z0-9 and {CARRIED[:3]}")


@pytest.mark.parametrize("user", [*BAD, "", "a" * 129])
async def test_a_beat_for_an_id_nobody_has_is_answered_and_touches_nothing(way: Way, user: str):
    by = way.people.frontend()
    calls = await way.calls()
    async with nothing_changes(way):
        reply = await way.heart_beat(user, by)
    assert reply.status == 200
    assert reply.json()["renewed"] is False and reply.json()["state"] == "none"
    assert await way.calls() == calls


@pytest.mark.parametrize("target", ["/api/heart_beat", "/api/heart_beat?", "/api/heart_beat?user=alice"])
async def test_a_beat_without_an_id_is_answered_too(way: Way, target: str):
    reply = await way.ask("GET", target, by=way.people.user("alice"))
    assert (reply.status, reply.json()["renewed"]) == (200, False)


async def test_ids_that_a_dns_name_would_confuse_have_databases_of_their_own(near: Called):
    by = near.people.frontend()
    sources = [(await near.create_db(user, by)).json()["data_source"] for user in SAME_FOR_A_DNS_NAME]
    assert len(set(sources)) == len(SAME_FOR_A_DNS_NAME)
    leases = {lease.owner: lease.generation for lease in await near.world.leases()}
    assert set(leases) == {Owner("default", user) for user in SAME_FOR_A_DNS_NAME}
    assert len(set(leases.values())) == len(SAME_FOR_A_DNS_NAME)
    assert len(near.world.kubernetes.find("StatefulSet")) == len(SAME_FOR_A_DNS_NAME)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=st.text(ALNUM + CARRIED, min_size=1, max_size=128))
async def test_an_id_reaches_no_object_but_as_its_owners_annotation(called: Called, user: str):
    by = called.people.frontend()
    assert (await called.create_db(user, by)).status == 200
    assert (await called.create_db("x", by)).status == 200
    owner, other = Owner("default", user), Owner("default", "x")
    assert await normalised(called, owner) == await normalised(called, other)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=st.text(min_size=0, max_size=140))
async def test_whatever_the_id_the_answer_is_200_or_400_and_the_beats_agree(called: Called, user: str):
    by = called.people.frontend()
    created = await called.create_db(user, by)
    assert created.status in (200, 400), created.body
    beat = await called.ask("GET", "/api/heart_beat?user_id=" + user, by=by) if created.status == 200 else None
    assert beat is None or beat.json()["renewed"] is True


async def normalised(called: Called, owner: Owner) -> dict[str, Any]:
    """All objects of an owner's life, with what must differ between two lives made equal."""
    lease = await called.world.lease(owner)
    kubernetes = called.world.kubernetes
    objects: dict[str, Any] = {}
    for (kind, name), item in kubernetes.objects.items():
        if lease.generation not in name and lease.generation not in json.dumps(item["metadata"].get("labels", {})):
            continue
        item = copy.deepcopy(item)
        annotated = [item["metadata"], item.get("spec", {}).get("template", {}).get("metadata", {})]
        for metadata in annotated:
            assert metadata.get("annotations", {}).pop(OWNER, owner.key) == owner.key
        item["metadata"] = {key: item["metadata"].get(key) for key in ("name", "labels", "annotations")}
        item.get("spec", {}).pop("clusterIP", None)
        item.pop("status", None)
        item.pop("endpoints", None)
        if kind == "Secret":
            item["stringData"] = sorted(item["stringData"])
        objects[kind] = json.loads(json.dumps(item).replace(lease.generation, "GENERATION"))
    assert len(objects) >= 5
    return objects
