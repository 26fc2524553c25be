"""What a CA of ours is refused for: its files, its certificate, its key."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from selfhost.certs import make_authority
from shared.adapters.authority import KeyAuthority, read_certificate, read_key
from shared.domain.errors import InvalidRequest
from tests.certs import TRUST_DOMAIN

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CA = make_authority(NOW)
CA_PEM = CA.certificate.public_bytes(Encoding.PEM)
KEY = ec.generate_private_key(ec.SECP256R1())
USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
          "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
MAY_ALL = ("key_cert_sign", "crl_sign")


def certificate(
    *, may: tuple[str, ...] | None = MAY_ALL, ca: bool | None = True, identifier: bool = True
) -> x509.Certificate:
    """A certificate of KEY, signed by itself; None leaves an extension out."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "some CA")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1, NOW, NOW + timedelta(days=1))
    if may is not None:
        builder = builder.add_extension(x509.KeyUsage(**{use: use in may for use in USAGES}), critical=True)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if identifier:
        own = x509.SubjectKeyIdentifier.from_public_key(KEY.public_key())
        builder = builder.add_extension(own, critical=False)
    return builder.sign(KEY, hashes.SHA256())


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


# The certificate, and its key


async def test_a_certificate_that_may_sign_both_is_a_ca_of_ours() -> None:
    authority = KeyAuthority(certificate(), KEY, TRUST_DOMAIN)
    assert authority.until == (NOW + timedelta(days=1)).timestamp()
    await authority.close()


async def test_a_key_is_closed_with_its_ca() -> None:
    closed = list[str]()
    authority = KeyAuthority(certificate(), KEY, TRUST_DOMAIN, lambda: closed.append("the key"))
    assert closed == []
    await authority.close()
    assert closed == ["the key"]


def test_a_key_that_is_not_the_certificate_s_is_refused() -> None:
    with pytest.raises(ValueError, match="not that of the CA's certificate"):
        KeyAuthority(CA.certificate, KEY, TRUST_DOMAIN)


NO_CAS = {
    "it may sign no certificates": certificate(may=("crl_sign",)),
    "it may sign no lists": certificate(may=("key_cert_sign",)),
    "it does not say what it may": certificate(may=None),
    "it says that it is no ca": certificate(ca=False),
    "it does not say whether it is a ca": certificate(ca=None),
    "it has no key identifier": certificate(identifier=False),
}


@pytest.mark.parametrize("why", NO_CAS)
def test_a_certificate_is_refused_if(why: str) -> None:
    with pytest.raises(ValueError, match="no CA's that may sign certificates and lists"):
        KeyAuthority(NO_CAS[why], KEY, TRUST_DOMAIN)


def test_a_trust_domain_that_no_name_can_have_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="trust domain"):
        KeyAuthority(certificate(), KEY, "Not A Domain")


# Their files


def test_a_file_with_one_certificate_is_read() -> None:
    assert read_certificate(CA_PEM) == CA.certificate


@pytest.mark.parametrize("content", [CA_PEM * 2, b"", b"nonsense", pem(KEY), CA_PEM[:200]], ids=range(5))
def test_a_file_with_any_other_number_of_certificates_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not exactly one certificate"):
        read_certificate(content)


@pytest.mark.parametrize("key", [KEY, rsa.generate_private_key(65537, 2048)], ids=["ec", "rsa"])
def test_a_file_with_a_key_is_read(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    assert read_key(pem(key)).public_key() == key.public_key()


NO_KEYS = {
    "encrypted": pem(KEY, BestAvailableEncryption(b"hunter2")),
    "of another kind": pem(ed25519.Ed25519PrivateKey.generate()),
    "a certificate": CA_PEM,
    "cut off": pem(KEY)[:120],
    "empty": b"",
}


@pytest.mark.parametrize("what", NO_KEYS)
def test_a_file_whose_key_cannot_be_used_is_refused_and_not_repeated(what: str) -> None:
    content = NO_KEYS[what]
    with pytest.raises(ValueError, match="no private key that can be used") as caught:
        read_key(content)
    assert not [line for line in content.decode().splitlines() if line in str(caught.value)]
