"""Nothing counts in a signing request but a key we take, and the proof that its sender has it."""

import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from shared.edge.signing_requests import public_key

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])


def request(key: object = KEY, algorithm: hashes.HashAlgorithm | None = hashes.SHA256()) -> str:  # noqa: B008
    builder = x509.CertificateSigningRequestBuilder().subject_name(NAME)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://x/tenant/t/admin/root")])
    signed = builder.add_extension(names, critical=True).sign(key, algorithm)  # type: ignore[arg-type]
    return signed.public_bytes(Encoding.PEM).decode()


def refused(pem: object) -> str:
    with pytest.raises(PydanticCustomError) as told:
        public_key(pem)
    return str(told.value)


# Keys are made when they are wanted: whoever only collects tests would wait for them, too.
@pytest.mark.parametrize(
    "made", [lambda: KEY, lambda: rsa.generate_private_key(65537, 3072)], ids=["P-256", "RSA 3072"]
)
def test_the_key_is_taken_and_the_names_are_not(made: Callable[[], object]):
    key = made()
    der = public_key(request(key))
    assert load_der_public_key(der) == key.public_key()  # type: ignore[attr-defined]
    assert b"root" not in der


def test_blanks_around_it_and_either_kind_of_line_end_are_taken():
    assert public_key(f"\n{request()}\n\n") == public_key(request().replace("\n", "\r\n")) == public_key(request())


@pytest.mark.parametrize(
    "made",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.SECP224R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: rsa.generate_private_key(3, 3072),
        lambda: dsa.generate_private_key(2048),
    ],
    ids=["P-384", "secp256k1", "P-224", "RSA 2048", "RSA e=3", "DSA"],
)
def test_no_other_key_is_taken(made: Callable[[], object]):
    assert "must be EC P-256, or RSA" in refused(request(made()))


def test_an_edwards_key_is_not_taken():
    assert "must be EC P-256, or RSA" in refused(request(ed25519.Ed25519PrivateKey.generate(), None))


def test_who_does_not_have_the_key_gets_no_certificate_for_it():
    genuine = x509.load_pem_x509_csr(request().encode())
    der = bytearray(genuine.public_bytes(Encoding.DER))
    theirs = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        Encoding.X962, PublicFormat.UncompressedPoint
    )  # fmt: skip
    mine = KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    at = der.index(mine)
    der[at : at + len(mine)] = theirs
    swapped = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    assert "is not signed with the key" in refused(swapped)


@pytest.mark.parametrize("algorithm", [hashes.SHA384(), hashes.SHA512()])
def test_stronger_hashes_are_taken(algorithm: hashes.HashAlgorithm):
    assert public_key(request(KEY, algorithm)) == public_key(request())


def test_a_signature_over_an_old_hash_is_refused():
    key = rsa.generate_private_key(65537, 3072)
    pem = x509.load_pem_x509_csr(request(key).encode())
    weak = key.sign(pem.tbs_certrequest_bytes, padding.PKCS1v15(), hashes.MD5())
    der = pem.public_bytes(Encoding.DER).replace(pem.signature, weak)
    sha256, md5 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010104")
    swapped = x509.load_der_x509_csr(der.replace(sha256, md5)).public_bytes(Encoding.PEM).decode()
    assert "is not signed with the key" in refused(swapped)


@pytest.mark.parametrize(
    "pem",
    [
        None, 1, b"x", [], {}, "", "x", request() + request(), "x" + request(), request() + "x", request()[:-30],
        request().replace("A", "B", 1).replace("MI", "MJ", 1), "A" * 20_000, request() + " " * 20_000,
        request().replace("CERTIFICATE REQUEST", "CERTIFICATE"), request().replace("BEGIN", "START"),
        "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----",
        "-----BEGIN CERTIFICATE REQUEST-----\né\n-----END CERTIFICATE REQUEST-----",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(pem: object):
    assert "must be" in refused(pem) or "cannot be read" in refused(pem)


def test_a_certificate_is_no_request():
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now.replace(year=2030))
    pem = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    assert "must be one PEM" in refused(pem)
    assert "cannot be read" in refused(pem.replace("CERTIFICATE", "CERTIFICATE REQUEST"))


DER = x509.load_pem_x509_csr(request().encode()).public_bytes(Encoding.DER)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(DER) - 1), st.binary(min_size=1, max_size=4))
def test_whatever_bytes_are_changed_it_is_the_same_key_or_refused(at: int, other: bytes):
    import base64

    changed = DER[:at] + other + DER[at + len(other) :]
    body = base64.encodebytes(changed).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----"
    try:
        der = public_key(pem)
    except PydanticCustomError:
        return
    assert changed == DER and der == public_key(request())


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_whatever_text_comes_is_refused_and_nothing_breaks(text: str):
    refused(text)
    refused(f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----")
