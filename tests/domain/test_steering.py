"""What an owner sees of its leases, and whose a request is about."""

from typing import Any

import pytest

from shared.domain import steering
from shared.domain.errors import (
    InvalidRequest,
    NotFound,
)
from shared.domain.identity import Principal, Role
from shared.domain.leases import Kind, Owner, State
from shared.domain.policy import DAY, HOUR, MINUTE
from shared.domain.steering import Target, target
from tests.domain.rig import Rig, virtual
from tests.domain.steering import USER, end, hold, mine, pass_by
from tests.samples import ALICE, T0, a_lease

BOB = Owner("default", "bob")
FRONTEND = Principal("default", Role.FRONTEND, "hub")
ADMIN = Principal("default", Role.ADMIN, "ops")
WORKER = Principal("default", Role.WORKER, "alice")


# Whose


def test_a_user_names_itself_or_nobody():
    assert target(USER, "", "database").owner == target(USER, "alice", "database").owner == ALICE
    with pytest.raises(NotFound, match="there is no such user"):
        target(USER, "bob", "database")


@pytest.mark.parametrize("caller", [FRONTEND, ADMIN])
def test_who_acts_for_many_names_one_of_its_tenant(caller: Principal):
    assert target(caller, "bob", "database") == Target(BOB, "database", f"{caller.role} {caller.name}")
    with pytest.raises(InvalidRequest, match="owner: say whose it is"):
        target(caller, "", "database")
    with pytest.raises(InvalidRequest, match="owner holds"):
        target(caller, "a b", "database")


@pytest.mark.parametrize("named", ["", "alice", "bob"])
def test_a_worker_has_nothing_and_names_nobody(named: str):
    with pytest.raises(NotFound):
        target(WORKER, named, "database")


@pytest.mark.parametrize("id", ["", "a b", "é", "a%20b", "database\x00", "\ud800", "x" * 129])
def test_an_id_that_nothing_can_have_is_not_there(id: str):
    with pytest.raises(NotFound, match="there is no such lease"):
        target(USER, "", id)


# Seeing


@virtual
async def test_a_user_lists_its_own_and_an_admin_the_tenants():
    rig = Rig()
    other = await rig.put(a_lease(owner=BOB))
    own = await rig.put(a_lease())
    await rig.put(a_lease(owner=Owner("elsewhere", "alice")))

    async def listed(caller: Principal, owner: str = "", limit: int = 10) -> Any:
        return await steering.listed(rig.store, caller, owner, None, None, "", limit)

    assert await listed(USER) == ([own], "")
    assert await listed(ADMIN) == ([own, other], "")
    assert await listed(ADMIN, "bob") == await listed(FRONTEND, "bob") == ([other], "")
    found, after = await listed(ADMIN, limit=1)
    assert found == [own] and after
    for caller, owner, error in ((FRONTEND, "", InvalidRequest), (WORKER, "", NotFound), (USER, "bob", NotFound)):
        with pytest.raises(error):
            await listed(caller, owner)


@virtual
async def test_a_list_is_chosen_from_page_by_page():
    rig = Rig()
    for n in range(6):
        await rig.put(a_lease(State.FAILED if n % 3 == 2 else State.RUNNING, owner=Owner("default", f"u{n}")))
    found, sizes, after = [], [], ""
    while True:
        some, after = await steering.listed(rig.store, ADMIN, "", Kind.DATABASE, State.FAILED, after, 2)
        found += [lease.owner.user for lease in some]
        sizes.append(len(some))
        if not after:
            break
    assert (found, sizes) == (["u2", "u5"], [0, 1, 1, 0])


@virtual
async def test_a_tombstone_says_what_became_of_a_lease():
    rig = Rig()
    await rig.put(a_lease(State.RELEASED, reason="never was ready", gone_at=T0 + DAY))
    assert (await steering.show(rig.store, mine())).reason == "never was ready"
    rig.clock.turn(DAY)
    with pytest.raises(NotFound):
        await steering.show(rig.store, mine())


@virtual
async def test_history_is_told_from_the_beginning_and_goes_on_where_it_stopped():
    rig = Rig()
    await rig.create()
    await hold(rig, rig.clock.now() + HOUR, "a run")
    await end(rig)
    events, after = await steering.history(rig.store, mine(), "", 2)
    assert [(event.before, event.after) for event in events] == [("", "pending"), ("pending", "running")]
    more, none = await steering.history(rig.store, mine(), after, 2)
    assert [(event.before, event.after) for event in more] == [("running", "running"), ("running", "deleting")]
    assert [event.actor for event in more] == ["user alice", "user alice"]
    assert more[0].reason.endswith(": a run")
    assert none == ""
    assert await steering.history(rig.store, mine(), more[-1].id, 2) == ([], "")
    with pytest.raises(InvalidRequest, match="after: not from this list"):
        await steering.history(rig.store, mine(), "elsewhere", 2)
    with pytest.raises(NotFound):
        await steering.history(rig.store, target(USER, "", "session"), "", 2)


@virtual
async def test_history_outlives_the_lease():
    rig = Rig()
    await rig.create()
    await end(rig)
    await pass_by(rig, MINUTE)
    rig.clock.turn(30 * DAY)
    assert [event.after for event in (await steering.history(rig.store, mine(), "", 9))[0]][-1] == "released"
