"""Looks in this very process: for one machine, where no queue is needed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import Context

from shared.domain.errors import PlaygroundError
from shared.domain.leases import Owner
from shared.edge import observing, tracing
from shared.ports import metrics
from shared.ports.telemetry import Reach

log = logging.getLogger("playground.look")

WORKERS = 16
WAITING = 10_000  # posts kept at most; beyond it the reaper finds what was dropped


class InProcessLooks:
    """Runs posted looks in the background, a lease that is posted again meanwhile only once."""

    def __init__(self, look: Callable[[Owner, str], Awaitable[object]]):
        self._look = look
        self._queue: asyncio.Queue[tuple[Owner, str, str, float]] = asyncio.Queue(WAITING)
        self._posted: set[tuple[Owner, str]] = set()
        self._workers: list[asyncio.Task[None]] = []

    async def post(self, owner: Owner, id: str) -> None:
        if not self._workers:
            # Not in the context of who posts first, or all that is ever done here would be written down as theirs.
            self._workers = [asyncio.create_task(self._work(), context=Context()) for _ in range(WORKERS)]
        if (owner, id) not in self._posted and not self._queue.full():
            self._posted.add((owner, id))
            self._queue.put_nowait((owner, id, tracing.traceparent(), time.monotonic()))
            observing.telemetry.tell(metrics.POSTED, 1)

    async def close(self) -> None:
        """Drop what is posted: all of it is due, so the next start finds it."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []

    async def _work(self) -> None:
        while True:
            owner, id, traceparent, posted_at = await self._queue.get()
            self._posted.discard((owner, id))
            observing.telemetry.tell(metrics.WAITED, time.monotonic() - posted_at)
            with tracing.entered(traceparent), observing.telemetry.span("look_at_lease", Reach.CONSUMER):
                await self._one(owner, id)

    async def _one(self, owner: Owner, id: str) -> None:
        try:
            await self._look(owner, id)
        except PlaygroundError as error:
            log.warning("look at %s of %s failed: %s", id, owner.key, error)
        except Exception:  # a bug in one look must not end the worker for everybody else
            log.exception("look at %s of %s failed", id, owner.key)
