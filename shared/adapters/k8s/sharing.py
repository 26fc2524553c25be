"""One run of something for all who want it at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class _Run[T]:
    task: asyncio.Task[T]
    callers: int = 0


class Shared[K, T]:
    """Runs by key. A run ends with its result, or when the last of its callers is cancelled."""

    def __init__(self) -> None:
        self._runs: dict[K, _Run[T]] = {}

    def under_way(self, key: K) -> bool:
        return key in self._runs

    async def join(self, key: K, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result, or the error, of the run under way; of one that begins now if there is none."""
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(asyncio.create_task(begin()))
            # Called before any caller goes on: who asks again then gets another run.
            run.task.add_done_callback(lambda _: self._forget(key, run))
        run.callers += 1
        try:
            return await asyncio.shield(run.task)
        finally:
            run.callers -= 1
            if run.callers == 0 and not run.task.done():
                self._forget(key, run)
                run.task.cancel()
                await asyncio.gather(run.task, return_exceptions=True)

    def _forget(self, key: K, run: _Run[T]) -> None:
        if self._runs.get(key) is run:
            del self._runs[key]
