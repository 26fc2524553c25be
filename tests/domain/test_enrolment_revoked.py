"""What is revoked is gone, and all that came of it; what is over is forgotten, and all is written down."""

from dataclasses import replace

import pytest

from shared.domain import enrolment
from shared.domain.errors import (
    NotAuthenticated,
    NotFound,
    PlaygroundError,
)
from shared.domain.holders import Issued
from shared.domain.identity import Principal, Role
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR
from tests.domain.issuing import ADMIN, ALICE, KEY, OTHER, OWNER, Desk, enrolled, invited, presented


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_revoked_certificate_takes_all_with_it_that_was_renewed_from_it(desk: Desk) -> None:
    first = await enrolled(desk)
    second = presented(await enrolment.renew(desk.issuing, first, OTHER))
    third = presented(await enrolment.renew(desk.issuing, second, b"third"))
    other = await enrolled(desk)
    await enrolment.revoke(desk.store, desk.clock, other, "", second.serial)
    holder = await desk.store.holder(OWNER)
    assert holder is not None
    ended = {each.serial for each in holder.certificates if each.revoked_at is not None}
    assert ended == {second.serial, third.serial}


async def test_it_does_so_even_where_one_in_between_is_over(desk: Desk) -> None:
    first = replace(ALICE, serial="ab", begins=desk.clock.now(), until=desk.clock.now() + 90 * DAY)
    second = presented(await enrolment.renew(desk.issuing, first, OTHER))
    desk.clock.turn(29 * DAY)
    third = presented(await enrolment.renew(desk.issuing, second, b"third"))
    desk.clock.turn(5 * DAY)
    await enrolment.revoke(desk.store, desk.clock, first, "", "ab")
    assert second.serial not in await desk.serials(), "it is over, and forgotten"
    [ended] = [each for each in await enrolment.certificates(desk.store, desk.clock, first, "") if each.serial != "ab"]
    assert (ended.serial, ended.revoked_at) == (third.serial, desk.clock.now())


async def test_a_renewal_that_meets_a_revocation_comes_to_nothing(desk: Desk) -> None:
    caller = await enrolled(desk)
    revoking = False

    async def gate(name: str, moment: str) -> None:
        nonlocal revoking
        if (name, moment) == ("keep", "before") and not revoking:
            revoking = True  # between the renewal's read and its write
            await enrolment.revoke(desk.store, desk.clock, caller, "", caller.serial)

    desk.store.gate = gate
    with pytest.raises(NotAuthenticated):
        await enrolment.renew(desk.issuing, caller, OTHER)
    assert await desk.serials() == [caller.serial]


async def test_revoking_again_changes_nothing(desk: Desk) -> None:
    caller = await enrolled(desk)
    first = await enrolment.revoke(desk.store, desk.clock, caller, "", caller.serial)
    before = await desk.store.holder(OWNER)
    desk.clock.turn(HOUR)
    assert await enrolment.revoke(desk.store, desk.clock, caller, "", caller.serial) == first
    assert await desk.store.holder(OWNER) == before


async def test_ones_own_certificate_that_was_made_by_hand_can_be_revoked(desk: Desk) -> None:
    by_hand = replace(ALICE, serial="ab", begins=desk.clock.now() - DAY, until=desk.clock.now() + DAY)
    ended = await enrolment.revoke(desk.store, desk.clock, by_hand, "", "ab")
    assert (ended.revoked_at, ended.by) == (desk.clock.now(), "user alice")
    assert [each.owner for each in await desk.store.revoked(0.0)] == [OWNER]


async def test_an_operator_forbids_what_it_has_in_hand(desk: Desk) -> None:
    by_hand = replace(ALICE, serial="ab", begins=desk.clock.now() - DAY, until=desk.clock.now() + DAY)
    renewal = presented(await enrolment.renew(desk.issuing, by_hand, OTHER))
    await enrolment.forbid(desk.store, desk.clock, by_hand, "operator")
    with pytest.raises(NotAuthenticated):
        await enrolment.renew(desk.issuing, renewal, b"third")


