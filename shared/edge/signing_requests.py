"""Certificate signing requests: what is taken from one is its public key, and proof that its sender has the other."""

from typing import Annotated

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

BEGIN, END = "-----BEGIN CERTIFICATE REQUEST-----", "-----END CERTIFICATE REQUEST-----"
LONGEST = 16 * 1024  # characters
RSA_LEAST, RSA_MOST = 3072, 8192  # bits (NIST SP 800-57 part 1: 128 bits of security, as P-256 has); more is slow
EXPONENT = 65537


def public_key(pem: object) -> bytes:
    """The key (DER, SubjectPublicKeyInfo) of the one request in `pem`; the names it asks for are ignored.

    Raises PydanticCustomError for what is no request, not signed with its key, or of a key we do not take.
    """
    if not isinstance(pem, str):
        raise PydanticCustomError("csr", "must be a string: a certificate signing request as PEM")
    text = pem.strip()
    once = (text.count("-----BEGIN"), text.count("-----END")) == (1, 1)
    if len(pem) > LONGEST or not once or not text.startswith(BEGIN) or not text.endswith(END):
        raise PydanticCustomError("csr", "must be one PEM certificate signing request, and nothing else")
    try:
        request = x509.load_pem_x509_csr(text.encode("ascii"))
        key = request.public_key()
    except Exception:  # strangers write these bytes, and the parser has a dozen ways to say no
        raise PydanticCustomError("csr", "cannot be read as a certificate signing request") from None
    if not _taken(key):
        raise PydanticCustomError("csr", "its key must be EC P-256, or RSA of 3072 to 8192 bits with exponent 65537")
    try:
        signed = request.is_signature_valid
    except Exception:  # signed by an algorithm that is not supported
        signed = False
    if not signed:
        raise PydanticCustomError("csr", "is not signed with the key that it is for")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _taken(key: object) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1)
    return (
        isinstance(key, rsa.RSAPublicKey)
        and RSA_LEAST <= key.key_size <= RSA_MOST
        and key.public_numbers().e == EXPONENT
    )


_PEM = {"type": "string", "format": "pem", "maxLength": LONGEST, "pattern": rf"^\s*{BEGIN}[\s\S]*{END}\s*$"}

PublicKey = Annotated[bytes, BeforeValidator(public_key), WithJsonSchema(_PEM)]
