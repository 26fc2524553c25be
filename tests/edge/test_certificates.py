from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.errors import InvalidRequest, NotAuthenticated
from shared.domain.identity import Principal, Role
from shared.edge.certificates import Certificates, Source, Verifier
from tests.certs import BAD_KINDS, NOW, TRUST_DOMAIN, CertificateFactory, Hands


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    return CertificateFactory(tmp_path_factory.mktemp("certificates"), now=NOW)


@pytest.fixture(scope="session")
def leaf(made: CertificateFactory) -> bytes:
    return made.leaf().der


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def verifier(made: CertificateFactory, clock: Hands) -> Verifier:
    return Verifier(made.ca_pem, TRUST_DOMAIN, clock)


@pytest.fixture
def header(made: CertificateFactory, clock: Hands) -> Certificates:
    return Certificates(Source.ARR, made.ca_pem, TRUST_DOMAIN, clock)


@pytest.mark.parametrize("role", Role)
def test_a_good_certificate_says_who_calls(role: Role, made: CertificateFactory, verifier: Verifier) -> None:
    leaf = made.leaf(role, "a/b@c", "acme")
    serial = format(x509.load_der_x509_certificate(leaf.der).serial_number, "x")
    expected = Principal("acme", role, "a/b@c", serial, sha256(leaf.der).hexdigest())
    assert verifier.verify(leaf.der) == expected
    assert verifier.verify(leaf.der) == expected


REASONS = {
    "foreign_ca": "no CA that is trusted",
    "self_signed": "no CA that is trusted",
    "tampered": "no CA that is trusted",
    "unknown_critical_extension": "no CA that is trusted",
    "expired": "has expired",
    "not_yet_valid": "not valid yet",
    "server_eku_only": "not made for clients",
    "no_eku": "not made for clients",
    "any_eku": "not made for clients",
    "ca_itself": "a CA's",
    "ca_as_leaf": "a CA's",
    "no_san": "no subject alternative name",
    "two_sans": "not exactly one URI",
    "dns_san": "not exactly one URI",
    "dns_and_uri": "not exactly one URI",
    "email_and_uri": "not exactly one URI",
    "two_san_extensions": "cannot be read",
    "wrong_trust_domain": "another trust domain",
    "san_wrong_tenant": "a tenant or name that we do not give",
    "san_unknown_role": "unknown role",
    "rsa_1024": "too weak",
    "ec_192": "too weak",
    "ed25519": "another kind",
    "x509_v1": "not X.509 v3",
    "unreadable_subject": "cannot be read",
    "trailing_bytes": "cannot be read",
    "malformed_der": "cannot be read",
    "no_bytes": "cannot be read",
}


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_a_bad_certificate_is_refused_for_its_own_fault(
    kind: str, made: CertificateFactory, verifier: Verifier
) -> None:
    bad = made.bad(kind)
    for _ in range(2):  # the second time from memory
        with pytest.raises(NotAuthenticated, match=REASONS.get(kind, "certificate's URI")) as caught:
            verifier.verify(bad.der)
        assert "alice" not in caught.value.detail


def test_every_bad_header_is_refused(made: CertificateFactory, header: Certificates) -> None:
    for kind, value in made.bad_headers().items():
        try:
            accepted = header.principal_from_header(value)
        except NotAuthenticated:
            continue
        pytest.fail(f"{kind} was taken for {accepted}")


def test_a_good_header_says_who_calls(made: CertificateFactory, header: Certificates) -> None:
    assert header.principal_from_header(made.leaf(Role.FRONTEND, "hub").header).name == "hub"


def test_no_header_means_that_a_certificate_is_required(header: Certificates) -> None:
    with pytest.raises(NotAuthenticated, match="required"):
        header.principal_from_header(None)


def test_a_header_of_16_kib_is_looked_at_and_a_longer_one_is_not(header: Certificates) -> None:
    with pytest.raises(NotAuthenticated, match="cannot be read"):
        header.principal_from_header("A" * 16_384)
    with pytest.raises(NotAuthenticated, match="too long"):
        header.principal_from_header("A" * 16_388)


