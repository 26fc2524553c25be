"""The time, as a port: tests and the simulation turn it themselves."""

import time
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """The wall clock: seconds since the epoch. May jump, may differ between machines by 5 min."""

    def monotonic(self) -> float:
        """Seconds since some start; never goes back. For what one process remembers of itself."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
