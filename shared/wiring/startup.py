"""What a long-lived process does before it listens, and when it stops."""

import asyncio
import logging
import os

from shared.domain.errors import PlaygroundError, StoreUnavailable
from shared.edge import config, settings
from shared.wiring import callers, probing, serving
from shared.wiring.cluster import api, cluster
from shared.wiring.control import control
from shared.wiring.looks import looks
from shared.wiring.policies import policy
from shared.wiring.sealing import sealer
from shared.wiring.store import store

log = logging.getLogger("playground.probe")
_background: set[asyncio.Task[None]] = set()


async def begin() -> None:
    """Read every setting, open the store, load what would stall a loop that serves.

    Raises SettingError, and StoreUnavailable if the store cannot be opened; that the cluster
    cannot be reached stops nobody: beats are heard without it.
    """
    config.validate(os.environ)
    await policy.get()
    await callers.certificates.get()
    if serving.uses_store():
        try:
            await store.get()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{settings.STORE_URL.name}: {error}") from error
        await looks.get()
    if serving.uses_cluster():
        await sealer.get()
        await control.get()
        if settings.REQUIRE_NETWORK_POLICY.read(os.environ):
            await probing.probe()
        elif settings.PROBE.read(os.environ):
            _background.add(asyncio.create_task(_probe_aside()))


async def _probe_aside() -> None:
    """The probe while we serve already: what it finds is logged, and stops nobody."""
    try:
        await probing.probe()
    except Exception:
        log.exception("the probe broke off")


async def end() -> None:
    """Stop looking, then close what is open."""
    for task in _background:
        task.cancel()
    await asyncio.gather(*_background, return_exceptions=True)
    _background.clear()
    for opened in (looks, control, cluster, api, store):
        try:
            await opened.close()
        except PlaygroundError:
            continue  # what cannot be closed is gone
