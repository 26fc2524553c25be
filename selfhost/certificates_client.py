"""Asks a Playground for certificates; keys are made here and never leave this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from selfhost import certs_named
from selfhost.api_client import ApiClient, NoAnswer, is_https
from shared.domain.identity import Principal

NAMES = ("tenant", "role", "name")

type Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Granted:
    """A certificate for a key of ours: `chain` is it and its CA's, `ca` the latter alone, both PEM.

    `server` is where it is of use, "" where that was not said.
    """

    holder: Principal
    chain: bytes
    ca: bytes
    server: str = ""


class CertificatesClient(ApiClient):
    """The API of certificates; `owner` is whose, where that is not who asks. Raises Refused, NoAnswer."""

    def __init__(self, url: str, context: SSLContext, owner: str = ""):
        super().__init__(url, context)
        self._owner = {"owner": owner} if owner else {}

    async def enroll(self, token: str, key: Key) -> Granted:
        """The certificate that the token brings; of a listener that asks for none."""
        return granted(await self.ask("POST", "/api/enrolments", json={"token": token, "csr": _request(key)}), key)

    async def renew(self, key: Key) -> Granted:
        """Another certificate of who asks."""
        return granted(await self.ask("POST", "/api/certificates", json={"csr": _request(key)}), key)

    async def listed(self) -> list[dict[str, Any]]:
        found = await self.ask("GET", "/api/certificates", self._owner)
        return list(found["certificates"])

    async def revoke(self, serial: str) -> dict[str, Any]:
        """The certificate, which counts no more."""
        return await self.ask("DELETE", f"/api/certificates/{quote(serial, safe='')}", self._owner)


def granted(answer: Mapping[str, Any], key: Key) -> Granted:
    """What an answer brings. Raises NoAnswer unless it is a certificate for that key and whom it says, and its CA's."""
    try:
        leaf, ca = x509.load_pem_x509_certificates(answer["certificate"].encode())
        leaf.verify_directly_issued_by(ca)
        holder, server = certs_named.holder(leaf), str(answer.get("server") or "")
        if holder is None or [holder.tenant, holder.role, holder.name] != [answer[name] for name in NAMES]:
            raise ValueError("it is somebody else's")
        if leaf.public_key() != key.public_key():
            raise ValueError("it is for another key")
    except (KeyError, AttributeError, TypeError, ValueError, InvalidSignature) as error:
        raise NoAnswer("the server answers no certificate that can be used with the key that was asked for") from error
    chain, issuer = (b"".join(each.public_bytes(Encoding.PEM) for each in some) for some in ([leaf, ca], [ca]))
    return Granted(holder, chain, issuer, server if is_https(server) else "")


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(pem: bytes) -> Key | None:
    """None where that is no key as we make them."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1) else None


def _request(key: Key) -> str:
    """A signing request; who it is for, the server says."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
