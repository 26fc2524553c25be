import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost import certs
from selfhost.certs import CertificateProblem, Kept, KeyStore, folder_name, make_authority, make_client, make_server
from shared.domain.errors import InvalidRequest
from shared.domain.identity import Principal, Role
from shared.edge.certificates import Verifier
from shared.ports.clock import SystemClock
from tests.certs import TRUST_DOMAIN
from tests.domain.test_identity import names, tenants

ALICE = Principal("default", Role.USER, "alice")
DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path, now: datetime) -> KeyStore:
    store = KeyStore(tmp_path / "key_store")
    store.init(now)
    return store


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def issue(store: KeyStore, principal: Principal = ALICE, days: int = 90) -> Kept:
    return store.issue(principal, TRUST_DOMAIN, datetime.now(UTC), days)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_files_lie_where_the_documents_say(store: KeyStore, now: datetime) -> None:
    store.server(["localhost"], now)
    issue(store)
    found = {str(file.relative_to(store.folder)) for file in store.folder.rglob("*") if file.is_file()}
    assert found == {f"{name}/{name}.{end}" for name in ("ca", "server", "alice") for end in ("key", "crt")}


def test_what_is_issued_is_accepted_by_the_edge(store: KeyStore) -> None:
    verifier = Verifier((store.folder / "ca/ca.crt").read_bytes(), TRUST_DOMAIN, SystemClock())
    for role in Role:
        kept = issue(store, Principal("acme", role, f"{role}/1@x"))
        principal = verifier.verify(kept.certificate.public_bytes(Encoding.DER))
        assert (principal.tenant, principal.role, principal.name) == ("acme", role, f"{role}/1@x")


def test_keys_are_private_under_any_umask(tmp_path: Path, now: datetime, open_umask: None) -> None:
    store = KeyStore(tmp_path / "key_store")
    for kept in (store.init(now), store.server(["localhost"], now), issue(store)):
        assert mode(kept.key_file) == 0o600
        assert mode(kept.certificate_file) == 0o644
        assert mode(kept.key_file.parent) == 0o700
    assert mode(store.folder) == 0o700


