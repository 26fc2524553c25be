"""What is told of a create_db: how it came by its database, how long that took, and what came of it."""

import asyncio
from types import TracebackType

from shared.domain.errors import NotReady, TooMany
from shared.domain.leases import Lease, State
from shared.ports import metrics
from shared.ports.clock import Clock
from shared.ports.telemetry import Telemetry

ASLEEP = (State.HIBERNATED, State.HIBERNATING, State.ARCHIVING, State.WAKING)


class Creating:
    """One create_db while it is under way. `how`: warm (it ran), wake, cold, pool (a spare) or restore."""

    def __init__(self, telemetry: Telemetry, clock: Clock):
        self._telemetry, self._clock = telemetry, clock
        self._began = clock.monotonic()
        self._active = False
        self.how = "warm"

    def begins(self, lease: Lease | None) -> None:
        """It has a place, and something to do."""
        self.how = "wake" if lease is not None and lease.state in ASLEEP else "cold"
        self._active = True
        self._telemetry.tell(metrics.CREATING, 1)

    def made(self, before: Lease, after: Lease) -> None:
        """A new life was begun as `before`, and became `after`."""
        if before.archive is not None:
            self.how = "restore"
        elif before.generation != after.generation:
            self.how = "pool"

    def __enter__(self) -> "Creating":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "ready"
        if isinstance(error, (NotReady, TooMany, TimeoutError, asyncio.CancelledError)):
            outcome = "not_ready"  # who waits for us no longer may cancel it, too
        elif error is not None:
            outcome = "failed"
        if self._active:
            self._telemetry.tell(metrics.CREATING, -1)
        self._telemetry.tell(metrics.CREATES, self._clock.monotonic() - self._began, self.how, outcome)
