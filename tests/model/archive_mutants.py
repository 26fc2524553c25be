"""What keeps an archive and a volume apart from loss, each broken once."""

from typing import Any

from shared.adapters.k8s.tasks import Tasks
from shared.domain import archiving, look
from shared.domain.leases import Archive
from shared.domain.policy import DAY
from tests.model.machine import LeaseMachine
from tests.model.mutants import Mutant, _forgets_holds, _keeps_no_retention


def _stored_when_begun(original: Any) -> Any:
    return property(lambda archive: not archive.failure)


def _leaves_the_task_running(original: Any) -> Any:
    async def end(self: Any, life: Any, step: int, workload: Any) -> Any:
        return workload

    return end


def _inherits_nothing(original: Any) -> Any:
    return lambda before, now: None


def _held_at_the_end_of_its_retention(machine: LeaseMachine) -> None:
    machine.begin("asleep", 0)
    machine.world.pass_time(13.5 * DAY)
    machine.hold(0, 0, hours=150, at_once=True)
    machine.world.pass_time(DAY)
    machine.reap(0, at_once=True)
    machine.everything_arrives()


ARCHIVE_MUTANTS = [
    Mutant("what is begun counts as stored", Archive, "stored", _stored_when_begun),
    Mutant("a start leaves the task in its place", Tasks, "end", _leaves_the_task_running),
    Mutant("the next life begins with nothing", archiving, "inherited", _inherits_nothing),
    Mutant("what is held is archived", look, "decide", _forgets_holds, _held_at_the_end_of_its_retention),
    Mutant("it is archived after an hour", look, "decide", _keeps_no_retention),
]
