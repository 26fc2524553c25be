"""A CA of ours: its certificate from a PEM file, and a key that signs what it issues.

The key is one of `cryptography`'s, or anything that behaves like one: `authority_keyvault` has a key
that never leaves Azure Key Vault, and signs by asking it.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key, load_pem_private_key

from shared.adapters import certificate_builders as builders
from shared.domain.errors import AuthorityUnavailable
from shared.domain.holders import Issued
from shared.domain.identity import Principal, check_trust_domain

PATIENCE = 10.0  # seconds that one signature may take
SIGNERS = 4  # threads; a key that is far away blocks the one it is asked in

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class KeyAuthority:
    """The port `Authority` on a CA's certificate and its key.

    Raises ValueError where the two do not belong together, or the certificate is no CA's that may
    issue, and InvalidRequest where `trust_domain` can be none. `close` is called at the end.
    """

    def __init__(
        self, certificate: x509.Certificate, key: Key, trust_domain: str, close: Callable[[], None] = lambda: None
    ):
        check_trust_domain(trust_domain)
        if key.public_key() != certificate.public_key():
            raise ValueError("the key is not that of the CA's certificate")
        _check_ca(certificate)
        self._certificate, self._key, self._trust_domain, self._close = certificate, key, trust_domain, close
        self._threads = ThreadPoolExecutor(SIGNERS, "authority")

    @property
    def until(self) -> float:
        return self._certificate.not_valid_after_utc.timestamp()

    async def issue(self, principal: Principal, issued: Issued, public_key: bytes) -> str:
        builder = builders.client(
            self._certificate,
            cast(builders.PublicKey, load_der_public_key(public_key)),
            principal.uri(self._trust_domain),
            (principal.tenant, principal.role, principal.name),
            int(issued.serial, 16),
            _instant(issued.begins),
            _instant(issued.until),
        )
        certificate = await self._signed(lambda: builder.sign(self._key, hashes.SHA256()))
        return "".join(each.public_bytes(Encoding.PEM).decode() for each in (certificate, self._certificate))

    async def revocation_list(self, revoked: Sequence[Issued], number: int, now: float, until: float) -> bytes:
        def sign() -> bytes:
            builder = builders.revocation_list(self._certificate, number, _instant(now), _instant(until))
            for each in revoked:
                if each.revoked_at is not None:
                    line = x509.RevokedCertificateBuilder(int(each.serial, 16), _instant(each.revoked_at))
                    builder = builder.add_revoked_certificate(line.build())
            return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.DER)

        return await self._signed(sign)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._close()

    async def _signed[Signed](self, sign: Callable[[], Signed]) -> Signed:
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, sign)
        except AuthorityUnavailable:
            raise
        except TimeoutError as error:
            raise AuthorityUnavailable(f"nothing was signed within {PATIENCE:.0f} s") from error
        except Exception as error:  # whatever a key that is far away meets on its way
            raise AuthorityUnavailable(f"the CA's key cannot be used: {type(error).__name__}: {error}") from error


def read_certificate(pem: bytes) -> x509.Certificate:
    """The one CA in a PEM file. Raises ValueError."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        found = []
    if len(found) != 1:
        raise ValueError("holds not exactly one certificate (PEM)")
    return found[0]


def read_key(pem: bytes) -> Key:
    """A private key, EC or RSA, not encrypted. Raises ValueError."""
    key = None
    with suppress(ValueError, TypeError):  # TypeError: it is encrypted
        key = load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("holds no private key that can be used (PEM, EC or RSA, not encrypted)")
    return key


def _check_ca(certificate: x509.Certificate) -> None:
    found = {type(each.value): each.value for each in certificate.extensions}
    constraints, usage = found.get(x509.BasicConstraints), found.get(x509.KeyUsage)
    is_ca = isinstance(constraints, x509.BasicConstraints) and constraints.ca
    may = isinstance(usage, x509.KeyUsage) and usage.key_cert_sign and usage.crl_sign
    if not is_ca or not may or x509.SubjectKeyIdentifier not in found:
        raise ValueError("the certificate is no CA's that may sign certificates and lists, with a key identifier")


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
