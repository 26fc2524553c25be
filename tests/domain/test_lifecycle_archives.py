"""What `decide` makes of archives; the whole way is in test_archiving."""

from dataclasses import replace

import pytest

from shared.domain.hearing import DEAF, Hearing
from shared.domain.leases import Archive, State
from shared.domain.lifecycle import Act, Seen, decide, expires_at, told
from shared.domain.policy import DAY, HOUR, MINUTE, Policy
from shared.ports.cluster import Outcome, Status
from tests.samples import T0, a_lease

POLICY = Policy(archives=True)
BEGUN = Archive("x-3", "sealed", T0)
STORED = replace(BEGUN, sha256="ab", size=7, until=T0 + 30 * DAY)
FAILED = replace(BEGUN, failure="no room")
GONE = Status(exists=True, step=3)
OVER = T0 + POLICY.retention


def test_it_is_archived_rather_than_deleted_where_both_were_set():
    policy = replace(POLICY, delete_without_archive=True)
    step = decide(a_lease(State.HIBERNATED), Seen(hearing=Hearing(OVER)), OVER, policy)
    assert (step.intent, step.act, step.archive) == (State.ARCHIVING, Act.STORE, None)


@pytest.mark.parametrize("hearing", [DEAF, Hearing(OVER, ((T0, OVER - MINUTE),))])
def test_nothing_is_archived_while_its_owner_could_not_be_heard(hearing: Hearing):
    step = decide(a_lease(State.HIBERNATED), Seen(hearing=hearing), OVER, POLICY)
    assert (step.result, step.act) == (State.HIBERNATED, Act.NOTHING)


@pytest.mark.parametrize(
    ("archive", "seen", "result", "act"),
    [
        (None, Seen(), State.ARCHIVING, Act.STORE),
        (BEGUN, Seen(), State.ARCHIVING, Act.STORE),
        (STORED, Seen(), State.ARCHIVING, Act.STOP),
        (STORED, Seen(replace(GONE, replicas=1, pods=1), archived=True), State.ARCHIVING, Act.STOP),
        (STORED, Seen(replace(GONE, pods=1), archived=True), State.ARCHIVING, Act.STOP),
        (STORED, Seen(replace(GONE, step=2), archived=True), State.ARCHIVING, Act.STOP),
        (STORED, Seen(GONE), State.ARCHIVING, Act.NOTHING),
        (STORED, Seen(GONE, archived=False), State.ARCHIVING, Act.NOTHING),
        (STORED, Seen(GONE, archived=True), State.DELETING, Act.NOTHING),
        (STORED, Seen(Status(), archived=True), State.DELETING, Act.NOTHING),
        (FAILED, Seen(), State.ARCHIVING, Act.STOP),
        (FAILED, Seen(GONE, archived=True), State.ARCHIVING, Act.NOTHING),
    ],
)
def test_only_what_is_stored_and_seen_to_be_there_without_a_pod_goes(
    archive: Archive | None, seen: Seen, result: State, act: Act
):
    step = decide(a_lease(State.ARCHIVING, archive=archive), seen, T0, POLICY)
    assert (step.result, step.act) == (result, act)
    if result is State.DELETING:
        assert step.archive == STORED and "archived until 2027-02-14" in step.reason


@pytest.mark.parametrize(("archive", "archived"), [(FAILED, None), (STORED, False)])
def test_what_came_to_nothing_is_forgotten_and_tried_again_in_a_day(archive: Archive, archived: bool | None):
    step = decide(a_lease(State.ARCHIVING, archive=archive), Seen(GONE, archived=archived), T0, POLICY)
    assert (step.archive, step.due_at) == (None, T0 + DAY) and step.reason.startswith("kept, as ")


def test_a_hold_takes_it_back_and_its_end_does_not():
    held = a_lease(State.ARCHIVING, archive=STORED, held_until=T0 + HOUR)
    step = decide(held, Seen(), T0, POLICY)
    assert (step.result, step.act, step.archive, step.due_at) == (State.HIBERNATED, Act.STOP, None, T0 + HOUR)
    assert decide(replace(held, ended=True), Seen(), T0, POLICY).result is State.ARCHIVING


def test_what_is_known_of_a_try_is_written():
    lease = a_lease(State.ARCHIVING, archive=BEGUN)
    done = told(lease, BEGUN, Outcome(done=True, sha256="ab", size=7), T0 + MINUTE, POLICY)
    assert (done.archive, done.due_at) == (replace(STORED, until=T0 + MINUTE + POLICY.kept), T0 + MINUTE)
    failed = told(lease, BEGUN, Outcome(failure="no room"), T0 + MINUTE, POLICY)
    assert (failed.archive, failed.due_at) == (FAILED, T0 + MINUTE)
    under_way = told(lease, BEGUN, Outcome(), T0 + MINUTE, POLICY)
    assert under_way.archive == BEGUN and under_way.due_at > T0 + MINUTE
    late = told(lease, BEGUN, Outcome(), T0 + POLICY.task, POLICY)
    assert late.archive is not None and late.archive.failure == "it took longer than 60 min"


def test_a_start_that_fetches_first_has_longer_and_is_looked_at_more_often():
    lease = a_lease(State.PENDING, archive=STORED, attempts=9, ready_at=None)
    late = T0 + POLICY.start_timeout
    taken = Seen(Status(exists=True, replicas=1))
    step = decide(lease, taken, late, POLICY)
    assert (step.act, step.due_at) == (Act.START, late + 15)
    assert decide(lease, taken, late + POLICY.task, POLICY).result is State.FAILED
    assert decide(replace(lease, archive=None), taken, late, POLICY).result is State.FAILED


def test_it_says_when_it_is_taken_away():
    assert expires_at(a_lease(State.HIBERNATED), POLICY) == OVER
    assert expires_at(a_lease(State.ARCHIVING), POLICY) == T0
