"""Where a model plays: a loop whose time passes when it is told, a network, and processes that may die."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from shared.domain.errors import (
    ArchiveUnavailable,
    AuthorityUnavailable,
    ClusterUnavailable,
    PlaygroundError,
    StoreUnavailable,
)
from tests.model.network import Network, Request
from tests.model.watched import PROCESS, Member, WorldClock, owned_task
from tests.virtual import VirtualLoop

LOST = {
    "cluster": ClusterUnavailable,
    "archive": ArchiveUnavailable,
    "store": StoreUnavailable,
    "authority": AuthorityUnavailable,
}


class Stage[P: Member]:
    """Processes begin work, die where they stand, and are replaced. What must never be, `check` says."""

    check: Callable[[], None]

    def __init__(self) -> None:
        self.loop = VirtualLoop(hurry=False)
        self.loop.set_task_factory(owned_task)
        self.network = Network()
        self.clock = WorldClock(self.loop)
        self.broken: BaseException | None = None
        self.births = 0
        self.processes: list[P] = []

    @property
    def now(self) -> float:
        return self.clock.now()

    def another(self, process: P) -> P:
        """Who comes after a process that died."""
        raise NotImplementedError

    # --- what processes do

    def begin(self, process: P, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        async def run() -> Any:
            try:
                return await work
            except PlaygroundError as error:
                return error

        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        task = self.loop.create_task(run(), context=context)
        process.work.append(task)
        self.settle()
        return task

    def settle(self) -> None:
        """Let everything happen that needs neither time nor the network; no task may have broken."""
        self.loop.settle()
        if self.broken:
            raise self.broken
        for process in self.processes:
            for task in [task for task in process.work if task.done()]:
                process.work.remove(task)
                task.result()
            process.tasks[:] = [task for task in process.tasks if not task.done()]

    def crash(self, process: P) -> None:
        """The process is gone where it stands; what it sent may still arrive."""
        for request in self.network.under_way:
            if request.sender == process.name and request.awaited:
                request.answer.cancel()  # nobody listens
        self.abandon(process)
        self.processes[self.processes.index(process)] = self.another(process)

    def abandon(self, process: P) -> None:
        """End a process's tasks without their doing anything any more, not even clean up."""
        calm, self.network.calm = self.network.calm, False
        sent = list(self.network.under_way)
        for task in process.tasks:
            task.cancel()
        self.loop.settle()
        self.network.under_way[:] = sent  # what they tried on their way out was never sent
        self.network.calm = calm

    def name(self) -> str:
        """Of a process that is born."""
        self.births += 1
        return f"process-{self.births}"

    # --- what the network does

    def deliver(self, request: Request, **how: Any) -> None:
        self.loop.create_task(self.network.deliver(request, **how))
        self.settle()
        self.check()

    @contextmanager
    def calmly(self) -> Iterator[None]:
        """Meanwhile the network works: a past that is quickly told."""
        self.network.calm = True
        yield
        self.network.calm = False
        self.check()

    def calm_down(self) -> None:
        """From now on the network works; what was under way arrives first."""
        while self.network.under_way:
            self.deliver(self.network.under_way[0])
        self.network.calm = True

    def lost(self, request: Request) -> Exception:
        return LOST[request.to]("lost")

    def pass_time(self, seconds: float) -> None:
        self.loop.pass_time(seconds)
        self.settle()
        self.check()

    def close(self) -> None:
        for process in self.processes:
            self.abandon(process)
        self.loop.close()

    def run_alone(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that no process of ours does, and no network disturbs."""
        task = self.loop.create_task(work)
        self.loop.settle()
        task.result()
