"""The probe: can databases be had here, and if not, what is to be set."""

import asyncio
import logging
import os

from shared.domain.plane import plane_id
from shared.edge import settings
from shared.edge.config import SettingError
from shared.wiring import clocks
from shared.wiring.cluster import api, spec
from shared.wiring.store import store

log = logging.getLogger("playground.probe")

AGAIN = 300.0  # seconds after which a probe that failed is made once more: each makes a database

required = False
"""Whether nothing may be done on the cluster before network policies were seen to work; `startup.check` says so."""


async def probe() -> None:
    """Try it with a database of its own and log what was found.

    Raises SettingError if network policies must be enforced and are not.
    """
    from shared.adapters.k8s.probe import Probe

    namespace = settings.NAMESPACE.read(os.environ)
    findings = await Probe(await api.get(), spec(), await plane_id(await store.get()), namespace).run(
        clocks.clock.now()
    )
    for sentence in findings.sentences:
        log.warning("%s", sentence)
    if not findings.sentences:
        log.info("a database was made, reached and taken away: this cluster has all that is needed")
    if settings.REQUIRE_NETWORK_POLICY.read(os.environ) and findings.policy_enforced is not True:
        why = findings.policy or "; ".join(findings.sentences)
        raise SettingError(f"{settings.REQUIRE_NETWORK_POLICY.name}: {why}")


class Proof:
    """One probe for everybody who has to wait for it; no caller's hurry breaks it off."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._failed_at: float | None = None

    async def get(self) -> None:
        """Returns once a probe went well. Raises what it raised, for a while without making another."""
        if self._failed_at is not None and clocks.clock.monotonic() - self._failed_at >= AGAIN:
            self._task = self._failed_at = None
        if self._task is None:
            self._task = asyncio.create_task(probe())
            self._task.add_done_callback(self._ended)
        await asyncio.shield(self._task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._failed_at = clocks.clock.monotonic()

    async def close(self) -> None:
        """Break off a probe under way, and forget what was found."""
        task, self._task, self._failed_at = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


proof = Proof()
