"""What the verifier remembers, and for how long."""

from pathlib import Path

import pytest
from cryptography import x509

import shared.edge.certificates as certificates
from shared.domain.errors import NotAuthenticated
from shared.edge.certificates import KEEP_ACCEPTED, KEEP_REFUSED, Verifier
from tests.certs import NOW, TRUST_DOMAIN, CertificateFactory, Hands


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CertificateFactory:
    return CertificateFactory(tmp_path_factory.mktemp("certificates"), now=NOW)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def verifier(made: CertificateFactory, clock: Hands) -> Verifier:
    return Verifier(made.ca_pem, TRUST_DOMAIN, clock)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[x509.Certificate]:
    """Every certificate whose chain was checked, as often as it was."""
    seen: list[x509.Certificate] = []
    check = certificates._check_chain

    def counted(certificate: x509.Certificate, *rest: object) -> tuple[float, float]:
        seen.append(certificate)
        return check(certificate, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(certificates, "_check_chain", counted)
    return seen


def test_a_remembered_certificate_is_refused_at_once_when_it_expires(
    made: CertificateFactory, verifier: Verifier, clock: Hands, checks: list[x509.Certificate]
) -> None:
    der = made.leaf(end=60).der
    verifier.verify(der)
    clock.turn(60)
    verifier.verify(der)
    clock.turn(0.1)
    with pytest.raises(NotAuthenticated, match="expired"):
        verifier.verify(der)
    assert len(checks) == 1


def test_an_early_certificate_is_accepted_at_once_when_it_starts(
    made: CertificateFactory, verifier: Verifier, clock: Hands
) -> None:
    der = made.leaf(start=3).der
    with pytest.raises(NotAuthenticated, match="not valid yet"):
        verifier.verify(der)
    clock.turn(3)
    verifier.verify(der)


def test_a_storm_of_an_expired_certificate_checks_its_chain_once(
    made: CertificateFactory, verifier: Verifier, checks: list[x509.Certificate]
) -> None:
    der = made.bad("expired").der
    for _ in range(50):
        with pytest.raises(NotAuthenticated, match="expired"):
            verifier.verify(der)
    assert len(checks) == 1


def test_a_chain_is_checked_again_after_ten_minutes_and_not_before(
    made: CertificateFactory, verifier: Verifier, clock: Hands, checks: list[x509.Certificate]
) -> None:
    der = made.leaf().der
    verifier.verify(der)
    clock.turn(KEEP_ACCEPTED - 1)
    verifier.verify(der)
    assert len(checks) == 1
    clock.turn(1)
    verifier.verify(der)
    assert len(checks) == 2


def test_a_wall_clock_set_back_does_not_lengthen_what_is_remembered(
    made: CertificateFactory, verifier: Verifier, clock: Hands, checks: list[x509.Certificate]
) -> None:
    der = made.leaf().der
    verifier.verify(der)
    clock.turn(KEEP_ACCEPTED)
    clock.wall = NOW
    verifier.verify(der)
    assert len(checks) == 2


def test_a_storm_of_a_foreign_certificate_checks_its_chain_once_in_a_while(
    made: CertificateFactory, verifier: Verifier, clock: Hands, checks: list[x509.Certificate]
) -> None:
    der = made.bad("foreign_ca").der
    for expected in (1, 2):
        for _ in range(50):
            with pytest.raises(NotAuthenticated, match="no CA"):
                verifier.verify(der)
        assert len(checks) == expected
        clock.turn(KEEP_REFUSED)


def test_memory_is_bounded_and_forgets_what_was_used_longest_ago(
    made: CertificateFactory, clock: Hands, checks: list[x509.Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "ACCEPTED_ENTRIES", 2)
    verifier = Verifier(made.ca_pem, TRUST_DOMAIN, clock)
    first, second, third = (made.leaf(name=name).der for name in ("one", "two", "three"))
    for der in (first, second, first, third):  # third drives out second
        verifier.verify(der)
    assert len(checks) == 3
    verifier.verify(first)
    assert len(checks) == 3
    verifier.verify(second)
    assert len(checks) == 4


def test_a_storm_of_different_bad_certificates_drives_out_no_good_one(
    made: CertificateFactory, clock: Hands, checks: list[x509.Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "ACCEPTED_ENTRIES", 1)
    monkeypatch.setattr(certificates, "REFUSED_ENTRIES", 3)
    verifier = Verifier(made.ca_pem, TRUST_DOMAIN, clock)
    good = made.leaf().der
    verifier.verify(good)
    for number in range(10):
        with pytest.raises(NotAuthenticated):
            verifier.verify(b"nonsense %d" % number)
    verifier.verify(good)
    assert len(checks) == 1
    assert len(verifier._known.refused._entries) == 3


def test_another_set_of_cas_begins_with_nothing(made: CertificateFactory, verifier: Verifier, tmp_path: Path) -> None:
    other = CertificateFactory(tmp_path, now=NOW)
    ours, theirs = made.leaf().der, other.leaf().der
    verifier.verify(ours)
    with pytest.raises(NotAuthenticated):
        verifier.verify(theirs)
    verifier.trust(other.ca_pem)
    verifier.verify(theirs)
    with pytest.raises(NotAuthenticated):
        verifier.verify(ours)
