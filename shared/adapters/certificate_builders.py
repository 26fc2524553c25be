"""Certificates as they are before their CA signs them: for a CA, a server, a client; and a revocation list.

Every one has what Python 3.13's VERIFY_X509_STRICT asks for (RFC 5280 §4.2: key identifiers,
basicConstraints, keyUsage).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EARLY = timedelta(minutes=5)  # by so much may the clocks of two machines differ

type PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


def authority(key: PublicKey, begins: datetime, until: datetime) -> x509.CertificateBuilder:
    """A CA that is to sign itself and may issue leaves only."""
    # A name of its own: two CAs in one bundle (a rotation) are never taken for each other.
    name = _subject((NameOID.COMMON_NAME, f"Playground CA {x509.random_serial_number():x}"[:24]))
    own_id = x509.SubjectKeyIdentifier.from_public_key(key)
    serial = x509.random_serial_number()
    return _unsigned(name, name, key, own_id, serial, begins, until, x509.BasicConstraints(True, 0))


def server(
    issuer: x509.Certificate, key: PublicKey, hosts: Sequence[x509.GeneralName], begins: datetime, until: datetime
) -> x509.CertificateBuilder:
    """A server's. Raises ValueError if the issuer has no key identifier."""
    subject = _subject((NameOID.ORGANIZATION_NAME, "Playground"), (NameOID.COMMON_NAME, str(hosts[0].value)))
    serial = x509.random_serial_number()
    return _leaf(issuer, key, subject, hosts, ExtendedKeyUsageOID.SERVER_AUTH, serial, begins, until)


def client(
    issuer: x509.Certificate,
    key: PublicKey,
    uri: str,
    names: tuple[str, str, str],
    serial: int,
    begins: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    """A client's; `names` are tenant, role and name, for people: the URI alone says who it is.

    Raises ValueError if the issuer has no key identifier.
    """
    tenant, role, name = names
    subject = _subject(
        (NameOID.ORGANIZATION_NAME, tenant), (NameOID.ORGANIZATIONAL_UNIT_NAME, role), (NameOID.COMMON_NAME, name)
    )
    sans = [x509.UniformResourceIdentifier(uri)]
    return _leaf(issuer, key, subject, sans, ExtendedKeyUsageOID.CLIENT_AUTH, serial, begins, until)


def revocation_list(
    issuer: x509.Certificate, number: int, now: datetime, until: datetime
) -> x509.CertificateRevocationListBuilder:
    """A list that is still empty (RFC 5280 §5). Raises ValueError if the issuer has no key identifier."""
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now)
        .next_update(until)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(_id(issuer)), critical=False)
    )


def _leaf(
    issuer: x509.Certificate,
    key: PublicKey,
    subject: x509.Name,
    names: Sequence[x509.GeneralName],
    use: x509.ObjectIdentifier,
    serial: int,
    begins: datetime,
    until: datetime,
) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(False, None)
    builder = _unsigned(subject, issuer.subject, key, _id(issuer), serial, begins, until, constraints)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    return builder.add_extension(x509.SubjectAlternativeName(names), critical=False)


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: PublicKey,
    issuer_id: x509.SubjectKeyIdentifier,
    serial: int,
    begins: datetime,
    until: datetime,
    constraints: x509.BasicConstraints,
) -> x509.CertificateBuilder:
    """What a CA and a leaf have in common."""
    usage = x509.KeyUsage(
        digital_signature=not constraints.ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=constraints.ca,
        crl_sign=constraints.ca,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(begins)
        .not_valid_after(until)
        .add_extension(constraints, critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False)
    )


def _id(issuer: x509.Certificate) -> x509.SubjectKeyIdentifier:
    try:
        return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound as error:
        raise ValueError("the CA has no key identifier; Python would refuse what it issues") from error


def _subject(*parts: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts if len(text) <= 64])  # X.520's bound
