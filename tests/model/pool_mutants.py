"""What gives a spare to one owner only, each broken once."""

from dataclasses import replace
from typing import Any

from shared.domain import adoption, credentials, pool
from shared.domain.leases import SPARES, Lease, State
from shared.domain.lifecycle import Spare
from tests.model.mutants import Mutant
from tests.model.pool import PoolMachine


def _claims_nothing(original: Any) -> Any:
    async def taken(control: Any, lease: Lease, id: str, generation: str) -> Any:
        spare = await control.leases.get(SPARES, id)
        if spare is None or spare.generation != generation or not adoption.is_free(control, spare):
            return None
        return spare, credentials.unseal(control.sealer, spare)

    return taken


def _takes_what_is_claimed(original: Any) -> Any:
    return lambda control, spare: spare.state is State.RUNNING and not adoption.surplus(control.pool, spare)


def _keeps_the_seal(original: Any) -> Any:
    def as_spare(control: Any, lease: Lease, spare: Lease, opened: Any) -> Lease:
        return replace(original(control, lease, spare, opened), credentials=spare.credentials)

    return as_spare


def _makes_other_passwords(original: Any) -> Any:
    def as_spare(control: Any, lease: Lease, spare: Lease, opened: Any) -> Lease:
        adopted: Lease = original(control, lease, spare, credentials.new_credentials())
        return adopted

    return as_spare


def _keeps_its_own_step(original: Any) -> Any:
    def as_spare(control: Any, lease: Lease, spare: Lease, opened: Any) -> Lease:
        return replace(original(control, lease, spare, opened), step=lease.step + 1)

    return as_spare


def _checks_no_adopter(original: Any) -> Any:
    async def observe(control: Any, spare: Lease) -> Spare:
        found: Spare = await original(control, spare)
        return replace(found, adopted=False) if spare.adopter and found.adopted is None else found

    return observe


def _believes_the_adopter(original: Any) -> Any:
    async def observe(control: Any, spare: Lease) -> Spare:
        return Spare(adopted=True) if spare.adopter else await original(control, spare)

    return observe


def _deletes_what_was_given(original: Any) -> Any:
    async def observe(control: Any, spare: Lease) -> Spare:
        found: Spare = await original(control, spare)
        return replace(found, adopted=False) if found.adopted else found

    return observe


def _frees_what_is_half_given(original: Any) -> Any:
    def is_free(control: Any, spare: Lease) -> bool:
        waits = spare.adopter and spare.due_at <= control.clock.now()
        return bool(original(control, replace(spare, adopter="") if waits else spare))

    return is_free


def _third_life_of_a_slot(machine: PoolMachine) -> None:
    """So that its step is far ahead of a new lease's."""
    _one_spare(machine)
    for template in ("tomorrow", "today"):
        for process in (0, 1):
            machine.upgrade(process, 1, template)
        machine.time_passes(pool.LEFT_ALONE)
        for _ in range(4):
            machine.time_passes(31.0)
            machine.refill(0, at_once=True)
    machine.create_db(0, 0, at_once=True)


def _one_spare(machine: PoolMachine) -> None:
    for process in (0, 1):
        machine.upgrade(process, 1, "today")
    machine.begin("full pool", 0, 2)


def _half_given(machine: PoolMachine) -> None:
    """It is claimed, and what says so in its new owner's slot is under way."""
    _one_spare(machine)
    machine.create_db(1, 0, at_once=False)
    while not machine.world.spare("spare-0").adopter:
        machine.some_arrive(1)


def _looked_at_when_half_given(machine: PoolMachine) -> None:
    _half_given(machine)
    machine.refill(0, at_once=True)
    machine.everything_arrives()


def _let_go_when_half_given(machine: PoolMachine) -> None:
    """What deletes it comes after its owner is told that it is there."""
    _half_given(machine)
    machine.refill(0, at_once=False)
    world = machine.world
    while world.spare("spare-0").state is State.RUNNING and (mine := machine.sent_by(world.processes[0])):
        world.deliver(mine[0])
    machine.all_of_one_arrives(world.processes[1])
    machine.everything_arrives()


def _asked_for_when_half_given(machine: PoolMachine) -> None:
    _half_given(machine)
    machine.create_db(0, 1, at_once=True)
    machine.everything_arrives()


POOL_MUTANTS = [
    Mutant("a spare is given and not claimed", adoption, "_taken", _claims_nothing),
    Mutant("what is claimed is to be had", adoption, "is_free", _takes_what_is_claimed, _asked_for_when_half_given),
    Mutant("its passwords stay sealed as a spare's", adoption, "_as_spare", _keeps_the_seal),
    Mutant("its passwords are made anew", adoption, "_as_spare", _makes_other_passwords),
    Mutant("it keeps the step of its lease", adoption, "_as_spare", _keeps_its_own_step, _third_life_of_a_slot),
    Mutant(
        "its adopter is not asked before it is deleted",
        adoption,
        "observe",
        _checks_no_adopter,
        _let_go_when_half_given,
    ),
    Mutant(
        "whoever claimed it is thought to have it",
        adoption,
        "observe",
        _believes_the_adopter,
        _looked_at_when_half_given,
    ),
    Mutant("what was given away is deleted", adoption, "observe", _deletes_what_was_given),
    Mutant(
        "what is half given away is given to the next one",
        adoption,
        "is_free",
        _frees_what_is_half_given,
        _asked_for_when_half_given,
    ),
]
