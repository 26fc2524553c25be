"""Stories that Hypothesis found, or should have: each once told at full length."""

from collections.abc import Iterator

import pytest

from shared.domain.leases import State
from shared.domain.policy import DAY
from tests.model.archives import ArchiveMachine
from tests.model.machine import LeaseMachine
from tests.model.world import OWNERS

ALICE = OWNERS[0]


@pytest.fixture
def machine() -> Iterator[LeaseMachine]:
    machine = LeaseMachine()
    yield machine
    machine.teardown()


def test_a_late_scale_to_0_does_nothing_to_a_database_that_was_woken_meanwhile(machine: LeaseMachine):
    machine.begin("falling asleep", 1)
    (late,) = machine.world.network.under_way
    assert late.name == "replace StatefulSet replicas=0"
    machine.heart_beat(1, 0, at_once=True)
    assert machine.world.lease(ALICE).state is State.RUNNING
    machine.world.deliver(late)
    machine.world.check()


def test_a_write_that_took_days_to_arrive_lets_retention_begin_when_the_database_fell_asleep(machine: LeaseMachine):
    machine.begin("falling asleep", 3)
    machine.overtake(1)
    machine.repeat(0)
    machine.time_passes(15 * DAY)
    machine.everything_arrives()
    assert machine.world.lease(ALICE).state in (State.HIBERNATED, State.HIBERNATING)


def test_what_is_started_while_its_task_is_being_written_gets_a_pod_of_its_own():
    machine = ArchiveMachine()
    machine.begin("archiving", 2)
    machine.kubelet_sleeps_or_wakes()
    machine.create_db(0, 0, at_once=True)
    machine.kubelet_sleeps_or_wakes()
    machine.teardown()
    assert machine.world.lease(ALICE).state is State.RUNNING


def test_who_has_it_purged_while_what_was_stored_goes_gives_that_up_as_well():
    machine = ArchiveMachine()
    machine.begin("archiving", 4)
    for _ in range(2):
        machine.end(0, 0, at_once=True)
    for _ in range(2):
        machine.heart_beat(0, 0, at_once=True)  # has it looked at
    assert machine.world.lease(ALICE).state is State.DELETING
    machine.purge(0, 0, at_once=True)
    machine.teardown()
