"""Who was invited gets one certificate, and who has one gets the next."""

import asyncio
from base64 import urlsafe_b64encode
from dataclasses import replace

import pytest

from shared.domain import enrolment
from shared.domain.errors import (
    AuthorityUnavailable,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotInvited,
    StoreUnavailable,
)
from shared.domain.holders import REPEATED
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR
from tests.domain.issuing import ALICE, KEY, OTHER, OWNER, Desk, enrolled, invited, presented


@pytest.fixture
def desk() -> Desk:
    return Desk()


def text(key: str) -> str:
    """As a token says whose it is."""
    return urlsafe_b64encode(key.encode()).decode().rstrip("=")


async def test_a_token_brings_a_certificate_for_whom_it_was_made(desk: Desk) -> None:
    issuance = await enrolment.enrol(desk.issuing, await invited(desk), KEY)
    assert issuance.principal == ALICE
    assert issuance.chain == f"user alice {issuance.issued.serial} a key"
    assert issuance.issued.until == desk.clock.now() + 30 * DAY
    assert issuance.issued.begins == desk.clock.now() - CLOCK_SKEW
    assert await desk.serials() == [issuance.issued.serial]


async def test_a_certificate_ends_no_later_than_its_ca(desk: Desk) -> None:
    desk.authority.until = desk.clock.now() + DAY
    issuance = await enrolment.enrol(desk.issuing, await invited(desk), KEY)
    assert issuance.issued.until == desk.authority.until


async def test_a_ca_that_ends_issues_nothing_and_no_token_is_lost(desk: Desk) -> None:
    token, until = await invited(desk), desk.authority.until
    desk.authority.until = desk.clock.now() + CLOCK_SKEW
    with pytest.raises(AuthorityUnavailable):
        await enrolment.enrol(desk.issuing, token, KEY)
    desk.authority.until = until
    assert (await enrolment.enrol(desk.issuing, token, KEY)).principal == ALICE


async def test_a_token_is_good_for_one_key(desk: Desk) -> None:
    token = await invited(desk)
    await enrolment.enrol(desk.issuing, token, KEY)
    with pytest.raises(NotInvited, match="has been used"):
        await enrolment.enrol(desk.issuing, token, OTHER)
    assert len(await desk.serials()) == 1


async def test_who_lost_the_answer_gets_the_same_certificate_for_the_same_key(desk: Desk) -> None:
    token = await invited(desk)
    first = await enrolment.enrol(desk.issuing, token, KEY)
    desk.clock.turn(HOUR)
    again = await enrolment.enrol(desk.issuing, token, KEY)
    assert (again.issued, again.chain) == (first.issued, first.chain)


async def test_of_many_who_come_at_once_with_one_token_one_gets_a_certificate(desk: Desk) -> None:
    token = await invited(desk)

    async def yielding(name: str, moment: object) -> None:
        await asyncio.sleep(0)

    desk.store.gate = yielding
    asked = [enrolment.enrol(desk.issuing, token, f"key {n}".encode()) for n in range(4)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in answers].count(enrolment.Issuance) == 1
    assert {type(each) for each in answers} == {enrolment.Issuance, NotInvited}
    assert len(await desk.serials()) == 1


async def test_a_token_ends(desk: Desk) -> None:
    token = await invited(desk, hours=2)
    desk.clock.turn(2 * HOUR)
    with pytest.raises(NotInvited, match="its time is over"):
        await enrolment.enrol(desk.issuing, token, KEY)


async def test_a_certificate_that_is_revoked_is_not_signed_once_more(desk: Desk) -> None:
    token = await invited(desk)
    caller = presented(await enrolment.enrol(desk.issuing, token, KEY))
    await enrolment.revoke(desk.store, desk.clock, caller, "", caller.serial)
    with pytest.raises(NotInvited):
        await enrolment.enrol(desk.issuing, token, KEY)


async def test_whoever_signs_may_be_away_and_the_token_still_brings_its_certificate(desk: Desk) -> None:
    token = await invited(desk)
    desk.authority.broken = True
    with pytest.raises(AuthorityUnavailable):
        await enrolment.enrol(desk.issuing, token, KEY)
    desk.authority.broken = False
    issuance = await enrolment.enrol(desk.issuing, token, KEY)
    assert await desk.serials() == [issuance.issued.serial]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", ["holder", "keep"])
