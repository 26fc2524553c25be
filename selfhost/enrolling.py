"""From a token to a certificate, and to the settings with which a notebook uses it.

The key is on the disk before the token is sent, and stays where it is until all else is in its place: whoever dies, or
does not hear the answer, runs the same command again, which then asks with the same key and is answered the same.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext

from cryptography import x509
from dotenv import dotenv_values

from selfhost import certs_named, notebook, plugin, safely
from selfhost.api_client import Access, NoAnswer, NotSet, Refused, is_https
from selfhost.certificates_client import CertificatesClient, Granted, Key, key_pem, new_key, read_key
from selfhost.certs import CertificateProblem, folder_name
from selfhost.notebook import Notebook
from shared.domain.identity import Principal

KEY = ".enrolling.key"  # of what is under way; nobody's own file begins with a dot, see `folder_name`


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Who now holds a certificate, and where everything is. `named`: the settings name a SQLFlow server."""

    holder: Principal
    settings: Path
    notebook: Notebook
    named: bool


def enroll(
    url: str, token: str, folder: Path, ca: Path | None, server: str, environment: Mapping[str, str]
) -> Enrolled:
    """`ca`: PEM file of the CA of the listener at `url`, and of the server; `server`: its URL ("": as it is told).

    Raises NotSet, Refused, NoAnswer, CertificateProblem, CannotStart, OSError.
    """
    for text, what in ((url, "URL"), (server or url, "--server")):
        if not is_https(text):  # which is not repeated: it may be a token in the wrong place
            raise NotSet(f"{what} must be https://host:port: nobody is told a secret who does not prove who they are")
    folder = folder.absolute()
    for text in (str(folder), server):
        notebook.quoted(text)
    context = Access(url, str(ca or ""), "", "").context(same_host=True)
    cas = ca.read_bytes() if ca else None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with safely.alone_in(folder):
        key = _begun(folder)
        if key is not None and (enrolled := _ended(folder, key)):
            return enrolled
        _check_free(folder, cas, begun=key is not None)
        if key is None:
            key = new_key()
            safely.write(folder / KEY, key_pem(key), 0o600)
        try:
            granted = asyncio.run(_ask(url, context, token, key))
        except (Refused, NoAnswer) as error:
            raise type(error)(str(error).replace(token, "…")) from None
        return _placed(folder, key, granted, cas or granted.ca, server, environment)


async def _ask(url: str, context: SSLContext, token: str, key: Key) -> Granted:
    async with CertificatesClient(url, context) as client:
        return await client.enroll(token, key)


def _begun(folder: Path) -> Key | None:
    """The key of an enrolment that did not come to its end."""
    content = safely.read(folder / KEY)
    if content is None:
        return None
    key = read_key(content)
    if key is None:
        raise CertificateProblem(f"{folder / KEY} is no key of an enrolment: move it away; nothing was changed")
    return key


def _ended(folder: Path, key: Key) -> Enrolled | None:
    """What a run left that died when all was in its place."""
    file = folder / notebook.NAME
    kept = dotenv_values(file) if file.exists() else {}
    ca, certificate, own = (Path(kept.get(name) or "") for name in (plugin.CA, plugin.CERT, plugin.KEY))
    if own.parent != folder or not _is_of(own, key) or not _is_of(certificate, key):
        return None
    holder = certs_named.holder(x509.load_pem_x509_certificates(certificate.read_bytes())[0])
    if holder is None:
        return None
    safely.remove(folder / KEY)
    found = Notebook(holder.name, kept.get(plugin.SERVER) or "", ca, certificate, own)
    return Enrolled(holder, file, found, bool(kept.get(plugin.SQLFLOW_SERVER)))


def _check_free(folder: Path, cas: bytes | None, *, begun: bool) -> None:
    """Raises CertificateProblem where somebody has files of theirs; those of what was begun are ours."""
    found = [folder / notebook.NAME]
    if not begun:
        found += folder.glob("*.key")
        if safely.read(folder / "ca.crt") not in (None, cas):
            found.append(folder / "ca.crt")
    for file in found:
        if file.exists():
            raise CertificateProblem(f"{file} is there already: nothing was changed; others need another --folder")


def _placed(
    folder: Path, key: Key, granted: Granted, cas: bytes, server: str, environment: Mapping[str, str]
) -> Enrolled:
    """All files, the settings last."""
    name = folder_name(granted.holder.tenant, granted.holder.name)
    ca, certificate, own = folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key"
    foreign = [file for file in (certificate, own) if file.exists() and not _is_of(file, key)]
    if safely.read(ca) not in (None, cas):
        foreign.append(ca)
    if foreign:
        raise CertificateProblem(f"{foreign[0]} is somebody else's: move it away, then run this again as it was")
    safely.write(ca, cas, 0o644)
    safely.write(certificate, granted.chain, 0o644)
    safely.write(own, key_pem(key), 0o600)
    settings = Notebook(granted.holder.name, server or granted.server, ca, certificate, own)
    named = notebook.write(folder / notebook.NAME, settings, environment.get(plugin.SQLFLOW_SERVER, ""))
    safely.remove(folder / KEY)
    return Enrolled(granted.holder, folder / notebook.NAME, settings, named)


def _is_of(file: Path, key: Key) -> bool:
    """Whether a file holds the key, or a certificate for it."""
    content = safely.read(file) or b""
    try:
        leaf = x509.load_pem_x509_certificates(content)[0]
    except ValueError:
        found = read_key(content)
        return found is not None and found.public_key() == key.public_key()
    return leaf.public_key() == key.public_key()
