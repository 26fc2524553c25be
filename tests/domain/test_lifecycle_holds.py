"""What a hold keeps, and what it does not: the same policy, with an owner who wishes otherwise."""

from dataclasses import replace

import pytest

from shared.domain.leases import Lease, State
from shared.domain.lifecycle import Act, Seen, decide, expires_at
from shared.domain.policy import DAY, HOUR, MINUTE
from tests.domain.test_lifecycle import POLICY, SERVING, STOPPED, counts, hears, silent_for
from tests.samples import T0, a_lease

HELD_UNTIL = T0 + 40 * DAY


def idle_running() -> tuple[Lease, Seen, float]:
    lease, now = silent_for(12 * HOUR, quiet_for=11 * HOUR)
    return lease, Seen(SERVING, counts(), hears(now)), now


def capped_running() -> tuple[Lease, Seen, float]:
    lease, now = silent_for(24 * HOUR)
    return lease, Seen(SERVING, counts(connections=3), hears(now)), now


def long_asleep() -> tuple[Lease, Seen, float]:
    return a_lease(State.HIBERNATED), Seen(hearing=hears(T0 + 15 * DAY)), T0 + 15 * DAY


def long_failed() -> tuple[Lease, Seen, float]:
    return a_lease(State.FAILED), Seen(), T0 + 15 * DAY


TAKEN_AWAY = {
    "its grace is over": idle_running,
    "its cap is reached": capped_running,
    "its retention is over": long_asleep,
    "it never was ready": long_failed,
}


@pytest.mark.parametrize("why", TAKEN_AWAY)
def test_what_is_held_is_kept_until_then_and_looked_at_at_once(why: str):
    lease, seen, now = TAKEN_AWAY[why]()
    policy = replace(POLICY, delete_without_archive=True)
    taken = decide(lease, seen, now, policy)
    assert taken.act in (Act.STOP, Act.DELETE), "or it would prove nothing"
    kept = decide(replace(lease, held_until=now + 1), seen, now, policy)
    assert (kept.intent, kept.act, kept.result) == (lease.state, Act.NOTHING, lease.state)
    assert kept.due_at == now + 1
    assert kept.reason.startswith("held until 2027-")
    assert (kept.sample, kept.used_at) == (taken.sample, taken.used_at), "what was learnt is kept"
    assert decide(replace(lease, held_until=now), seen, now, policy) == taken, "over is over"


@pytest.mark.parametrize(
    ("lease", "seen"),
    [
        pytest.param(a_lease(), Seen(STOPPED, None, hears(T0)), id="woken, as somebody stopped it"),
        pytest.param(a_lease(State.HIBERNATING), Seen(STOPPED), id="falls asleep, as that was begun before"),
        pytest.param(a_lease(State.WAKING, attempts=1), Seen(STOPPED), id="given up, as it cannot be woken"),
        pytest.param(a_lease(State.PENDING, attempts=1), Seen(STOPPED), id="given up, as it cannot be made"),
        pytest.param(a_lease(State.DELETING), Seen(), id="deleted, as its owner wished"),
    ],
)
def test_a_hold_stops_nothing_but_what_time_alone_would_do(lease: Lease, seen: Seen):
    now = T0 + POLICY.start_timeout
    before, held = (decide(each, seen, now, POLICY) for each in (lease, replace(lease, held_until=HELD_UNTIL)))
    assert held == before


@pytest.mark.parametrize("state", State)
def test_no_due_time_passes_over_the_end_of_a_hold(state: State):
    lease = a_lease(state, held_until=T0 + MINUTE, gone_at=T0 + DAY)
    assert decide(lease, Seen(), T0, POLICY).due_at <= T0 + MINUTE


@pytest.mark.parametrize("state", [State.RUNNING, State.HIBERNATED, State.FAILED])
def test_what_is_held_is_not_taken_away_before(state: State):
    policy = replace(POLICY, delete_without_archive=True)
    assert expires_at(a_lease(state, held_until=HELD_UNTIL), policy) == HELD_UNTIL
    plain = a_lease(state)
    assert expires_at(replace(plain, held_until=T0 + 1), policy) == expires_at(plain, policy)


def test_what_is_foreseen_without_an_archive_is_nothing_however_it_is_held():
    assert expires_at(a_lease(State.HIBERNATED, held_until=HELD_UNTIL), POLICY) is None
