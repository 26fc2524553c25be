"""What the processes of a world are asked to do: the real code, begun as work of one of them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from shared.domain import databases, reaper, steering
from shared.domain.errors import TooMany
from shared.domain.hearing import Hearing
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner, State
from shared.domain.look import look_now
from shared.domain.reconcile import reconcile
from tests.model.invariants import Invariants
from tests.model.watched import Process


class Acts(Invariants):
    """Each returns the task at once; what it ends with is the answer, or a PlaygroundError."""

    posted: list[tuple[Owner, str]]

    def begin(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin some work in a process."""
        raise NotImplementedError

    def answered(self, owner: Owner, source: str) -> None:
        """An owner is told what leads to its database."""

    def refused(self, owner: Owner, error: TooMany) -> None:
        """An owner, or its tenant, has its share."""

    async def hearing(self, process: Process) -> Hearing:
        """What a process knows of its hearing: here that it hears at this moment."""
        return Hearing(process.control.clock.now())

    def create_db(self, process: Process, owner: Owner) -> asyncio.Task[Any]:
        async def create() -> str:
            try:
                source = await databases.create(process.control, owner)
            except TooMany as error:
                self.refused(owner, error)
                raise
            self.answered(owner, source)
            return source

        return self.begin(process, create())

    def heart_beat(self, process: Process, owner: Owner) -> asyncio.Task[Any]:
        began = self.now

        async def beat() -> databases.Beat:
            control = process.control
            answer = await process.recent.answer(
                owner, lambda: databases.beat(control.leases, control.looks, control.clock, control.policy, owner)
            )
            if answer.renewed and answer.state == State.RUNNING:
                # It may repeat what was written up to 30 s ago.
                self.acknowledged[owner] = max(self.acknowledged[owner], began - 30)
            if answer.renewed:
                self.check_awake(owner, began - 30)
            return answer

        return self.begin(process, beat())

    def hold(self, process: Process, owner: Owner, seconds: float | None) -> asyncio.Task[Any]:
        control, until = process.control, None if seconds is None else self.now + seconds
        return self.begin(
            process, steering.hold(control.leases, control.clock, control.policy, named(owner), until, "a run")
        )

    def end(self, process: Process, owner: Owner) -> asyncio.Task[Any]:
        self.ends.add(owner)
        return self.steer_to_an_end(process, owner, purge=False)

    def purge(self, process: Process, owner: Owner) -> asyncio.Task[Any]:
        self.purges.add(owner)
        return self.steer_to_an_end(process, owner, purge=True)

    def steer_to_an_end(self, process: Process, owner: Owner, *, purge: bool) -> asyncio.Task[Any]:
        control = process.control
        return self.begin(
            process,
            steering.end(control.leases, control.looks, control.clock, control.policy, named(owner), purge=purge),
        )

    def reconcile(self, process: Process) -> asyncio.Task[Any]:
        async def compare() -> Any:
            return await reconcile(process.control, await self.hearing(process))

        return self.begin(process, compare())

    def reap(self, process: Process) -> asyncio.Task[Any]:
        async def one_pass() -> Any:
            return await reaper.reap(process.control, await self.hearing(process))

        return self.begin(process, one_pass())

    def look(self, process: Process) -> asyncio.Task[Any] | None:
        if not self.posted:
            return None
        owner, id = self.posted.pop(0)
        return self.begin(process, look_now(process.control, owner, id))


def named(owner: Owner) -> steering.Target:
    """An owner's database as its owner names it."""
    return steering.target(Principal(owner.tenant, Role.USER, owner.user), "", databases.ID)
