"""The CA of this process, picked by PLAYGROUND_ISSUER_KEY, and what issues with it."""

import asyncio
import os
from pathlib import Path

from cryptography import x509

from shared.adapters import authority as adapter
from shared.domain.enrolment import Issuing
from shared.domain.errors import AuthorityUnavailable
from shared.domain.revocation_list import RevocationList
from shared.edge import settings
from shared.edge.config import SettingError
from shared.ports.authority import Authority
from shared.wiring import clocks
from shared.wiring.once import Once
from shared.wiring.store import store

PATIENCE = 15.0  # seconds; a process that has yet to sign in may need most of them


def check() -> None:
    """Read what can be read without asking anybody. Raises SettingError."""
    kind = settings.ISSUER_KEY.read(os.environ).partition(":")[0]
    if kind == "file":
        _open()
    elif kind == "keyvault":
        _certificate()
    settings.CERTIFICATE_LIFETIME.read(os.environ)
    server()


def server() -> str:
    """What an enrolled notebook is to talk to ("": it is not said). Raises SettingError."""
    return settings.PUBLIC_URL.read(os.environ) or settings.CANARY_URL.read(os.environ)


async def issuing() -> Issuing:
    """What issuing needs. Raises AuthorityUnavailable, StoreUnavailable."""
    lifetime = settings.CERTIFICATE_LIFETIME.read(os.environ)
    return Issuing(await store.get(), await authority.get(), clocks.clock, lifetime)


def _open() -> Authority:
    """Blocks. Raises SettingError, AuthorityUnavailable."""
    kind, _, where = settings.ISSUER_KEY.read(os.environ).partition(":")
    if kind == "none":
        raise AuthorityUnavailable(f"{settings.ISSUER_KEY.name} is none: no certificates are issued here")
    certificate, trust_domain = _certificate(), settings.TRUST_DOMAIN.read(os.environ)
    try:
        if kind == "keyvault":
            from shared.adapters.authority_keyvault import open_key

            key, close = open_key(where)
            try:
                return adapter.KeyAuthority(certificate, key, trust_domain, close)
            except BaseException:
                close()
                raise
        return adapter.KeyAuthority(certificate, adapter.read_key(Path(where).read_bytes()), trust_domain)
    except OSError as error:
        raise SettingError(f"{settings.ISSUER_KEY.name}: its file: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"{settings.ISSUER_KEY.name}: {error}") from None


def _certificate() -> x509.Certificate:
    path = settings.ISSUER_CRT.read(os.environ)
    if not path:
        raise SettingError(f"{settings.ISSUER_CRT.name} must be set where {settings.ISSUER_KEY.name} is")
    try:
        return adapter.read_certificate(Path(path).read_bytes())
    except OSError as error:
        raise SettingError(f"{settings.ISSUER_CRT.name}: its file: {error.strerror}") from None
    except ValueError as error:
        raise SettingError(f"{settings.ISSUER_CRT.name}: {error}") from None


async def _make() -> Authority:
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.to_thread(_open)
    except TimeoutError as error:
        raise AuthorityUnavailable(f"the CA's key could not be opened within {PATIENCE:.0f} s") from error


async def _list() -> RevocationList:
    return RevocationList(await store.get(), await authority.get(), clocks.clock)


authority: Once[Authority] = Once(_make, lambda opened: opened.close())
revocation_list = Once(_list)
