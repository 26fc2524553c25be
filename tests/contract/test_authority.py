"""What a CA promises wherever its key is: one suite for a key in a file and one in Key Vault."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from selfhost.certs import Pair
from shared.adapters import certificate_builders as builders
from shared.adapters.authority import Key, KeyAuthority, read_certificate, read_key
from shared.adapters.authority_keyvault import open_key
from shared.domain.errors import AuthorityUnavailable, InvalidRequest, NotAuthenticated
from shared.domain.holders import Issued
from shared.domain.identity import Principal, Role
from shared.edge.certificates import Verifier
from shared.ports.clock import SystemClock
from tests.certs import TRUST_DOMAIN, CertificateFactory, Made
from tests.doubles.key_vault import KeyVault, rsa_key

NOW = float(int(time.time()))  # TLS and openssl have the machine's clock
ALICE = Principal("default", Role.USER, "alice")
HOLDER = ec.generate_private_key(ec.SECP256R1())


@dataclass
class World:
    """A CA, and its certificate."""

    authority: KeyAuthority
    ca: x509.Certificate

    async def issue(self, issued: Issued, principal: Principal = ALICE, key: Key = HOLDER) -> x509.Certificate:
        return x509.load_pem_x509_certificate((await self.authority.issue(principal, issued, public(key))).encode())


@asynccontextmanager
async def file_world(folder: Path, key: Key | None = None) -> AsyncIterator[World]:
    pair = CertificateFactory(folder).ca if key is None else Pair(ca_of(key), key)
    pem = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    read = read_certificate(pair.certificate.public_bytes(Encoding.PEM))
    yield World(KeyAuthority(read, read_key(pem), TRUST_DOMAIN), pair.certificate)


@asynccontextmanager
async def vault_world(folder: Path) -> AsyncIterator[World]:
    async with KeyVault.running(folder) as vault:
        key, close = await asyncio.to_thread(open_key, vault.url, vault.identity)
        ca = await asyncio.to_thread(ca_of, key)
        yield World(KeyAuthority(ca, key, TRUST_DOMAIN, close), ca)


def ca_of(key: Key) -> x509.Certificate:
    now = datetime.fromtimestamp(NOW, UTC)
    return builders.authority(key.public_key(), now - builders.EARLY, now + timedelta(days=9)).sign(
        key, hashes.SHA256()
    )


WORLDS: dict[str, Callable[[Path], AbstractAsyncContextManager[World]]] = {
    "file-ec": file_world,
    "file-rsa": lambda folder: file_world(folder, rsa_key()),
    "vault": vault_world,
}


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name == "file-rsa")) for name in WORLDS])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with WORLDS[request.param](tmp_path) as opened:
        yield opened
        await opened.authority.close()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    """Another CA, with servers."""
    return CertificateFactory(tmp_path_factory.mktemp("other"))


def public(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def to_issue(serial: int = 0x5EA1, **changes: object) -> Issued:
    return replace(Issued(f"{serial:x}", Role.USER, NOW - 300, NOW + 86_400), **changes)  # type: ignore[arg-type]


# What is issued


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", ["alice", "a/b@c=d?", "x" * 128])
async def test_what_is_issued_names_exactly_its_principal(world: World, role: Role, name: str) -> None:
    principal = Principal("acme", role, name)
    leaf = await world.issue(to_issue(), principal)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(principal.uri(TRUST_DOMAIN))]
    der = leaf.public_bytes(Encoding.DER)
    found = Verifier(world.ca.public_bytes(Encoding.PEM), TRUST_DOMAIN, SystemClock()).verify(der)
    assert found == replace(principal, serial="5ea1", digest=sha256(der).hexdigest())
    assert (found.begins, found.until) == (NOW - 300, NOW + 86_400)


async def test_nobody_takes_it_who_trusts_another_ca_or_trust_domain(world: World, other: CertificateFactory) -> None:
    der = (await world.issue(to_issue())).public_bytes(Encoding.DER)
    for ca, trust_domain in ((other.ca.certificate, TRUST_DOMAIN), (world.ca, "elsewhere.example")):
        with pytest.raises(NotAuthenticated):
            Verifier(ca.public_bytes(Encoding.PEM), trust_domain, SystemClock()).verify(der)


@pytest.mark.parametrize("serial", [1, 2**159 - 1])
async def test_it_has_the_serial_and_the_dates_that_were_asked_for(world: World, serial: int) -> None:
    leaf = await world.issue(to_issue(serial, begins=NOW + 7.9, until=NOW + 60.2))
    assert leaf.serial_number == serial
    assert (leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()) == (NOW + 7, NOW + 60)


HOLDERS = {"p256": HOLDER, "p384": ec.generate_private_key(ec.SECP384R1()), "rsa": None}


@pytest.mark.parametrize("kind", HOLDERS)
async def test_it_is_for_the_key_that_was_given_and_no_ca(world: World, kind: str) -> None:
    key = HOLDERS[kind] or rsa_key(2048)
    leaf = await world.issue(to_issue(), key=key)
    assert leaf.public_key() == key.public_key()
    found = {type(each.value): each.value for each in leaf.extensions}
    assert found[x509.BasicConstraints] == x509.BasicConstraints(ca=False, path_length=None)
    assert found[x509.ExtendedKeyUsage] == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    usage = found[x509.KeyUsage]
    assert isinstance(usage, x509.KeyUsage)
    assert usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign


async def test_a_chain_is_the_certificate_and_its_ca_in_that_order(world: World) -> None:
    chain = await world.authority.issue(ALICE, to_issue(), public(HOLDER))
    leaf, ca = x509.load_pem_x509_certificates(chain.encode())
    assert ca == world.ca
    leaf.verify_directly_issued_by(ca)
    assert world.authority.until == ca.not_valid_after_utc.timestamp()


async def test_strict_tls_takes_it_from_its_ca_and_from_no_other(
    world: World, other: CertificateFactory, tmp_path: Path
) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "holder.key"
    chain.write_text(await world.authority.issue(ALICE, to_issue(), public(HOLDER)))
    key.write_bytes(HOLDER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    calling = ssl.create_default_context(cadata=other.ca_pem.decode())
    calling.load_cert_chain(chain, key)
    leaf = x509.load_pem_x509_certificate(chain.read_bytes())
    assert shaken(other.server(), world.ca, calling) == leaf.public_bytes(Encoding.DER)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(other.server(), other.foreign_ca.certificate, calling)


def shaken(mine: Made, ca: x509.Certificate, calling: ssl.SSLContext) -> bytes | None:
    """The certificate (DER) that a server which trusts `ca` alone takes from a client, in memory."""
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca.public_bytes(Encoding.PEM).decode())
    listening.load_cert_chain(mine.certificate, mine.key)
    listening.verify_mode = ssl.CERT_REQUIRED
    for context in (listening, calling):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = calling.wrap_bio(back, there, server_hostname="localhost")
    server = listening.wrap_bio(there, back, server_side=True)
    for end in (client, server, client, server):  # TLS 1.3: the client's last flight ends it
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return server.getpeercert(binary_form=True)


async def test_who_cannot_be_named_is_issued_nothing(world: World) -> None:
    with pytest.raises(InvalidRequest):
        await world.issue(to_issue(), Principal("default", Role.USER, "not a name"))


# What is revoked


async def test_a_list_says_what_is_revoked_and_since_when(world: World, other: CertificateFactory) -> None:
    ended = [to_issue(0xA1, revoked_at=NOW - 60.5), to_issue(2**159 - 1, revoked_at=NOW - 5)]
    der = await world.authority.revocation_list([*ended, to_issue(0xB2)], 7, NOW, NOW + 3600)
    found = x509.load_der_x509_crl(der)
    assert found.is_signature_valid(world.ca.public_key())
    assert not found.is_signature_valid(other.ca.certificate.public_key())
    assert found.issuer == world.ca.subject
    dates = {each.serial_number: each.revocation_date_utc.timestamp() for each in found}
    assert dates == {0xA1: NOW - 61, 2**159 - 1: NOW - 5}
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert found.next_update_utc is not None
    assert (found.last_update_utc.timestamp(), found.next_update_utc.timestamp()) == (NOW, NOW + 3600)


async def test_openssl_refuses_what_a_list_says_and_takes_another(world: World, tmp_path: Path) -> None:
    good, bad = await world.issue(to_issue(0x600D)), await world.issue(to_issue(0xBAD))
    der = await world.authority.revocation_list([to_issue(0xBAD, revoked_at=NOW - 1)], 1, NOW - 1, NOW + 3600)
    files = {"ca": world.ca, "good": good, "bad": bad, "list": x509.load_der_x509_crl(der)}
    for name, content in files.items():
        (tmp_path / f"{name}.pem").write_bytes(content.public_bytes(Encoding.PEM))
    assert await verified(tmp_path, "good") == (0, "good.pem: OK")
    code, said = await verified(tmp_path, "bad")
    assert code == 2
    assert "certificate revoked" in said


async def verified(folder: Path, name: str) -> tuple[int | None, str]:
    """What openssl says of a certificate, and its exit code."""
    options = ("-x509_strict", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "list.pem")
    openssl = await asyncio.create_subprocess_exec(
        "openssl", "verify", *options, f"{name}.pem",
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await openssl.communicate()
    return openssl.returncode, said.decode().strip()


# Many at once, and the end


async def test_many_sign_at_once_and_each_gets_its_own(world: World) -> None:
    lists = [world.authority.revocation_list([], n, NOW, NOW + 60) for n in range(4)]
    leaves = [world.issue(to_issue(n), replace(ALICE, name=f"user-{n}")) for n in range(1, 13)]
    found, numbered = await asyncio.gather(asyncio.gather(*leaves), asyncio.gather(*lists))
    for n, leaf in enumerate(found, start=1):
        leaf.verify_directly_issued_by(world.ca)
        (name,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert (leaf.serial_number, name.value) == (n, replace(ALICE, name=f"user-{n}").uri(TRUST_DOMAIN))
    for n, der in enumerate(numbered):
        assert x509.load_der_x509_crl(der).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == n


async def test_after_its_end_nothing_is_signed(world: World) -> None:
    await world.authority.close()
    with pytest.raises(AuthorityUnavailable):
        await world.issue(to_issue())
    with pytest.raises(AuthorityUnavailable):
        await world.authority.revocation_list([], 1, NOW, NOW + 60)
    await world.authority.close()
