"""From the header with a client certificate to the principal it names, or a refusal.

Whoever terminates TLS forwards the certificate unchecked (Azure's front end does), so everything is
checked here: issued by a CA of ours, dates, use, key and the one URI that names the caller.
"""

import binascii
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from shared.domain.errors import NotAuthenticated
from shared.domain.identity import Principal, check_trust_domain
from shared.ports.clock import Clock

HEADER = "X-ARR-ClientCert"
LONGEST_HEADER = 16 * 1024
KEEP_ACCEPTED = 600.0  # seconds until a chain is checked again
KEEP_REFUSED = 10.0
ACCEPTED_ENTRIES = 10_000
REFUSED_ENTRIES = 1_000


class Source(StrEnum):
    """Who puts the header there; the setting PLAYGROUND_CERTIFICATE_FROM."""

    NONE = "none"  # nobody: every certificate is refused
    ARR = "arr"  # Azure's front end
    SELFHOST = "selfhost"  # our own TLS front


class Verifier:
    """Says which principal a DER certificate names, if a CA in `ca_pem` issued it to a client.

    Raises ValueError if `ca_pem` (PEM, several for a rotation) holds no CA or something else, and
    InvalidRequest if `trust_domain` can be none.
    """

    def __init__(self, ca_pem: bytes, trust_domain: str, clock: Clock):
        check_trust_domain(trust_domain)
        self._trust_domain = trust_domain
        self._clock = clock
        self.trust(ca_pem)

    def trust(self, ca_pem: bytes) -> None:
        """Trust these CAs from now on, and no others. Raises ValueError and changes nothing if they are none."""
        self._known = _Known(Store(_anchors(ca_pem)))

    def verify(self, der: bytes) -> Principal:
        """The principal that the certificate names. Raises NotAuthenticated with the reason."""
        known = self._known
        digest = sha256(der).digest()
        now, tick = self._clock.now(), self._clock.monotonic()
        found = known.accepted.get(digest)
        if found is None or tick >= found.until or not found.chain_start <= now <= found.chain_end:
            found = self._examine(known, der, digest, now, tick)
        if now < found.start:
            raise NotAuthenticated("the certificate is not valid yet")
        if now > found.end:
            raise NotAuthenticated("the certificate has expired")
        return found.principal

    def _examine(self, known: "_Known", der: bytes, digest: bytes, now: float, tick: float) -> "_Accepted":
        refused = known.refused.get(digest)
        if refused is not None and tick < refused.until:
            raise NotAuthenticated(refused.reason)
        try:
            certificate, start, end = _read(der)
            principal = self._principal(certificate, digest)
            # At the nearest instant at which the certificate itself is good: its own dates are looked
            # at on every call, so that a cached one starts and expires to the second.
            chain_start, chain_end = _check_chain(certificate, known.store, min(max(now, start), end))
        except NotAuthenticated as refusal:
            known.refused.put(digest, _Refused(refusal.detail, tick + KEEP_REFUSED))
            raise
        accepted = _Accepted(
            replace(principal, begins=start, until=end), start, end, chain_start, chain_end, tick + KEEP_ACCEPTED
        )
        known.accepted.put(digest, accepted)
        return accepted

    def _principal(self, certificate: x509.Certificate, digest: bytes) -> Principal:
        try:
            names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound as error:
            raise NotAuthenticated("the certificate has no subject alternative name") from error
        if len(names) != 1 or not isinstance(names[0], x509.UniformResourceIdentifier):
            raise NotAuthenticated("the certificate's subject alternative name is not exactly one URI")
        serial = format(certificate.serial_number, "x")
        return Principal.from_uri(names[0].value, self._trust_domain, serial, digest.hex())


