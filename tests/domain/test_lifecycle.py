"""The policy, case by case: every row says what was seen and what must follow."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.hearing import DEAF, Hearing
from shared.domain.leases import Sample, State
from shared.domain.lifecycle import Act, Seen, decide, expires_at, learn
from shared.domain.policy import DAY, HOUR, MINUTE, PLUGIN_INTERVAL, Policy
from shared.ports.cluster import Evidence, Status
from tests.samples import T0, a_lease

POLICY = Policy()
SERVING = Status(
    exists=True, replicas=1, pods=1, ready=True, volume="uid-1", address="10.0.0.1:3306", server="s1", step=3
)
STOPPED = Status(exists=True, replicas=0, pods=0, volume="uid-1", address="10.0.0.1:3306", step=3)


def hears(now: float) -> Hearing:
    return Hearing(heard_at=now)


def counts(
    connections: int = 0, connected: int = 5, statements: int = 9, executing: bool = False, server: str = "s1"
) -> Evidence:
    return Evidence(connections, connected, statements, executing, server)


def silent_for(seconds: float, *, quiet_for: float | None = None, **changes: object):
    """A running lease whose last beat is `seconds` ago and whose counters stood still for `quiet_for`."""
    sample = None if quiet_for is None else Sample(T0 + seconds - quiet_for, 0, 5, 9, "s1")
    return replace(a_lease(), sample=sample, **changes), T0 + seconds


def test_a_pending_database_that_is_ready_runs():
    assert decide(a_lease(State.PENDING), Seen(SERVING), T0 + 5, POLICY).result is State.RUNNING


@pytest.mark.parametrize("state", [State.PENDING, State.WAKING])
def test_ready_proves_nothing_before_this_start_has_reached_the_workload(state: State):
    step = decide(a_lease(state), Seen(replace(SERVING, step=2)), T0 + 5, POLICY)
    assert (step.act, step.result) == (Act.START, state)


def test_stopped_proves_nothing_before_this_stop_has_reached_the_workload():
    step = decide(a_lease(State.HIBERNATING), Seen(replace(STOPPED, step=2)), T0 + 5, POLICY)
    assert (step.act, step.result) == (Act.STOP, State.HIBERNATING)


def test_a_pending_database_is_started_again_at_every_look():
    step = decide(a_lease(State.PENDING), Seen(Status()), T0 + 5, POLICY)
    assert (step.act, step.result) == (Act.START, State.PENDING)


def test_a_pending_database_past_its_start_timeout_is_stopped_before_it_counts_as_failed():
    lease = a_lease(State.PENDING, reason="ImagePullBackOff", attempts=1)
    step = decide(lease, Seen(Status(exists=True, replicas=1)), T0 + POLICY.start_timeout, POLICY)
    assert (step.intent, step.act, step.result) == (State.PENDING, Act.STOP, State.FAILED)
    assert "ImagePullBackOff" in step.reason


def test_a_wake_that_does_not_succeed_goes_back_to_sleep_with_its_storage():
    lease = a_lease(State.WAKING, attempts=1)
    step = decide(lease, Seen(Status(exists=True, replicas=1)), T0 + POLICY.start_timeout, POLICY)
    assert (step.act, step.result) == (Act.STOP, State.HIBERNATED)


@pytest.mark.parametrize("state", [State.PENDING, State.WAKING])
@pytest.mark.parametrize(
    ("attempts", "status"),
    [
        pytest.param(0, Status(exists=True), id="nobody has tried it yet"),
        pytest.param(3, None, id="nobody knows how it is"),
        pytest.param(3, replace(SERVING, step=2), id="it serves, by an earlier act"),
        pytest.param(9, Status(), id="the cluster has not taken it"),
        pytest.param(9, Status(exists=True, address="10.0.0.1:3306"), id="the cluster has not been told to wake it"),
    ],
)
def test_a_start_that_nobody_looked_at_for_long_is_tried_before_it_is_given_up(state, attempts, status):
    step = decide(a_lease(state, attempts=attempts), Seen(status), T0 + POLICY.start_timeout, POLICY)
    assert (step.act, step.result) == (Act.START, state)


@pytest.mark.parametrize(("state", "becomes"), [(State.PENDING, State.FAILED), (State.WAKING, State.HIBERNATED)])
def test_a_start_that_the_cluster_does_not_take_for_a_day_is_given_up(state: State, becomes: State):
    lease = a_lease(state, attempts=200, reason="no rights")
    assert decide(lease, Seen(Status()), T0 + DAY - 1, POLICY).result is state
    step = decide(lease, Seen(Status()), T0 + DAY, POLICY)
    assert (step.act, step.result) == (Act.STOP, becomes) and step.reason.endswith("within 86400 s: no rights")


@pytest.mark.parametrize("beat_ago", [0, MINUTE, POLICY.silence - 1])
def test_a_database_that_is_heard_from_is_kept_without_asking_the_cluster(beat_ago: float):
    step = decide(a_lease(), Seen(hearing=hears(T0 + beat_ago)), T0 + beat_ago, POLICY)
    assert (step.act, step.result, step.due_at) == (Act.NOTHING, State.RUNNING, T0 + POLICY.silence)


def test_a_silent_database_without_any_connection_is_hibernated_after_its_grace():
    lease, now = silent_for(12 * HOUR, quiet_for=11 * HOUR)
    step = decide(lease, Seen(SERVING, counts(), hears(now)), now, POLICY)
    assert (step.intent, step.act) == (State.HIBERNATING, Act.STOP)


def test_a_second_before_its_grace_is_over_it_is_kept():
    lease, now = silent_for(12 * HOUR, quiet_for=11 * HOUR - 1)
    step = decide(lease, Seen(SERVING, counts(), hears(now)), now, POLICY)
    assert (step.result, step.act) == (State.RUNNING, Act.NOTHING)
    assert now < step.due_at <= now + MINUTE


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(None, id="unknown"),
        pytest.param(counts(connections=1), id="a connection is open"),
        pytest.param(counts(connected=6), id="a connection came and went"),
        pytest.param(counts(statements=10), id="statements ran"),
        pytest.param(counts(executing=True), id="a statement runs now"),
        pytest.param(counts(server="s2"), id="the server was restarted"),
        pytest.param(counts(connected=4), id="the counter is smaller"),
    ],
)
def test_a_busy_or_unknown_database_outlives_its_silence(evidence: Evidence | None):
    lease, now = silent_for(12 * HOUR, quiet_for=11 * HOUR)
    step = decide(lease, Seen(SERVING, evidence, hears(now)), now, POLICY)
    assert (step.result, step.act) == (State.RUNNING, Act.NOTHING)


def test_a_connection_that_was_open_at_the_last_look_is_no_silence_in_between():
    lease = replace(a_lease(), sample=Sample(T0 + HOUR, 1, 5, 9, "s1"))
    now = T0 + 13 * HOUR
    step = decide(lease, Seen(SERVING, counts(), hears(now)), now, POLICY)
    assert step.result is State.RUNNING
    assert step.sample == Sample(now, 0, 5, 9, "s1")


def test_silence_proves_nothing_without_an_earlier_look_at_the_counters():
    lease, now = silent_for(20 * HOUR)
    assert decide(lease, Seen(SERVING, counts(), hears(now)), now, POLICY).result is State.RUNNING


@pytest.mark.parametrize("evidence", [None, counts(connections=3)])
def test_at_the_hard_cap_a_merely_connected_or_unknown_database_is_hibernated_not_deleted(evidence: Evidence | None):
    lease, now = silent_for(24 * HOUR)
    step = decide(lease, Seen(SERVING, evidence, hears(now)), now, POLICY)
    assert (step.intent, step.act) == (State.HIBERNATING, Act.STOP)


def test_proved_use_moves_the_hard_cap():
    lease, now = silent_for(24 * HOUR, quiet_for=HOUR)
    step = decide(lease, Seen(SERVING, counts(connected=6), hears(now)), now, POLICY)
    assert (step.result, step.used_at) == (State.RUNNING, now)


def test_a_computation_that_runs_now_outlives_the_hard_cap():
    lease, now = silent_for(30 * HOUR)
    assert decide(lease, Seen(SERVING, counts(1, executing=True), hears(now)), now, POLICY).result is State.RUNNING


def test_time_in_which_we_could_not_hear_is_not_silence():
    lease, now = silent_for(12 * HOUR, quiet_for=11 * HOUR)
    deaf = Hearing(now, ((T0 + 3 * HOUR, T0 + 5 * HOUR),))
    assert decide(lease, Seen(SERVING, counts(), deaf), now, POLICY).result is State.RUNNING
    later = now + 2 * HOUR
    step = decide(lease, Seen(SERVING, counts(), replace(deaf, heard_at=later)), later, POLICY)
    assert step.result is State.HIBERNATING


@pytest.mark.parametrize("hours", [12, 48])
@pytest.mark.parametrize("deaf", ["never heard", "deaf now", "a gap has just ended"])
def test_nothing_expires_by_silence_while_we_may_be_deaf(hours: int, deaf: str):
    lease, now = silent_for(hours * HOUR, quiet_for=hours * HOUR)
    hearing = {
        "never heard": DEAF,
        "deaf now": Hearing(now - 8 * MINUTE),
        "a gap has just ended": Hearing(now, ((now - 25 * MINUTE, now - 19 * MINUTE),)),
    }[deaf]
    step = decide(lease, Seen(SERVING, counts(), hearing), now, POLICY)
    assert (step.result, step.act) == (State.RUNNING, Act.NOTHING)
    assert step.due_at == now + PLUGIN_INTERVAL, "nor is every idle database asked every minute of a day meanwhile"


def test_a_running_database_whose_workload_somebody_stopped_is_woken():
    step = decide(a_lease(), Seen(STOPPED, None, hears(T0)), T0 + MINUTE, POLICY)
    assert (step.intent, step.act) == (State.WAKING, Act.START)


def test_hibernation_is_complete_only_when_no_pod_is_left():
    still = decide(a_lease(State.HIBERNATING), Seen(replace(STOPPED, pods=1)), T0 + 5, POLICY)
    assert (still.result, still.act) == (State.HIBERNATING, Act.STOP)
    done = decide(a_lease(State.HIBERNATING), Seen(STOPPED), T0 + 5, POLICY)
    assert (done.result, done.due_at) == (State.HIBERNATED, T0 + 5 + POLICY.retention)


def test_retention_over_keeps_the_volume_and_says_so():
    step = decide(a_lease(State.HIBERNATED), Seen(), T0 + POLICY.retention, POLICY)
    assert (step.result, step.act) == (State.HIBERNATED, Act.NOTHING)
    assert "volume is kept" in step.reason


def test_retention_over_deletes_only_where_the_operator_said_so():
    policy = replace(POLICY, delete_without_archive=True)
    over = T0 + POLICY.retention
    before = decide(a_lease(State.HIBERNATED), Seen(hearing=hears(over)), over - 1, policy)
    assert (before.act, before.due_at) == (Act.NOTHING, over)
    step = decide(a_lease(State.HIBERNATED), Seen(hearing=hears(over)), over, policy)
    assert (step.intent, step.act) == (State.DELETING, Act.DELETE)


@pytest.mark.parametrize("hearing", [DEAF, Hearing(T0 + POLICY.retention, ((T0, T0 + POLICY.retention - MINUTE),))])
def test_retention_does_not_run_out_while_its_owner_could_not_be_heard(hearing: Hearing):
    policy, over = replace(POLICY, delete_without_archive=True), T0 + POLICY.retention
    step = decide(a_lease(State.HIBERNATED), Seen(hearing=hearing), over, policy)
    assert (step.result, step.act) == (State.HIBERNATED, Act.NOTHING)
    assert over < step.due_at <= over + POLICY.retention


def test_a_life_that_never_was_ready_is_deleted_after_retention():
    lease = a_lease(State.FAILED)
    assert decide(lease, Seen(), T0 + POLICY.retention - 1, POLICY).act is Act.NOTHING
    assert decide(lease, Seen(), T0 + POLICY.retention, POLICY).act is Act.DELETE


def test_looks_that_get_nowhere_come_ever_more_seldom_but_do_come():
    waits = [decide(a_lease(State.PENDING, attempts=n), Seen(), T0, POLICY).due_at - T0 for n in range(20)]
    assert waits == sorted(waits)
    assert waits[0] == 3.0
    assert waits[-1] == 5 * MINUTE


states = st.sampled_from(State)
statuses = st.none() | st.builds(
    Status, exists=st.booleans(), replicas=st.integers(0, 1), pods=st.integers(0, 2), ready=st.booleans(),
    failure=st.sampled_from(["", "quota"]), volume=st.just("uid-1"), address=st.just("10.0.0.1:3306"),
)  # fmt: skip
evidences = st.none() | st.builds(
    Evidence, st.integers(0, 2), st.integers(0, 9), st.integers(0, 9), st.booleans(), st.sampled_from(["s1", "s2"])
)
hearings = st.builds(
    lambda ago, begin, length: Hearing(T0 - ago, ((T0 - begin, T0 - begin + length),)),
    st.floats(0, HOUR), st.floats(0, 3 * DAY), st.floats(0, DAY),
)  # fmt: skip
ages = st.floats(-5 * MINUTE, 40 * DAY)
holds = st.none() | st.floats(-DAY, 7 * DAY)


@given(states, statuses, evidences, hearings, ages, ages, st.integers(0, 30), st.booleans(), holds)
def test_whatever_is_seen_the_next_look_is_never_lost_and_storage_never_goes_unasked(
    state: State, status: Status | None, evidence: Evidence | None, hearing: Hearing, beat_ago: float, since_ago: float,
    attempts: int, delete: bool, held_for: float | None,
):  # fmt: skip
    policy = Policy(delete_without_archive=delete)
    lease = a_lease(
        state, T0 - since_ago, beat_at=T0 - beat_ago, used_at=T0 - beat_ago, attempts=attempts, gone_at=T0 + DAY,
        sample=Sample(T0 - since_ago, 0, 5, 9, "s1"), held_until=None if held_for is None else T0 + held_for,
    )  # fmt: skip
    step = decide(lease, Seen(status, evidence, hearing), T0, policy)
    assert step.due_at <= T0 + max(policy.retention, policy.tombstone) + 5 * MINUTE
    if step.act is Act.DELETE and state is not State.DELETING:
        assert since_ago >= policy.retention
        assert state is State.FAILED or (state is State.HIBERNATED and delete and hearing.trusted(T0))
    if step.result is State.HIBERNATING and state is State.RUNNING:
        assert beat_ago >= policy.grace
        assert hearing.trusted(T0)
        assert step.used_at < T0, "use was proved just now"
    if lease.held_until is not None and lease.held(T0):
        assert step.due_at <= lease.held_until
        assert step.result is not State.HIBERNATING or state is State.HIBERNATING
        assert step.act is not Act.DELETE or state is State.DELETING


def test_learning_keeps_the_older_sample_only_while_all_is_quiet():
    before = Sample(T0, 0, 5, 9, "s1")
    lease = a_lease(sample=before)
    assert learn(lease, counts(), T0 + 60)[:2] == (before, True)
    assert learn(lease, counts(statements=10), T0 + 60)[0] == Sample(T0 + 60, 0, 5, 10, "s1")
    assert learn(lease, None, T0 + 60)[:2] == (before, False)


def test_every_lease_says_when_it_is_taken_away():
    lease = a_lease(beat_at=T0 + 60)
    assert expires_at(lease, POLICY) == T0 + 60 + POLICY.grace
    assert expires_at(a_lease(State.HIBERNATED), POLICY) is None
    assert expires_at(a_lease(State.HIBERNATED), Policy(delete_without_archive=True)) == T0 + POLICY.retention
    assert expires_at(a_lease(State.FAILED), POLICY) == T0 + POLICY.retention
    assert expires_at(a_lease(State.DELETING), POLICY) == T0
    assert expires_at(a_lease(State.WAKING), POLICY) is None


def test_where_its_use_is_unclear_the_cap_says_when_a_lease_is_taken_away():
    lease = a_lease(used_at=T0 + HOUR, sample=Sample(T0 + 14 * HOUR, 1, 5, 9, "s1"))
    assert expires_at(lease, POLICY) == T0 + HOUR + POLICY.hard_cap
