"""Makes a CA and the certificates under it, and keeps them in a folder `key_store`.

    key_store/ca/ca.{key,crt}   key_store/server/server.{key,crt}   key_store/<name>/<name>.{key,crt}

Keys are EC P-256 in PKCS #8, readable by their owner alone from the moment they exist. Nothing is
ever overwritten: what is renewed is kept as `<name>+until-<its last day>`.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from selfhost import safely
from shared.adapters import certificate_builders as builders
from shared.adapters.authority import Key, read_key
from shared.adapters.certificate_builders import EARLY
from shared.domain.identity import Principal

CA_DAYS = 3650
SERVER_DAYS = 825  # the most that Apple's systems accept of a server
CLIENT_DAYS = 90
DEFAULT_TENANT = "default"
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PLAIN = re.compile(r"[a-z0-9._-]")


class CertificateProblem(Exception):
    """What was asked for cannot be made or kept; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in memory."""

    certificate: x509.Certificate
    key: Key = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """A certificate, and where it and its key were stored."""

    certificate: x509.Certificate
    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class KeyStore:
    """A folder with a CA and what it issued. Every method may raise CertificateProblem and OSError."""

    folder: Path

    def init(self, now: datetime) -> Kept:
        """Make the CA, and the folder where it is missing."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._keep("ca", make_authority(now))

    def server(self, names: list[str], now: datetime, *, renew: bool = False) -> Kept:
        """Make the server's certificate for these DNS names and IP addresses; `renew`: in the place of one there."""
        return self._keep("server", make_server(self._authority(), names, now), renew)

    def issue(
        self, principal: Principal, trust_domain: str, now: datetime, days: int = CLIENT_DAYS, *, renew: bool = False
    ) -> Kept:
        """Make a client's certificate; `renew`: in the place of one there.

        Raises InvalidRequest if the principal cannot be named so.
        """
        pair = make_client(self._authority(), principal, trust_domain, now, days)
        return self._keep(folder_name(principal.tenant, principal.name), pair, renew)

    def end(self, name: str) -> datetime | None:
        """The last instant of the certificate in a folder; None if there is none."""
        file = self.folder / name / f"{name}.crt"
        try:
            return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CertificateProblem(f"{file} holds no PEM certificate that can be read") from error

    def _authority(self) -> Pair:
        try:
            certificate = x509.load_pem_x509_certificate((self.folder / "ca/ca.crt").read_bytes())
            key = read_key((self.folder / "ca/ca.key").read_bytes())
        except FileNotFoundError as error:
            raise CertificateProblem(f"there is no CA in {self.folder}; make it first with init") from error
        except ValueError as error:
            raise CertificateProblem(f"the CA in {self.folder}/ca cannot be read: {error}") from error
        if key.public_key() != certificate.public_key():
            raise CertificateProblem(f"{self.folder}/ca/ca.key is not the key of the ca.crt beside it")
        return Pair(certificate, key)

    def _keep(self, name: str, pair: Pair, renew: bool = False) -> Kept:
        """Store both files or none: they are written to a folder that gets its name when it is complete."""
        target = self.folder / name
        key = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with safely.alone_in(self.folder):
            for left in self.folder.glob(".new-*"):  # whoever made it is dead, for we are alone
                shutil.rmtree(left)
            new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))  # mode 0700
            try:
                _write(new / f"{name}.key", key, 0o600)
                _write(new / f"{name}.crt", pair.certificate.public_bytes(Encoding.PEM), 0o644)
                safely.sync(new)
                if renew and (end := self.end(name)):
                    target.rename(self.folder / kept_as(name, end))
                new.rename(target)  # replaces neither a file nor a folder that holds anything
            except OSError as error:
                shutil.rmtree(new, ignore_errors=True)
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise CertificateProblem(f"{target} exists already; nothing was changed") from error
                raise
            safely.sync(self.folder)
        return Kept(pair.certificate, target / f"{name}.crt", target / f"{name}.key")


def folder_name(tenant: str, name: str) -> str:
    """The folder of a client: its name, with all that a file system may confuse percent-encoded.

    Upper case is encoded too, and so is the first character of what would be hidden, look like an
    option, or be the CA's or the server's. A long name is cut and ends in its hash, another tenant's
    in `@<tenant>`; neither `+` nor `@` comes from a name, so no two clients share a folder.
    """
    text = "".join(c if _PLAIN.fullmatch(c) else f"%{ord(c):02X}" for c in name)
    if text in ("ca", "server") or text[0] in ".-":
        text = f"%{ord(text[0]):02X}{text[1:]}"
    if len(text) > 120:
        text = f"{text[:80]}+{sha256(name.encode()).hexdigest()[:32]}"
    return text if tenant == DEFAULT_TENANT else f"{text}@{tenant}"


def kept_as(name: str, end: datetime) -> str:
    """The folder of what was renewed; no client's, whose `+` is followed by a hash."""
    return f"{name}+until-{end:%Y-%m-%d}"


def make_authority(now: datetime) -> Pair:
    """A CA that signs itself and may issue leaves only."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = builders.authority(key.public_key(), now - EARLY, now + timedelta(days=CA_DAYS))
    return Pair(builder.sign(key, hashes.SHA256()), key)


def make_server(authority: Pair, names: list[str], now: datetime) -> Pair:
    """A server's certificate for DNS names (`*.` may lead) and IP addresses."""
    hosts = list(dict.fromkeys(_host(name) for name in names))
    if not hosts:
        raise CertificateProblem("a server needs a name or an address")

    def build(key: builders.PublicKey, until: datetime) -> x509.CertificateBuilder:
        return builders.server(authority.certificate, key, hosts, now - EARLY, until)

    return _issued(authority, build, now, SERVER_DAYS)


def make_client(authority: Pair, principal: Principal, trust_domain: str, now: datetime, days: int) -> Pair:
    """A client's certificate for `days`, but not beyond the CA's end. Raises InvalidRequest as `Principal.uri`."""
    uri, names = principal.uri(trust_domain), (principal.tenant, principal.role, principal.name)

    def build(key: builders.PublicKey, until: datetime) -> x509.CertificateBuilder:
        serial = x509.random_serial_number()
        return builders.client(authority.certificate, key, uri, names, serial, now - EARLY, until)

    return _issued(authority, build, now, days)


def _issued(
    authority: Pair,
    build: Callable[[builders.PublicKey, datetime], x509.CertificateBuilder],
    now: datetime,
    days: int,
) -> Pair:
    until = min(now + timedelta(days=days), authority.certificate.not_valid_after_utc)
    if until <= now:
        raise CertificateProblem("the CA has expired; make a new one in another key store")
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        builder = build(key.public_key(), until)
    except ValueError as error:
        raise CertificateProblem(str(error)) from error
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _host(name: str) -> x509.GeneralName:
    if "%" not in name:  # no zone: a certificate cannot hold it
        try:
            return x509.IPAddress(ip_address(name))
        except ValueError:
            pass
    text = name.lower()
    labels = text.removeprefix("*.").split(".")
    if len(text) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        raise CertificateProblem(f"{name!a} is neither a DNS name nor an IP address")
    return x509.DNSName(text)


def _write(file: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, mode)  # a umask can only have taken away
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
