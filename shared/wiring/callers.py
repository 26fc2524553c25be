"""Who calls: this process's one way to find out."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import azure.functions as func

from shared.domain.acting import Acting, acting
from shared.domain.holders import Holder
from shared.domain.identity import Principal
from shared.domain.rates import Rate, Rates
from shared.domain.revocations import Revocations
from shared.edge import observing, settings, tracing
from shared.edge.certificates import HEADER, Certificates, Source
from shared.edge.config import SettingError
from shared.ports import metrics
from shared.wiring import clocks
from shared.wiring.once import Once
from shared.wiring.store import store


def read() -> Certificates:
    """What the settings say of callers' certificates. Raises SettingError."""
    source = Source(settings.CERTIFICATE_FROM.read(os.environ))
    path, trust_domain = settings.CLIENT_CA.read(os.environ), settings.TRUST_DOMAIN.read(os.environ)
    if source is Source.NONE:
        return Certificates(source, b"", trust_domain, clocks.clock)
    if not path:
        raise SettingError(f"{settings.CLIENT_CA.name} must be set where {settings.CERTIFICATE_FROM.name} is")
    try:
        return Certificates(source, Path(path).read_bytes(), trust_domain, clocks.clock)
    except OSError as error:
        raise SettingError(f"{settings.CLIENT_CA.name}: its file: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"{settings.CLIENT_CA.name}: {error}") from None


async def _make() -> Certificates:
    return await asyncio.to_thread(read)


async def _revocations() -> Revocations:
    async def revoked(since: float) -> Sequence[Holder]:
        return await (await store.get()).revoked(since)

    made = Revocations(revoked, clocks.clock)
    began = clocks.clock.monotonic()
    observing.telemetry.watch(metrics.REVOCATIONS, lambda: min(made.age, clocks.clock.monotonic() - began))
    return made


async def _rates() -> Rates:
    return Rates(Rate(settings.USER_RATE.read(os.environ), settings.TENANT_RATE.read(os.environ)), clocks.clock)


certificates = Once(_make)
rates = Once(_rates)
revocations = Once(_revocations, lambda opened: opened.close())


async def identify(req: func.HttpRequest) -> Principal:
    """The caller. Raises NotAuthenticated, TooMany, and StoreUnavailable if it is not to be known who is revoked."""
    return await _identified(req, beat=False)


async def identify_beat(req: func.HttpRequest) -> Principal:
    """The caller of a beat, which is heard even while it is not to be known who is revoked. Raises NotAuthenticated."""
    return await _identified(req, beat=True)


async def _identified(req: func.HttpRequest, *, beat: bool) -> Principal:
    known = await certificates.get()
    caller = known.principal_from_header(req.headers.get(HEADER))
    acting.set(Acting(caller, known.trust_domain, tracing.current_id()))
    await (await revocations.get()).check(caller, beat=beat)
    if not beat:
        (await rates.get()).take(caller)
    return caller