class Certificates:
    """The caller's principal from the header's value, as the setting says where the header comes from.

    Raises what `Verifier` raises; with Source.NONE, CAs and trust domain are not looked at.
    """

    def __init__(self, source: Source, ca_pem: bytes, trust_domain: str, clock: Clock):
        self.trust_domain = trust_domain
        self._verifier = None if source is Source.NONE else Verifier(ca_pem, trust_domain, clock)

    def principal_from_header(self, value: str | None) -> Principal:
        """The principal that the base64 DER in `value` names. Raises NotAuthenticated with the reason."""
        if self._verifier is None:
            raise NotAuthenticated("this server takes no client certificates (PLAYGROUND_CERTIFICATE_FROM is none)")
        if not value:
            raise NotAuthenticated("a client certificate is required")
        if len(value) > LONGEST_HEADER:
            raise NotAuthenticated("the client certificate is too long")
        try:
            der = binascii.a2b_base64(value, strict_mode=True)
        except ValueError as error:  # binascii.Error, or a character outside ASCII
            raise NotAuthenticated("the client certificate is not base64") from error
        return self._verifier.verify(der)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A certificate of ours. `start`, `end`: its own dates; `chain_…`: its issuer's; `until`: monotonic."""

    principal: Principal
    start: float
    end: float
    chain_start: float
    chain_end: float
    until: float


@dataclass(frozen=True, slots=True)
class _Refused:
    reason: str
    until: float


class _Recent[Entry]:
    """The `size` entries that were used last."""

    def __init__(self, size: int):
        self._size = size
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """A set of CAs and what was found out under it, by SHA-256: another set begins with nothing.

    Refusals are kept apart, so that a storm of bad certificates drives out no good one.
    """

    store: Store
    accepted: _Recent[_Accepted] = field(default_factory=lambda: _Recent(ACCEPTED_ENTRIES))
    refused: _Recent[_Refused] = field(default_factory=lambda: _Recent(REFUSED_ENTRIES))


def _anchors(ca_pem: bytes) -> list[x509.Certificate]:
    anchors = x509.load_pem_x509_certificates(ca_pem)
    for anchor in anchors:
        name = anchor.subject.rfc4514_string()
        if not _is_ca(anchor):
            raise ValueError(f"{name} is no CA certificate (X.509 v3 with basicConstraints CA:TRUE)")
        if not _strong(anchor):
            raise ValueError(f"{name} has a key that is too weak or of another kind than RSA and EC")
    return anchors


def _read(der: bytes) -> tuple[x509.Certificate, float, float]:
    """Parse, and check what holds for every client certificate whoever issued it; with its dates."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer  # parsed only now
        start, end = _window(certificate)
        is_ca, strong = _is_ca(certificate), _strong(certificate)
        uses = [e.value for e in certificate.extensions if isinstance(e.value, x509.ExtendedKeyUsage)]
    except Exception as error:  # strangers write these bytes, and the parser has a dozen ways to say no
        raise NotAuthenticated("the client certificate cannot be read") from error
    if certificate.version is not x509.Version.v3:
        raise NotAuthenticated("the certificate is not X.509 v3")
    if is_ca:
        raise NotAuthenticated("the certificate is a CA's, not a client's")
    # The library would also take a certificate without any, and any key in a client's certificate.
    if not uses or ExtendedKeyUsageOID.CLIENT_AUTH not in uses[0]:
        raise NotAuthenticated("the certificate is not made for clients (extended key usage)")
    if not strong:
        raise NotAuthenticated("the certificate's key is too weak or of another kind than RSA and EC")
    return certificate, start, end


def _check_chain(certificate: x509.Certificate, store: Store, at: float) -> tuple[float, float]:
    """Check that a CA in the store issued it; returns that CA's (or those CAs') common dates."""
    verifier = PolicyBuilder().store(store).time(datetime.fromtimestamp(at, UTC)).build_client_verifier()
    try:
        _, *issuers = verifier.verify(certificate, []).chain
    except (VerificationError, ValueError) as error:  # ValueError: a part that is parsed only there
        raise NotAuthenticated("no CA that is trusted here, and is valid now, issued the certificate") from error
    starts, ends = zip(*map(_window, issuers), strict=True)
    return max(starts), min(ends)


def _window(certificate: x509.Certificate) -> tuple[float, float]:
    return certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()


def _is_ca(certificate: x509.Certificate) -> bool:
    return any(isinstance(e.value, x509.BasicConstraints) and e.value.ca for e in certificate.extensions)


def _strong(certificate: x509.Certificate) -> bool:
    """RSA of at least 2,048 bits or EC of at least 256 (NIST SP 800-57 part 1, 112 bits and more)."""
    key = certificate.public_key()
    least = 2048 if isinstance(key, rsa.RSAPublicKey) else 256
    return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and key.key_size >= least