async def test_the_process_may_die_anywhere_and_the_token_still_brings_its_certificate(
    desk: Desk, call: str, moment: str
) -> None:
    token = await invited(desk)

    class Died(BaseException):
        """The process is gone."""

    async def gate(name: str, at: str) -> None:
        if (name, at) == (call, moment):
            raise Died

    desk.store.gate = gate
    with pytest.raises(Died):
        await enrolment.enrol(desk.issuing, token, KEY)
    desk.store.gate = Desk().store.gate
    issuance = await enrolment.enrol(desk.issuing, token, KEY)
    assert await desk.serials() == [issuance.issued.serial]
    with pytest.raises(NotInvited):
        await enrolment.enrol(desk.issuing, token, OTHER)


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_store_that_does_not_answer_is_told_and_asking_again_helps(desk: Desk, how: str) -> None:
    token = await invited(desk)
    desk.store.fail_next("keep", how)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await enrolment.enrol(desk.issuing, token, KEY)
    assert (await enrolment.enrol(desk.issuing, token, KEY)).principal == ALICE
    assert len(await desk.serials()) == 1


async def test_who_keeps_meeting_others_is_told_to_come_back(desk: Desk) -> None:
    token = await invited(desk)
    for _ in range(enrolment.ATTEMPTS):
        desk.store.fail_next("keep", "conflict")
    with pytest.raises(Conflict):
        await enrolment.enrol(desk.issuing, token, KEY)
    assert (await enrolment.enrol(desk.issuing, token, KEY)).principal == ALICE


async def test_what_is_no_token_is_refused(desk: Desk) -> None:
    token = await invited(desk)
    who, _, secret = token.partition(".")
    parts = [".", f"{who}.", f".{secret}", who, f"{who}.{secret[:-4]}", f"{who}.{secret[::-1]}", f"{who}=.{secret}"]
    around = ["", token[:-1], token + "A", token.replace(".", ".."), f" {token}", token + "\n", "é.é", "a" * 2000]
    same = [f"{text('default/%61lice')}.{secret}", f"{text('default/' + 'a' * 900)}.{secret}", f"{who}.{secret}AAAA"]
    for wrong in (*parts, *around, *same):
        with pytest.raises(NotInvited, match="it has to be copied whole" if wrong in same else None):
            await enrolment.enrol(desk.issuing, wrong, KEY)
    assert await desk.serials() == []
    assert (await enrolment.enrol(desk.issuing, token, KEY)).principal == ALICE


async def test_a_made_up_token_does_not_tell_whether_somebody_is_known_here(desk: Desk) -> None:
    await enrolled(desk)
    secret = (await invited(desk, Principal("default", Role.USER, "carol"))).partition(".")[2]
    answers = []
    for owner in (OWNER, Owner("default", "nobody")):
        with pytest.raises(NotInvited) as told:
            await enrolment.enrol(desk.issuing, f"{text(owner.key)}.{secret}", KEY)
        answers.append(told.value.detail)
    assert answers[0] == answers[1]
    assert await desk.store.holder(Owner("default", "nobody")) is None


async def test_one_persons_token_is_not_anothers(desk: Desk) -> None:
    mine, theirs = await invited(desk), await invited(desk, Principal("default", Role.ADMIN, "bob"))
    mixed = f"{mine.partition('.')[0]}.{theirs.partition('.')[2]}"
    with pytest.raises(NotInvited):
        await enrolment.enrol(desk.issuing, mixed, KEY)


async def test_the_secret_of_a_token_is_kept_nowhere(desk: Desk) -> None:
    token = await invited(desk)
    await enrolment.enrol(desk.issuing, token, KEY)
    assert token.partition(".")[2] not in repr(await desk.store.holder(OWNER))


@pytest.mark.parametrize("role", Role)
async def test_an_invitation_says_the_role(desk: Desk, role: Role) -> None:
    issuance = await enrolment.enrol(desk.issuing, await invited(desk, Principal("acme", role, "bob")), KEY)
    assert issuance.principal == Principal("acme", role, "bob")


