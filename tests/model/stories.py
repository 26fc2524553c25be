"""Stories that betray a mutant, told in the machine's own rules; without the mutant nothing is wrong in them."""

from shared.domain.policy import HOUR, MINUTE
from tests.model.machine import LeaseMachine


def woken_while_the_stop_is_under_way(machine: LeaseMachine) -> None:
    machine.begin("falling asleep", 1)
    machine.heart_beat(1, 0, at_once=True)
    machine.everything_arrives()


def created_while_the_stop_is_under_way(machine: LeaseMachine) -> None:
    machine.begin("falling asleep", 1)
    machine.create_db(1, 0, at_once=True)
    machine.everything_arrives()


def joined_after_the_waker_died(machine: LeaseMachine) -> None:
    machine.begin("falling asleep", 1)
    machine.create_db(1, 0, at_once=False)
    machine.overtake(1)  # it reads the lease
    machine.overtake(1)  # and writes that it wakes
    machine.crash(1)
    machine.create_db(1, 0, at_once=True)
    machine.everything_arrives()


def made_anew_while_the_first_make_is_under_way(machine: LeaseMachine) -> None:
    machine.begin("starting", 4)
    machine.kubelet_sleeps_or_wakes()
    for _ in range(2):  # tried once more, then given up
        machine.time_passes(35 * MINUTE)
        machine.reap(1, at_once=True)
    machine.kubelet_sleeps_or_wakes()
    machine.create_db(1, 0, at_once=True)
    for _ in range(6):
        machine.time_passes(2.0)
        machine.all_of_one_arrives(machine.world.processes[1])
    machine.everything_arrives()


def asked_for_twice_while_no_pod_starts(machine: LeaseMachine) -> None:
    machine.begin("starting", 0)
    machine.kubelet_sleeps_or_wakes()
    machine.everything_arrives()
    machine.create_db(1, 0, at_once=True)
    machine.time_passes(31.0)
    machine.reap(1, at_once=True)
    machine.everything_arrives()


def heard_while_it_is_looked_at(machine: LeaseMachine) -> None:
    machine.begin("looked at", 3)
    machine.heart_beat(1, 0, at_once=True)
    machine.everything_arrives()


def connected_all_the_time(machine: LeaseMachine) -> None:
    machine.begin("running", 0)
    machine.connect(0, stays=True)
    machine.idle(3)


def connected_once_at_noon(machine: LeaseMachine) -> None:
    machine.begin("running", 0)
    machine.idle(2)
    machine.connect(0, stays=False)
    machine.idle(2)


def beaten_again_after_ten_hours(machine: LeaseMachine) -> None:
    machine.begin("running", 0)
    machine.heart_beat(1, 0, at_once=True)
    machine.idle(1)
    machine.time_passes(4 * HOUR)
    machine.heart_beat(1, 0, at_once=True)
    machine.time_passes(7.5 * HOUR)
    machine.reap(0, at_once=True)
    machine.everything_arrives()


def held_for_days(machine: LeaseMachine) -> None:
    machine.begin("running", 0)
    machine.hold(1, 0, 150, at_once=True)
    machine.idle(4)


def woken_while_it_is_held(machine: LeaseMachine) -> None:
    machine.begin("asleep", 0)
    machine.hold(1, 0, 150, at_once=True)
    machine.create_db(0, 0, at_once=True)


def purged_while_its_first_life_is_made(machine: LeaseMachine) -> None:
    machine.begin("starting", 2)
    machine.purge(1, 0, at_once=True)
    machine.look(1, at_once=True)
    machine.create_db(1, 0, at_once=True)
    machine.everything_arrives()


def given_up_just_when_it_is_ready(machine: LeaseMachine) -> None:
    machine.begin("starting", 0)
    machine.kubelet_sleeps_or_wakes()
    machine.everything_arrives()
    machine.time_passes(35 * MINUTE)
    machine.reap(0, at_once=True)  # tried once more
    machine.time_passes(35 * MINUTE)
    machine.reap(0, at_once=False)
    for _ in range(30):
        if [request.name for request in machine.world.network.under_way] != ["replace StatefulSet replicas=0"]:
            machine.some_arrive(1)
    machine.kubelet_sleeps_or_wakes()
    machine.create_db(1, 0, at_once=False)
    machine.time_passes(6.0)
    machine.all_of_one_arrives(machine.world.processes[1])
    machine.everything_arrives()
