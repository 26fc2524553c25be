"""Who calls: this process's one way to find out."""

import asyncio
import os
from pathlib import Path

import azure.functions as func

from shared.domain.identity import Principal
from shared.edge import settings
from shared.edge.certificates import HEADER, Certificates, Source
from shared.edge.config import SettingError
from shared.wiring import clocks
from shared.wiring.once import Once


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


certificates = Once(_make)


async def identify(req: func.HttpRequest) -> Principal:
    """The caller. Raises NotAuthenticated."""
    return (await certificates.get()).principal_from_header(req.headers.get(HEADER))
