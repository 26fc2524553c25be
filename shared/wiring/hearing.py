"""What this control plane knows of its own hearing."""

import logging
import os

from shared.domain import canary
from shared.domain.hearing import Hearing
from shared.edge import observing, settings
from shared.ports import metrics
from shared.wiring import clocks, store

log = logging.getLogger("playground.canary")


async def hearing() -> Hearing:
    """For the reaper. Raises StoreUnavailable."""
    known = await canary.hearing(await store.store.get())
    observing.telemetry.tell(metrics.HEARD, max(0.0, known.heard_at))  # never heard is minus infinity
    observing.telemetry.tell(metrics.GAPS, len(known.gaps))
    return known


async def beat_canary() -> None:
    """Beat through the public address, where there is one, and write that it was heard."""
    url = settings.CANARY_URL.read(os.environ)
    if url:
        from shared.adapters import canary_http

        certificate, key = settings.CANARY_CERT.read(os.environ), settings.CANARY_KEY.read(os.environ)
        if not await canary_http.beat(url, certificate, key, settings.CANARY_CA.read(os.environ)):
            log.warning("the canary was not heard through %s", url)
            return
    await canary.heard(await store.store.get(), clocks.clock.now())