def test_a_key_is_private_from_the_moment_it_exists(
    store: KeyStore, open_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fchmod = os.fchmod

    def spy(descriptor: int, wanted: int) -> None:
        seen.append((stat.S_IMODE(os.fstat(descriptor).st_mode), wanted))
        fchmod(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", spy)
    issue(store)
    assert (0o600, 0o600) in seen


def test_nothing_is_ever_overwritten(store: KeyStore, now: datetime) -> None:
    store.server(["localhost"], now)
    issue(store)
    before = {file: file.read_bytes() for file in store.folder.rglob("*") if file.is_file()}
    with pytest.raises(CertificateProblem, match="ca exists already"):
        store.init(now)
    with pytest.raises(CertificateProblem, match="server exists already"):
        store.server(["localhost"], now)
    with pytest.raises(CertificateProblem, match="alice exists already"):
        issue(store, Principal("default", Role.ADMIN, "alice"))
    assert {file: file.read_bytes() for file in store.folder.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_something_else_of_that_name_is_left_alone(store: KeyStore, there: str, tmp_path: Path) -> None:
    target = store.folder / "alice"
    if there == "file":
        target.write_text("mine")
    elif there == "folder":
        target.mkdir()
        (target / "notes").write_text("mine")
    else:
        target.symlink_to(tmp_path)
    with pytest.raises(CertificateProblem, match="exists already"):
        issue(store)
    assert not list(store.folder.glob(".new-*"))
    assert not list(tmp_path.glob("*.key"))


def test_who_dies_half_way_leaves_no_half_pair_and_the_next_run_works(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        """As if the process ended here."""

    def die(*_: object) -> None:
        raise Death

    for where, step in ((certs, "_write"), (certs.safely, "sync")):
        with monkeypatch.context() as patched, pytest.raises(Death):
            patched.setattr(where, step, die)
            issue(store)
        assert not (store.folder / "alice").exists()
        assert list(store.folder.glob(".new-*"))
    issue(store)
    assert sorted(file.name for file in (store.folder / "alice").iterdir()) == ["alice.crt", "alice.key"]
    assert not list(store.folder.glob(".new-*"))


def test_a_full_disk_leaves_nothing(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(certs.safely, "sync", full)
    with pytest.raises(OSError, match="No space"):
        issue(store)
    assert [each.name for each in store.folder.iterdir()] == ["ca"]


def test_names_that_a_file_system_may_confuse_have_folders_of_their_own() -> None:
    odd = [
        "ca",
        "server",
        "CA",
        "Alice",
        "alice",
        "a/b",
        "a%2Fb",
        "..",
        ".",
        "-rf",
        ".new-1",
        "~root",
        "a" * 128,
        "/" * 128,
    ]
    folders = [folder_name("default", name) for name in odd] + [folder_name("acme", name) for name in odd]
    assert len({folder.lower() for folder in folders}) == len(folders)
    assert not {"ca", "server"} & set(folders)
    for folder in folders:
        assert "/" not in folder and folder[0] not in ".-~" and len(folder) < 200


@settings(deadline=None)
@given(one=st.tuples(tenants, names), other=st.tuples(tenants, names))
def test_no_two_clients_share_a_folder_even_where_case_is_ignored(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (folder_name(*one).lower() == folder_name(*other).lower()) == (one == other)


def test_a_plain_name_of_the_default_tenant_is_its_own_folder() -> None:
    assert folder_name("default", "some_client") == "some_client"
    assert folder_name("acme", "some_client") == "some_client@acme"


def test_a_client_lives_90_days_from_five_minutes_ago(store: KeyStore, now: datetime) -> None:
    certificate = store.issue(ALICE, TRUST_DOMAIN, now).certificate
    whole = now.replace(microsecond=0)
    assert certificate.not_valid_before_utc == whole - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == whole + 90 * DAY


def test_no_certificate_outlives_its_ca(now: datetime) -> None:
    old = make_authority(now - 3650 * DAY + 10 * DAY)  # ten days are left
    end = old.certificate.not_valid_after_utc
    assert make_client(old, ALICE, TRUST_DOMAIN, now, 90).certificate.not_valid_after_utc == end
    assert make_server(old, ["localhost"], now).certificate.not_valid_after_utc == end
    with pytest.raises(CertificateProblem, match="expired"):
        make_client(old, ALICE, TRUST_DOMAIN, now + 11 * DAY, 90)


def test_a_server_lives_825_days(now: datetime) -> None:
    made = make_server(make_authority(now), ["localhost"], now).certificate
    assert made.not_valid_after_utc == now.replace(microsecond=0) + 825 * DAY


def test_a_server_may_have_names_and_addresses(now: datetime) -> None:
    asked = ["localhost", "127.0.0.1", "::1", "*.Example.com", "pod_1", "LOCALHOST"]
    made = make_server(make_authority(now), asked, now).certificate
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in found] == ["localhost", "127.0.0.1", "::1", "*.example.com", "pod_1"]


@pytest.mark.parametrize(
    "name",
    ["", "a b", "-a", "a..b", "a.", "é", "256.1.1.1", "a/b", "http://a", "a:1", "a\n", "a" * 64, "*", "fe80::1%eth0"],
)
def test_what_is_no_host_is_no_server_name(name: str, now: datetime) -> None:
    with pytest.raises(CertificateProblem) as caught:
        make_server(make_authority(now), [name], now)
    assert str(caught.value).isprintable()


def test_a_server_without_a_name_is_refused(now: datetime) -> None:
    with pytest.raises(CertificateProblem):
        make_server(make_authority(now), [], now)


def test_a_name_longer_than_a_subject_may_hold_is_in_the_uri_alone(store: KeyStore) -> None:
    kept = issue(store, Principal("default", Role.USER, "n" * 128))
    assert kept.certificate.subject.rfc4514_string() == "OU=user,O=default"


def test_a_principal_that_no_uri_can_carry_gets_no_certificate(store: KeyStore) -> None:
    for principal in (Principal("default", Role.USER, "a b"), Principal("Acme", Role.USER, "alice")):
        with pytest.raises(InvalidRequest):
            issue(store, principal)
    assert [each.name for each in store.folder.iterdir()] == ["ca"]


def test_without_a_ca_nothing_is_issued(tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match="no CA in"):
        issue(KeyStore(tmp_path))


def test_a_ca_that_is_not_whole_is_named_as_the_trouble(store: KeyStore, now: datetime) -> None:
    key = store.folder / "ca/ca.key"
    key.write_text("nonsense")
    with pytest.raises(CertificateProblem, match="cannot be read"):
        issue(store)
    other = ec.generate_private_key(ec.SECP256R1())
    locked = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    key.write_bytes(locked)
    with pytest.raises(CertificateProblem, match="cannot be read"):
        issue(store)
    shutil.copy(KeyStore(store.folder / "other").init(now).key_file, key)
    with pytest.raises(CertificateProblem, match="not the key of"):
        issue(store)


def test_a_key_is_in_no_repr(now: datetime) -> None:
    assert "Private" not in repr(make_authority(now))


def test_two_cas_have_two_names(now: datetime) -> None:
    assert make_authority(now).certificate.subject != make_authority(now).certificate.subject
