"""Certificates for tests: good ones of any principal, and every bad kind by its name."""

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from selfhost.certs import Pair, make_authority
from shared.domain.identity import Principal, Role

TRUST_DOMAIN = "playground.local"
TENANT = "default"
NOW = 1_800_000_000.0  # where a clock that a test turns begins
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH

# URIs that must not be taken for tenant `default`'s user `alice`, nor for anybody else.
BAD_URIS = {
    "encoded_unreserved": "spiffe://playground.local/tenant/default/user/%61lice",
    "lower_case_hex": "spiffe://playground.local/tenant/default/user/a%2fb",
    "unencoded_reserved": "spiffe://playground.local/tenant/default/user/alice@example.com",
    "encoded_twice": "spiffe://playground.local/tenant/default/user/a%252Fb",
    "broken_percent": "spiffe://playground.local/tenant/default/user/alice%",
    "encoded_nul": "spiffe://playground.local/tenant/default/user/alice%00",
    "encoded_not_utf8": "spiffe://playground.local/tenant/default/user/%FF",
    "encoded_space": "spiffe://playground.local/tenant/default/user/a%20b",
    "double_slash": "spiffe://playground.local//tenant/default/user/alice",
    "dot_segment": "spiffe://playground.local/tenant/default/user/..",
    "inner_dot_segment": "spiffe://playground.local/tenant/default/./user/alice",
    "encoded_dot_segment": "spiffe://playground.local/tenant/default/user/%2E%2E",
    "empty_name": "spiffe://playground.local/tenant/default/user/",
    "no_name": "spiffe://playground.local/tenant/default/user",
    "trailing_slash": "spiffe://playground.local/tenant/default/user/alice/",
    "scheme_case": "SPIFFE://playground.local/tenant/default/user/alice",
    "other_scheme": "https://playground.local/tenant/default/user/alice",
    "query": "spiffe://playground.local/tenant/default/user/alice?role=admin",
    "fragment": "spiffe://playground.local/tenant/default/user/alice#admin",
    "userinfo": "spiffe://root@playground.local/tenant/default/user/alice",
    "port": "spiffe://playground.local:443/tenant/default/user/alice",
    "trust_domain_case": "spiffe://Playground.local/tenant/default/user/alice",
    "empty_trust_domain": "spiffe:///tenant/default/user/alice",
    "newline": "spiffe://playground.local/tenant/default/user/alice\n",
    "name_too_long": "spiffe://playground.local/tenant/default/user/" + "a" * 129,
    "tenant_word_case": "spiffe://playground.local/Tenant/default/user/alice",
    "wrong_tenant": "spiffe://playground.local/tenant/Default/user/alice",
    "unknown_role": "spiffe://playground.local/tenant/default/root/alice",
    "role_case": "spiffe://playground.local/tenant/default/User/alice",
    "empty": "",
}
BAD_KINDS = (
    *("foreign_ca", "self_signed", "tampered", "expired", "not_yet_valid", "server_eku_only", "no_eku", "any_eku"),
    *("ca_itself", "ca_as_leaf", "no_san", "two_sans", "two_san_extensions", "dns_san", "dns_and_uri", "email_and_uri"),
    *("wrong_trust_domain", "rsa_1024", "ec_192", "ed25519", "x509_v1"),
    *("unknown_critical_extension", "unreadable_subject", "trailing_bytes", "malformed_der", "no_bytes"),
    *(f"san_{kind}" for kind in BAD_URIS),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate as DER and as PEM files; `key` is the file of its private key."""

    der: bytes
    certificate: Path
    key: Path

    @property
    def header(self) -> str:
        """As the value of X-ARR-ClientCert."""
        return b64encode(self.der).decode()


@dataclass
class Hands:
    """A clock that the test turns."""

    wall: float = NOW
    tick: float = 5.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.tick

    def turn(self, seconds: float) -> None:
        self.wall += seconds
        self.tick += seconds


class CertificateFactory:
    """A CA, what it issued, and what nobody should accept. `now` is the middle of what is valid."""

    def __init__(self, folder: Path, now: float | None = None):
        self.folder = folder
        self.now = datetime.now(UTC) if now is None else datetime.fromtimestamp(now, UTC)
        self._count = 0

    @cached_property
    def ca(self) -> Pair:
        return make_authority(self.now)

    @cached_property
    def foreign_ca(self) -> Pair:
        return make_authority(self.now)

    @property
    def ca_pem(self) -> bytes:
        return self.ca.certificate.public_bytes(Encoding.PEM)

    @cached_property
    def ca_file(self) -> Path:
        file = self.folder / "ca.crt"
        file.write_bytes(self.ca_pem)
        return file

    def leaf(
        self,
        role: Role | str = Role.USER,
        name: str = "alice",
        tenant: str = TENANT,
        *,
        start: float = -300,
        end: float = 86_400,
        ca: Pair | None = None,
        trust_domain: str = TRUST_DOMAIN,
    ) -> Made:
        """A good client certificate; `start` and `end` are seconds from `now`."""
        uri = Principal(tenant, Role(role), name).uri(trust_domain)
        return self.client(names=[x509.UniformResourceIdentifier(uri)], start=start, end=end, ca=ca)

    def server(self, *names: str, ca: Pair | None = None) -> Made:
        """A good server certificate for DNS names."""
        return self.client(names=map(x509.DNSName, names or ("localhost",)), uses=[SERVER], ca=ca)

    def bad(self, kind: str) -> Made:
        """One of BAD_KINDS."""
        if kind.removeprefix("san_") in BAD_URIS:
            return self.client(names=[x509.UniformResourceIdentifier(BAD_URIS[kind.removeprefix("san_")])])
        match kind:
            case "foreign_ca":
                return self.leaf(ca=self.foreign_ca)
            case "self_signed":
                key = ec.generate_private_key(ec.SECP256R1())
                return self.client(ca=Pair(self.ca.certificate, key), key=key)
            case "tampered":  # the name changed after it was signed
                good = self.leaf(name="alice")
                return self._made(good.der.replace(b"/user/alice", b"/user/malin"), good.key.read_bytes())
            case "expired":
                return self.leaf(start=-86_400, end=-60)
            case "not_yet_valid":
                return self.leaf(start=60)
            case "server_eku_only":
                return self.client(uses=[SERVER])
            case "no_eku":
                return self.client(uses=[])
            case "any_eku":
                return self.client(uses=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
            case "ca_itself":
                return self._stored(self.ca.certificate.public_bytes(Encoding.DER), self.ca.key)
            case "ca_as_leaf":
                return self.client(is_ca=True)
            case "no_san":
                return self.client(names=[])
            case "two_sans":
                return self.client(names=[_uri(), _uri("bob")])
            case "two_san_extensions":
                twin = x509.SubjectAlternativeName([_uri("bob")]).public_bytes()
                extra = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), twin)
                return self._bent(self.client(extra=extra), b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x11")
            case "dns_san":
                return self.client(names=[x509.DNSName("alice")])
            case "dns_and_uri":
                return self.client(names=[_uri(), x509.DNSName("alice")])
            case "email_and_uri":
                return self.client(names=[_uri(), x509.RFC822Name("bob@example.com")])
            case "wrong_trust_domain":
                return self.leaf(trust_domain="elsewhere.example")
            case "rsa_1024":
                return self.client(key=rsa.generate_private_key(65537, 1024))
            case "ec_192":
                return self.client(key=ec.generate_private_key(ec.SECP192R1()))
            case "ed25519":
                return self.client(key=ed25519.Ed25519PrivateKey.generate())
            case "x509_v1":
                return self._v1()
            case "unknown_critical_extension":
                return self.client(extra=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"))
            case "unreadable_subject":
                return self._bent(self.leaf(), b"\x0c\x05alice", b"\x0c\x05\xff\xff\xff\xff\xff")
            case "trailing_bytes":
                return self._made(self.leaf().der + b"\0", b"")
            case "malformed_der":
                return self._made(self.leaf().der[:200], b"")
            case "no_bytes":
                return self._made(b"", b"")
        raise KeyError(kind)

    def bad_headers(self) -> dict[str, str]:
        """Values of X-ARR-ClientCert that must be refused, by kind: all of BAD_KINDS and bad base64."""
        good = self.leaf().header
        return {kind: self.bad(kind).header for kind in BAD_KINDS} | {
            "base64_with_newline": good + "\n",
            "base64_with_space_inside": f"{good[:64]} {good[64:]}",
            "base64_url_safe": "-_-_",
            "base64_not_padded": good.rstrip("=") + "A",
            "base64_too_much_padding": good.rstrip("=") + "====",
            "two_headers": f"{good}, {good}",
            "pem": self.leaf().certificate.read_text(),
            "not_ascii": "é" + good,
            "too_long": "A" * 16_388,
            "empty": "",
        }

    def client(
        self,
        *,
        names: Iterable[x509.GeneralName] | None = None,
        uses: list[x509.ObjectIdentifier] | None = None,
        start: float = -300,
        end: float = 86_400,
        ca: Pair | None = None,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
        is_ca: bool = False,
        extra: x509.UnrecognizedExtension | None = None,
    ) -> Made:
        """A certificate that is a good client's where no argument says otherwise."""
        ca, key = ca or self.ca, key or ec.generate_private_key(ec.SECP256R1())
        builder = self._unsigned(ca, key, start, end)
        ca_id = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id)
        builder = builder.add_extension(authority_id, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        if uses := [CLIENT] if uses is None else uses:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names := [_uri()] if names is None else list(names):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if extra:
            builder = builder.add_extension(extra, critical=True)
        return self._stored(builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER), key)

    def _unsigned(self, ca: Pair, key: object, start: float, end: float) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")]))
            .issuer_name(ca.certificate.subject)
            .public_key(key.public_key())  # type: ignore[attr-defined]
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + timedelta(seconds=start))
            .not_valid_after(self.now + timedelta(seconds=end))
        )

    def _bent(self, good: Made, old: bytes, new: bytes) -> Made:
        """`good` with some bytes replaced, and signed anew: what no builder would build."""
        tbs = x509.load_der_x509_certificate(good.der).tbs_certificate_bytes
        assert old in tbs
        return self._made(self._signed(tbs.replace(old, new)), good.key.read_bytes())

    def _v1(self) -> Made:
        key = ec.generate_private_key(ec.SECP256R1())
        tbs = self._unsigned(self.ca, key, -300, 86_400).sign(self.ca.key, hashes.SHA256()).tbs_certificate_bytes
        version = bytes.fromhex("a003020102")
        assert version in tbs[:9]
        return self._stored(self._signed(_sequence(tbs[tbs.index(version) + len(version) :])), key)

    def _signed(self, tbs: bytes) -> bytes:
        assert isinstance(self.ca.key, ec.EllipticCurvePrivateKey)
        signature = b"\0" + self.ca.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        ecdsa_with_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
        return _sequence(tbs + ecdsa_with_sha256 + bytes([3, len(signature)]) + signature)

    def _stored(self, der: bytes, key: object) -> Made:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined]
        return self._made(der, pem)

    def _made(self, der: bytes, key: bytes) -> Made:
        self._count += 1
        made = Made(der, self.folder / f"{self._count}.crt", self.folder / f"{self._count}.key")
        made.key.write_bytes(key)
        body = b64encode(der).decode()
        made.certificate.write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        return made


def _uri(name: str = "alice") -> x509.UniformResourceIdentifier:
    return x509.UniformResourceIdentifier(Principal(TENANT, Role.USER, name).uri(TRUST_DOMAIN))


def _sequence(content: bytes) -> bytes:
    size = len(content)
    return (bytes([0x30, 0x81, size]) if 128 <= size < 256 else b"\x30\x82" + size.to_bytes(2)) + content
