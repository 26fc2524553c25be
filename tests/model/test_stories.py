"""Stories that Hypothesis found, or should have: each once told at full length."""

from collections.abc import Iterator

import pytest

from shared.domain.leases import State
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