@pytest.mark.parametrize(
    ("who", "owner"),
    [
        (Principal("default", Role.USER, "bob"), "alice"),
        (Principal("default", Role.USER, "bob"), ""),
        (Principal("default", Role.FRONTEND, "hub"), "alice"),
        (Principal("default", Role.WORKER, "alice"), "alice"),
        (Principal("default", Role.FRONTEND, "alice"), ""),
        (Principal("other", Role.ADMIN, "ops"), "alice"),
        (Principal("other", Role.USER, "alice"), ""),
        (ADMIN, ""),
    ],
)
async def test_a_certificate_of_somebody_else_does_not_exist(desk: Desk, who: Principal, owner: str) -> None:
    caller = await enrolled(desk)
    with pytest.raises(NotFound):
        await enrolment.revoke(desk.store, desk.clock, who, owner, caller.serial)
    found: list[Issued] | PlaygroundError
    try:
        found = await enrolment.certificates(desk.store, desk.clock, who, owner)
    except NotFound:
        found = []
    assert found == [] and await desk.store.revoked(0.0) == []


async def test_an_admin_ends_those_of_its_tenant(desk: Desk) -> None:
    caller = await enrolled(desk)
    assert [each.serial for each in await enrolment.certificates(desk.store, desk.clock, ADMIN, "alice")] == [
        caller.serial
    ]
    ended = await enrolment.revoke(desk.store, desk.clock, ADMIN, "alice", caller.serial)
    assert ended.by == "admin ops"


async def test_an_admins_own_serial_is_not_there_among_somebody_elses(desk: Desk) -> None:
    await enrolled(desk)
    admin = replace(ADMIN, serial="cd", begins=desk.clock.now() - DAY, until=desk.clock.now() + DAY)
    with pytest.raises(NotFound):
        await enrolment.revoke(desk.store, desk.clock, admin, "alice", "cd")
    assert await desk.store.revoked(0.0) == []


async def test_a_serial_that_nobody_knows_is_not_there(desk: Desk) -> None:
    await enrolled(desk)
    with pytest.raises(NotFound):
        await enrolment.revoke(desk.store, desk.clock, ADMIN, "alice", "ab")


async def test_what_is_over_by_every_clock_is_forgotten_and_not_before(desk: Desk) -> None:
    first = await enrolled(desk)
    await enrolment.revoke(desk.store, desk.clock, first, "", first.serial)
    desk.clock.turn(30 * DAY + CLOCK_SKEW - 1)
    second = await enrolled(desk)
    assert await desk.serials() == [first.serial, second.serial]
    assert [each.owner for each in await desk.store.revoked(0.0)] == [OWNER], "a clock that is behind accepts it still"
    desk.clock.turn(1)
    assert [each.serial for each in await enrolment.certificates(desk.store, desk.clock, second, "")] == [second.serial]
    third = await enrolled(desk)
    assert await desk.serials() == [second.serial, third.serial]
    assert await desk.store.revoked(0.0) == [], "or it would be read for ever"
    holder = await desk.store.holder(OWNER)
    assert holder is not None and len(holder.invitations) == 2


async def test_what_is_known_of_somebody_is_kept_until_the_last_of_it_is_over(desk: Desk) -> None:
    await invited(desk, hours=2)
    holder = await desk.store.holder(OWNER)
    assert holder is not None and holder.gone_at == desk.clock.now() + 2 * HOUR + CLOCK_SKEW
    issuance = await enrolment.enrol(desk.issuing, await invited(desk, hours=3), KEY)
    holder = await desk.store.holder(OWNER)
    assert holder is not None and holder.gone_at == issuance.issued.until + CLOCK_SKEW


# What is written down


async def test_all_that_becomes_of_certificates_is_in_their_owners_history(desk: Desk) -> None:
    by_hand = replace(ALICE, serial="ab", begins=desk.clock.now() - DAY, until=desk.clock.now() + DAY)
    renewal = presented(await enrolment.renew(desk.issuing, by_hand, OTHER))
    await enrolment.revoke(desk.store, desk.clock, by_hand, "", renewal.serial)
    await enrolment.forbid(desk.store, desk.clock, by_hand, "operator")
    found = {(event.after, event.generation, event.actor) for event in await desk.store.events(OWNER)}
    assert found == {
        ("presented", "ab", ""), ("issued", renewal.serial, ""), ("revoked", renewal.serial, "user alice"),
        ("revoked", "ab", "operator"),
    }  # fmt: skip
