"""To whom this process tells how it fares, picked by PLAYGROUND_TELEMETRY."""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from shared.edge import observing, settings
from shared.edge.config import SettingError
from shared.ports.telemetry import SILENT

if TYPE_CHECKING:
    from shared.adapters.k8s.api import Api

scrape: Callable[[], bytes] | None = None
"""What reads the measurements as Prometheus wants them, where it is Prometheus that asks; blocks for milliseconds."""

_close: Callable[[], None] | None = None


def begin() -> None:
    """Once, when the app is loaded. Raises SettingError."""
    global scrape, _close
    kind = settings.TELEMETRY.read(os.environ)
    if kind == "none" or observing.telemetry is not SILENT:
        return
    from shared.adapters import telemetry as adapter

    if kind == "prometheus":
        made, scrape = adapter.prometheus()
    else:
        connection = settings.TELEMETRY_CONNECTION
        try:
            made = adapter.azure(os.environ.get(connection, ""))
        except ValueError:  # its text would repeat the value
            raise SettingError(f"{connection}: not the connection string of an Application Insights") from None
    observing.telemetry, _close = made, made.close


async def end() -> None:
    """Hand over what is still here, and tell nobody from now on."""
    global scrape, _close
    close, _close, scrape, observing.telemetry = _close, None, None, SILENT
    if close is not None:
        await asyncio.to_thread(close)


def observed_store[S](store: S) -> S:
    """The store, timed where somebody wants to know."""
    if observing.telemetry is SILENT:
        return store
    from shared.adapters.observed_store import ObservedStore

    return cast(S, ObservedStore(store, observing.telemetry))


def observed_api(api: "Api") -> "Api":
    """Kubernetes, timed where somebody wants to know."""
    if observing.telemetry is SILENT:
        return api
    from shared.adapters.k8s.observed import ObservedApi

    return ObservedApi(api, observing.telemetry)
