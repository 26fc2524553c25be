"""An event loop whose time passes only when it is told, or when nothing else can happen."""

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic as long as nothing in it waits for a real file descriptor."""

    def __init__(self, *, hurry: bool = True):
        super().__init__(_Selector(self))
        # A nanosecond, added to months, is nothing: a timer would be due and never run.
        self._clock_resolution = 1e-6
        self.virtual = 0.0
        self.hurry = hurry  # whether to jump to the next timer when idle

    def time(self) -> float:
        return self.virtual

    def settle(self) -> None:
        """Run what can run now, without any time passing."""
        self.hurry, before = False, self.hurry
        try:
            while True:
                self.call_soon(self.stop)
                self.run_forever()
                if not self._ready:  # type: ignore[attr-defined]
                    return
        finally:
            self.hurry = before

    def pass_time(self, seconds: float) -> None:
        """Let time pass, running timers at their instants."""
        end = self.virtual + seconds
        self.settle()
        while self._scheduled and self._scheduled[0].when() <= end:  # type: ignore[attr-defined]
            self.virtual = max(self.virtual, self._scheduled[0].when())  # type: ignore[attr-defined]
            self.settle()
        self.virtual = end
        self.settle()


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop):
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing is left that could ever happen: a task waits for ever")
        if timeout > 0 and self._loop.hurry:
            self._loop.virtual += timeout
        return super().select(0)
