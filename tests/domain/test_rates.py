"""So many requests a second: of a user, and of all in a tenant, whoever else asks meanwhile."""

import pytest

from shared.domain.errors import TooMany
from shared.domain.identity import Principal, Role
from shared.domain.rates import REMEMBERED, REST, Rate, Rates
from tests.certs import Hands

ALICE, BOB = (Principal("acme", Role.USER, name) for name in ("alice", "bob"))
HUB, STRANGER = Principal("acme", Role.FRONTEND, "hub"), Principal("other", Role.USER, "alice")


def taken(rates: Rates, who: Principal, times: int) -> int:
    """How many of so many requests were let through."""
    done = 0
    for _ in range(times):
        try:
            rates.take(who)
        except TooMany:
            continue
        done += 1
    return done


def test_after_a_rest_some_come_at_once_and_then_so_many_a_second():
    clock = Hands()
    rates = Rates(Rate(user=10), clock)
    assert taken(rates, ALICE, 200) == 10 * REST
    for _ in range(5):
        clock.turn(1)
        assert taken(rates, ALICE, 200) == 10
    clock.turn(3600)
    assert taken(rates, ALICE, 200) == 10 * REST


def test_a_refusal_says_when_to_come_back_and_then_one_gets_through():
    clock = Hands()
    rates = Rates(Rate(user=0.5), clock)
    while True:
        try:
            rates.take(ALICE)
        except TooMany as told:
            assert told.retry_after == 1
            break
    clock.turn(0.9)
    with pytest.raises(TooMany) as soon:
        rates.take(ALICE)
    assert soon.value.retry_after == 1, "not at once"
    clock.turn(0.1)
    assert taken(rates, ALICE, 2) == 1


def test_one_users_share_is_not_anothers():
    rates = Rates(Rate(user=1), Hands())
    taken(rates, ALICE, 100)
    assert taken(rates, BOB, 100) == taken(rates, STRANGER, 100) == REST


def test_a_tenants_share_is_all_of_its_callers_and_no_other_tenants():
    rates = Rates(Rate(user=1000, tenant=2), Hands())
    assert taken(rates, ALICE, 7) + taken(rates, BOB, 7) + taken(rates, HUB, 7) == 2 * REST
    assert taken(rates, STRANGER, 7) == 7


def test_who_calls_for_others_counts_as_its_tenant_alone():
    rates = Rates(Rate(user=1), Hands())
    for role in (Role.FRONTEND, Role.ADMIN, Role.WORKER):
        assert taken(rates, Principal("acme", role, "hub"), 1000) == 1000


def test_what_is_refused_for_one_share_is_not_counted_for_the_other():
    clock = Hands()
    rates = Rates(Rate(user=1, tenant=2), clock)
    taken(rates, ALICE, 1000)
    assert taken(rates, HUB, 1000) == REST, "a user who storms takes no more from its tenant than its own share"


def test_no_rate_is_no_limit_and_nothing_is_remembered():
    rates = Rates(Rate(), Hands())
    assert taken(rates, ALICE, 10_000) == 10_000 and not rates._full_at


def test_who_has_not_come_for_longest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.domain.rates.REMEMBERED", 3)
    rates = Rates(Rate(user=1), Hands())
    taken(rates, ALICE, 4)
    for name in ("carol", "dave"):
        rates.take(Principal("acme", Role.USER, name))
    taken(rates, ALICE, 1)
    rates.take(BOB)
    assert taken(rates, ALICE, 1) == 0


@pytest.mark.slow
def test_no_more_callers_are_remembered_than_there_is_room_for():
    rates = Rates(Rate(user=1), Hands())
    for number in range(REMEMBERED + 10):
        rates.take(Principal("acme", Role.USER, f"user-{number}"))
    assert len(rates._full_at) == REMEMBERED
