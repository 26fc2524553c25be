"""Who may ask for whom: what is somebody else's does not exist."""

import pytest

from shared.domain.identity import Role
from tests.http.asserting import assert_beat, assert_problem, nothing_changes, told
from tests.http.ways import Way


async def test_a_user_is_nobody_but_itself(way: Way):
    await way.create_db("bob")
    alice = way.people.user("alice")
    async with nothing_changes(way):
        assert_problem(await way.create_db("bob", alice), 404, "not-found")
        assert_problem(await way.create_db("nobody", alice), 404, "not-found")
        answer = await way.heart_beat("bob", alice)
    assert_beat(answer, "bob", renewed=False, state="none")


async def test_what_exists_and_what_does_not_look_the_same_to_others(way: Way):
    await way.create_db("bob")
    alice = way.people.user("alice")
    there, not_there = await way.create_db("bob", alice), await way.create_db("bub", alice)
    assert told(there) == told(not_there)


@pytest.mark.parametrize("role", [Role.FRONTEND, Role.ADMIN])
async def test_a_frontend_and_an_admin_act_for_any_user_of_their_tenant(way: Way, role: Role):
    by = way.people.holder(role, "hub", "default")
    assert (await way.create_db("alice", by)).body == (await way.create_db("alice")).body
    assert (await way.heart_beat("alice", by)).json()["renewed"] is True


@pytest.mark.parametrize("role", [Role.FRONTEND, Role.ADMIN])
async def test_but_not_for_those_of_another_tenant(way: Way, role: Role):
    await way.create_db("alice")
    by = way.people.holder(role, "hub", "elsewhere")
    before = (await way.state())["leases"]
    assert (await way.heart_beat("alice", by)).json()["renewed"] is False
    assert (await way.state())["leases"] == before
    created = await way.create_db("alice", by)
    assert created.status == 200, "it is another alice, of its own tenant"
    assert created.body != (await way.create_db("alice")).body


async def test_a_user_of_the_same_name_in_another_tenant_is_another_user(way: Way):
    elsewhere = way.people.user("alice", "elsewhere")
    assert (await way.create_db("alice")).body != (await way.create_db("alice", elsewhere)).body


async def test_a_worker_acts_for_nobody(way: Way):
    await way.create_db("alice")
    for name in ("alice", "hub"):
        worker = way.people.holder(Role.WORKER, name, "default")
        async with nothing_changes(way):
            assert_problem(await way.create_db("alice", worker), 404, "not-found")
            assert (await way.heart_beat("alice", worker)).json()["renewed"] is False