@pytest.mark.parametrize("who", [Principal("Acme", Role.USER, "bob"), Principal("acme", Role.USER, "a b"),
                                 Principal("acme", Role.USER, ".."), Principal("acme", Role.USER, "")])  # fmt: skip
async def test_who_cannot_be_named_in_a_certificate_is_not_invited(desk: Desk, who: Principal) -> None:
    with pytest.raises(InvalidRequest):
        await invited(desk, who)


async def test_only_so_many_invitations_are_open(desk: Desk) -> None:
    tokens = [await invited(desk) for _ in range(5)]
    with pytest.raises(NotAllowed):
        await invited(desk)
    await enrolment.enrol(desk.issuing, tokens[0], KEY)
    await invited(desk)
    desk.clock.turn(DAY)
    assert [await invited(desk) for _ in range(5)]


# Renewal


async def test_who_has_a_certificate_gets_the_next_one(desk: Desk) -> None:
    caller = await enrolled(desk)
    desk.clock.turn(20 * DAY)
    issuance = await enrolment.renew(desk.issuing, caller, OTHER)
    assert issuance.issued.renewed_from == caller.serial
    assert issuance.issued.until == desk.clock.now() + 30 * DAY
    assert await desk.serials() == [caller.serial, issuance.issued.serial]


async def test_one_that_was_made_by_hand_is_renewed_too_and_known_from_then_on(desk: Desk) -> None:
    by_hand = replace(ALICE, serial="ab", begins=desk.clock.now() - DAY, until=desk.clock.now() + DAY)
    issuance = await enrolment.renew(desk.issuing, by_hand, KEY)
    found = await enrolment.certificates(desk.store, desk.clock, by_hand, "")
    assert [each.serial for each in found] == ["ab", issuance.issued.serial]


async def test_a_renewal_keeps_the_role(desk: Desk) -> None:
    caller = await enrolled(desk, Principal("default", Role.ADMIN, "alice"))
    assert (await enrolment.renew(desk.issuing, caller, OTHER)).principal.role is Role.ADMIN


async def test_what_is_revoked_is_renewed_by_nobody_however_late_a_process_hears_of_it(desk: Desk) -> None:
    caller = await enrolled(desk)
    await enrolment.revoke(desk.store, desk.clock, caller, "", caller.serial)
    with pytest.raises(NotAuthenticated):
        await enrolment.renew(desk.issuing, caller, OTHER)


async def test_who_asks_for_the_same_key_a_moment_later_gets_the_same(desk: Desk) -> None:
    caller = await enrolled(desk)
    first = await enrolment.renew(desk.issuing, caller, OTHER)
    desk.clock.turn(REPEATED - 1)
    assert (await enrolment.renew(desk.issuing, caller, OTHER)).issued == first.issued
    desk.clock.turn(1)
    assert (await enrolment.renew(desk.issuing, caller, OTHER)).issued.serial != first.issued.serial


async def test_who_asks_for_the_same_key_once_more_is_not_given_what_is_revoked(desk: Desk) -> None:
    caller = await enrolled(desk)
    first = await enrolment.renew(desk.issuing, caller, OTHER)
    await enrolment.revoke(desk.store, desk.clock, caller, "", first.issued.serial)
    assert (await enrolment.renew(desk.issuing, caller, OTHER)).issued.revoked_at is None


async def test_nobody_holds_more_than_twenty(desk: Desk) -> None:
    caller = await enrolled(desk)
    for n in range(19):
        await enrolment.renew(desk.issuing, caller, f"key {n}".encode())
    with pytest.raises(NotAllowed, match="20 certificates"):
        await enrolment.renew(desk.issuing, caller, OTHER)
    newest = (await desk.serials())[-1]
    await enrolment.revoke(desk.store, desk.clock, caller, "", newest)
    assert await enrolment.renew(desk.issuing, caller, OTHER)


@pytest.mark.slow
async def test_nobody_fills_the_store_by_renewing_and_revoking(desk: Desk) -> None:
    caller = await enrolled(desk)
    with pytest.raises(NotAllowed, match="issued and revoked"):
        for n in range(300):
            issuance = await enrolment.renew(desk.issuing, caller, f"key {n}".encode())
            await enrolment.revoke(desk.store, desk.clock, caller, "", issuance.issued.serial)
    assert len(await desk.serials()) <= 201
