"""What a process does before it serves, and when it stops."""

import asyncio
import logging
import os
from collections.abc import Callable
from importlib import import_module

from shared.domain.errors import PlaygroundError, StoreUnavailable
from shared.edge import config, refusing, settings
from shared.wiring import callers, cluster, issuing, probing, refusals, sealing, serving, telemetry
from shared.wiring.archives import archives
from shared.wiring.control import control
from shared.wiring.looks import looks
from shared.wiring.policies import policy
from shared.wiring.store import store

log = logging.getLogger("playground.probe")
OPEN = serving.OPEN
"""Functions that a server of our own serves at its open listener, and nowhere else."""
ANYWHERE = serving.ANYWHERE
"""Functions that it serves there and at the other."""

_background: set[asyncio.Task[None]] = set()

TALKATIVE = ("azure.core", "azure.cosmos", "azure.identity")  # each request of theirs is several lines at INFO


def check() -> None:
    """Read every setting and load what would stall a loop that serves; opens nothing, waits for nobody.

    All that Azure's host lets an app do before its first call, so `function_app.py` does it wherever
    it is loaded. Raises SettingError.
    """
    config.validate(os.environ)
    telemetry.begin()
    settings.policy(os.environ)
    callers.read()
    if settings.LOG_LEVEL.read(os.environ) != "DEBUG":
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
    if serving.uses_store():
        refusing.told = refusals.count
    if serving.issues():
        issuing.check()
    if serving.uses_cluster():
        sealing.read()
        cluster.spec()
        import_module("shared.adapters.k8s.client")
        if settings.ARCHIVE_AT.read(os.environ).startswith("blob:"):
            import_module("shared.adapters.archive_blob")
        probing.required = settings.REQUIRE_NETWORK_POLICY.read(os.environ)


def scrape() -> Callable[[], bytes] | None:
    """What reads the measurements for Prometheus, where it is Prometheus that asks; blocks for milliseconds."""
    return telemetry.scrape


async def begin() -> None:
    """What a long-lived process does besides: open the store, and the cluster's API.

    Raises SettingError, and StoreUnavailable if the store cannot be opened; that the cluster
    cannot be reached stops nobody: beats are heard without it.
    """
    check()
    await policy.get()
    await callers.certificates.get()
    if serving.uses_store():
        try:
            await store.get()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{settings.STORE_URL.name}: {error}") from error
        await looks.get()
    if serving.uses_cluster():
        await control.get()
        if settings.PROBE.read(os.environ) and not probing.required:
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
    await probing.proof.close()
    opened_by_us = (refusals, callers.revocations, looks, control, cluster.cluster, cluster.api, archives,
                    issuing.revocation_list, issuing.authority, store)  # fmt: skip
    for opened in opened_by_us:
        try:
            await opened.close()
        except PlaygroundError:
            continue  # what cannot be closed is gone
    await telemetry.end()