def test_where_no_certificates_are_expected_none_is_good(made: CertificateFactory, clock: Hands) -> None:
    closed = Certificates(Source.NONE, b"", "", clock)
    with pytest.raises(NotAuthenticated, match="takes no client certificates"):
        closed.principal_from_header(made.leaf().header)


def test_the_self_host_front_uses_the_same_header(made: CertificateFactory, clock: Hands) -> None:
    front = Certificates(Source("selfhost"), made.ca_pem, TRUST_DOMAIN, clock)
    assert front.principal_from_header(made.leaf(name="bob").header).name == "bob"


def test_dates_hold_to_the_second_at_first_sight(made: CertificateFactory, clock: Hands) -> None:
    der = made.leaf(start=0, end=100).der
    for wall, valid in [(-0.1, False), (0, True), (100, True), (100.1, False)]:
        clock.wall = NOW + wall
        verifier = Verifier(made.ca_pem, TRUST_DOMAIN, clock)
        if valid:
            verifier.verify(der)
        else:
            with pytest.raises(NotAuthenticated):
                verifier.verify(der)


def test_a_bundle_of_two_cas_accepts_the_clients_of_both(
    made: CertificateFactory, verifier: Verifier, tmp_path: Path
) -> None:
    other = CertificateFactory(tmp_path, now=NOW)
    verifier.trust(other.ca_pem + made.ca_pem)
    for factory in (made, other):
        verifier.verify(factory.leaf().der)


def test_a_client_outlives_no_ca(made: CertificateFactory, clock: Hands, tmp_path: Path) -> None:
    old = CertificateFactory(tmp_path, now=NOW - 3_650 * 86_400 + 60)  # its CA ends in a minute
    der = made.leaf(end=86_400, ca=old.ca).der
    verifier = Verifier(old.ca_pem, TRUST_DOMAIN, clock)
    verifier.verify(der)
    clock.turn(61)
    with pytest.raises(NotAuthenticated, match="no CA that is trusted here, and is valid now"):
        verifier.verify(der)


@pytest.mark.parametrize("kind", ["x509_v1", "expired", "rsa_1024"])
def test_a_file_without_a_ca_is_no_trust_anchor(kind: str, made: CertificateFactory, verifier: Verifier) -> None:
    good = made.leaf().der
    with pytest.raises(ValueError, match="no CA certificate"):
        verifier.trust(made.ca_pem + made.bad(kind).certificate.read_bytes())
    verifier.verify(good)  # nothing was changed
    with pytest.raises(ValueError):
        verifier.trust(b"")


def test_a_trust_domain_that_cannot_be_one_is_refused_at_the_start(made: CertificateFactory, clock: Hands) -> None:
    with pytest.raises(InvalidRequest):
        Verifier(made.ca_pem, "Playground.local/", clock)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: b64encode(raw).decode())))
def test_no_header_makes_anything_but_a_refusal(made: CertificateFactory, value: str) -> None:
    header = Certificates(Source.ARR, made.ca_pem, TRUST_DOMAIN, Hands())
    with pytest.raises(NotAuthenticated):
        header.principal_from_header(value)


@settings(deadline=None)
@given(st.data())
def test_no_bytes_changed_in_a_good_certificate_make_it_speak_for_anybody_else(
    made: CertificateFactory, leaf: bytes, data: st.DataObject
) -> None:
    header = Certificates(Source.ARR, made.ca_pem, TRUST_DOMAIN, Hands())
    bent = bytearray(leaf)
    for _ in range(data.draw(st.integers(1, 4))):
        bent[data.draw(st.integers(0, len(bent) - 1))] ^= data.draw(st.integers(1, 255))
    good = header.principal_from_header(b64encode(leaf).decode())
    with suppress(NotAuthenticated):
        # What is signed is whole then: a signature itself can be written in more than one way.
        bent_one = header.principal_from_header(b64encode(bent).decode())
        assert replace(bent_one, digest=good.digest) == good


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_no_san_text_makes_anything_but_a_refusal(made: CertificateFactory, text: str) -> None:
    header = Certificates(Source.ARR, made.ca_pem, TRUST_DOMAIN, Hands())
    der = made.client(names=[x509.UniformResourceIdentifier(text)]).der
    with pytest.raises(NotAuthenticated):
        header.principal_from_header(b64encode(der).decode())
