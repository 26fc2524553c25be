"""The store's ports, timed: what is asked of it, and what came of that."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from shared.domain.errors import Conflict, StoreUnavailable
from shared.ports import metrics
from shared.ports.telemetry import Reach, Telemetry

UNTIMED = ("close",)


class ObservedStore:
    """Any of the store's ports: each operation is timed, and done as it would be."""

    def __init__(self, store: Any, telemetry: Telemetry):
        self._store, self._telemetry = store, telemetry

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._store, name)
        found = inner if name in UNTIMED else self._timed(name, inner)
        self.__dict__[name] = found  # so that it is looked for once
        return found

    def _timed(self, name: str, inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        telemetry, title = self._telemetry, f"store {name}"

        async def timed(*args: Any, **more: Any) -> Any:
            began, outcome = time.perf_counter(), "cancelled"
            with telemetry.span(title, Reach.CLIENT) as span:
                try:
                    answer = await inner(*args, **more)
                    outcome = "done"
                    return answer
                except Exception as error:
                    outcome = _outcome(error)
                    raise
                finally:
                    telemetry.tell(metrics.STORE, time.perf_counter() - began, name, outcome)
                    span.note("db.operation.name", name)
                    span.note("outcome", outcome)

        return timed


def _outcome(error: Exception) -> str:
    if isinstance(error, Conflict):
        return "conflict"
    return "unavailable" if isinstance(error, StoreUnavailable) else "failed"
