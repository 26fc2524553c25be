"""The next certificate of whoever has one, in its place.

A new pair gets names of its own beside the old one, and then one rename of the plugin's settings leads to both at
once. The old pair stays until it ends, for who has read the settings before. A run that died goes on with its key.
"""

import asyncio
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from ssl import SSLContext

from cryptography import x509
from dotenv import dotenv_values

from selfhost import certs_named, notebook, safely
from selfhost.api_client import USUAL_FILE, Access, NoAnswer, NotSet
from selfhost.certificates_client import CertificatesClient, Granted, Key, key_pem, new_key, read_key
from selfhost.certs import CertificateProblem, folder_name
from selfhost.plugin import CERT, FILE, KEY
from shared.domain.identity import Principal
from shared.domain.policy import CLOCK_SKEW, DAY


@dataclass(frozen=True, slots=True)
class Renewed:
    """The certificate that is now in use, and its files; `old` (the one before) is None where it is still good."""

    holder: Principal
    certificate: Path
    key: Path
    old: Principal | None


def renew(environment: Mapping[str, str], within: int | None, now: float) -> Renewed:
    """`within`: only if what there is ends within so many days.

    Raises NotSet, Refused, NoAnswer, CertificateProblem, CannotStart, OSError.
    """
    said = environment.get(FILE) or USUAL_FILE
    settings = Path(os.path.realpath(said))  # or a link to it would be replaced
    if not settings.is_file():
        raise NotSet(f"there is no {said}: name the plugin's settings in {FILE}")
    with safely.alone_in(settings.parent):
        access = _access(settings, environment)
        certificate, own = Path(access.certificate), Path(access.key)
        leaf = _leaf(certificate)
        holder = certs_named.holder(leaf)
        if holder is None:
            raise CertificateProblem(f"{certificate} is no certificate of a Playground's client")
        if within is not None and holder.until > now + within * DAY:
            return Renewed(holder, certificate, own, None)
        if holder.until <= now:
            raise CertificateProblem(f"{certificate} has ended: ask for an invitation, then `playground enroll`")
        pending = settings.with_name(f".{settings.name}.renewing.key")
        context = access.context()
        key = _pending(pending, leaf)
        granted = asyncio.run(_ask(access.url, context, key))
        if _who(granted.holder) != _who(holder):
            raise NoAnswer("the server answers a certificate of somebody else")
        new, new_own = _switched(settings, certificate, granted, key)
        safely.remove(pending)
        _tidy(new, granted.holder, now)
        return Renewed(granted.holder, new, new_own, holder)


async def _ask(url: str, context: SSLContext, key: Key) -> Granted:
    async with CertificatesClient(url, context) as client:
        return await client.renew(key)


def _access(settings: Path, environment: Mapping[str, str]) -> Access:
    """With the pair that the file names: another could not be switched there."""
    kept = dotenv_values(settings)
    for name in (CERT, KEY):
        if not kept.get(name):
            raise NotSet(f"{settings} names no {name}: only a certificate that it names can be renewed")
        if environment.get(name) not in (None, "", kept[name]):
            raise NotSet(f"{name} in the environment is not that of {settings}, which is renewed: unset it")
    return Access.read({}, {**environment, FILE: str(settings)})


def _pending(file: Path, leaf: x509.Certificate) -> Key:
    """The key of a renewal that did not come to its end, or a new one, kept before anybody is asked."""
    key = read_key(safely.read(file) or b"")
    if key is None or key.public_key() == leaf.public_key():
        key = new_key()
        safely.write(file, key_pem(key), 0o600)
    return key


def _switched(settings: Path, old: Path, granted: Granted, key: Key) -> tuple[Path, Path]:
    """Where the new certificate and its key are; the settings lead to both, or still to the old ones."""
    stem = f"{_stem(granted.holder)}+{granted.holder.serial}"
    certificate, own = old.with_name(f"{stem}.crt"), old.with_name(f"{stem}.key")
    text = notebook.switched(settings.read_bytes().decode(), {CERT: str(certificate), KEY: str(own)})
    safely.write(own, key_pem(key), 0o600)
    safely.write(certificate, granted.chain, 0o644)
    safely.write(settings, text.encode(), stat.S_IMODE(settings.stat().st_mode))
    return certificate, own


def _tidy(certificate: Path, holder: Principal, now: float) -> None:
    """Remove what was renewed and has ended, and what runs left that died."""
    stem = f"{escape(_stem(holder))}+*"
    for file in (*certificate.parent.glob(f"{stem}.part"), *certificate.parent.glob(f"{stem}.crt")):
        with suppress(CertificateProblem, ValueError, OSError):  # another time, then
            if file.suffix == ".crt":
                found = certs_named.holder(_leaf(file))
                if not found or file.stem != f"{_stem(found)}+{found.serial}" or now <= found.until + CLOCK_SKEW:
                    continue
                safely.remove(file.with_suffix(".key"))
            safely.remove(file)


def _leaf(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())[0]
    except ValueError as error:
        raise CertificateProblem(f"{file} holds no PEM certificate that can be read") from error


def _stem(holder: Principal) -> str:
    return folder_name(holder.tenant, holder.name)


def _who(holder: Principal) -> tuple[str, str, str]:
    return holder.tenant, holder.role, holder.name
