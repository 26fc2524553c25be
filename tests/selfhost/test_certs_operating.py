"""`playground certs invite` and `forbid`, on a store as servers have it."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner, Result

from selfhost.cli import app
from selfhost.remembered import remember
from selfhost.setup import Files
from shared.adapters.sqlite import SqliteStore
from shared.domain import enrolment
from shared.domain.enrolment import Issuance, Issuing
from shared.domain.errors import NotAuthenticated, NotInvited
from shared.domain.holders import Holder, Issued
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner
from shared.ports.clock import SystemClock
from tests.certs import CertificateFactory, Hands

HOUR = 3600.0


class Signer:
    """The port `Authority`, for who looks at nothing but what is written down."""

    until = 4e9

    async def issue(self, principal: Principal, issued: Issued, public_key: bytes) -> str:
        return f"{principal.uri('x')} {issued.serial}"

    async def revocation_list(self, revoked: Sequence[Issued], number: int, now: float, until: float) -> bytes:
        raise NotImplementedError

    async def close(self) -> None: ...


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store that the environment names, an empty current directory, and no other setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PLAYGROUND_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PLAYGROUND_STORE", f"sqlite:///{tmp_path}/leases.db")
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    before = dict(os.environ)
    at(tmp_path / "leases.db", lambda opened: opened.holder(Owner("default", "nobody")))
    yield tmp_path / "leases.db"
    for name in os.environ.keys() - before.keys():
        del os.environ[name]  # commands put their settings there


def at[T](store: Path, act: Callable[[SqliteStore], Awaitable[T]]) -> T:
    async def run() -> T:
        opened = await SqliteStore.open(store)
        try:
            return await act(opened)
        finally:
            await opened.close()

    return asyncio.run(run())


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["certs", *arguments])


def refused(*arguments: str) -> str:
    """The one line on stderr with which it ends."""
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("playground: ")


def holder(store: Path, name: str = "alice", tenant: str = "default") -> Holder:
    found = at(store, lambda opened: opened.holder(Owner(tenant, name)))
    assert found is not None
    return found


def enrol(store: Path, token: str, key: bytes, later: float = 0) -> Issuance:
    clock = Hands(time.time() + later)
    return at(store, lambda opened: enrolment.enrol(Issuing(opened, Signer(), clock), token, key))


def a_key() -> bytes:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_the_token_that_is_printed_works_exactly_once(store: Path):
    result = cli("invite", "frontend", "a/b", "--tenant", "acme")
    assert result.exit_code == 0, result.output
    token, mine = result.stdout.strip(), a_key()
    issuance = enrol(store, token, mine)
    assert issuance.principal == Principal("acme", Role.FRONTEND, "a/b")
    assert enrol(store, token, mine) == issuance, "its owner may ask again"
    with pytest.raises(NotInvited):
        enrol(store, token, a_key())
    assert len(holder(store, "a/b", "acme").certificates) == 1


def test_it_is_alone_on_stdout_and_what_to_do_with_it_is_said_aside(store: Path):
    result = cli("invite", "user", "alice", "--url", "https://host:50053")
    token = result.stdout.removesuffix("\n")
    assert result.exit_code == 0 and len(token) > 43 and not any(c.isspace() for c in token)
    assert "playground enroll https://host:50053 --token -" in result.stderr
    assert "user alice of tenant default" in result.stderr and token not in result.stderr
    secret = token.partition(".")[2].encode()
    assert not [file for file in store.parent.iterdir() if secret in file.read_bytes()]


def test_programs_are_told_the_same_as_json(store: Path):
    told = json.loads(cli("invite", "admin", "ops", "--hours", "2", "--url", "https://h:1", "--json").stdout)
    assert enrol(store, told.pop("token"), a_key()).principal == Principal("default", Role.ADMIN, "ops")
    [invitation] = holder(store, "ops").invitations
    assert datetime.fromisoformat(told.pop("expires_at")).timestamp() == pytest.approx(invitation.until, abs=60)
    assert told == {"tenant": "default", "role": "admin", "name": "ops", "url": "https://h:1"}
    assert invitation.by == "operator root"


def test_it_lasts_as_many_hours_as_are_said(store: Path):
    token = cli("invite", "user", "alice", "--hours", "3").stdout.strip()
    with pytest.raises(NotInvited):
        enrol(store, token, a_key(), later=3 * HOUR)
    assert enrol(store, token, a_key(), later=3 * HOUR - 60).principal.name == "alice"


@pytest.mark.parametrize(
    "words",
    [
        ("root", "alice"), ("user", "alice", "--hours", "0"), ("user", "alice", "--hours", "721"), ("user",),
        ("user", "alice", "--url", "http://h"), ("user", "alice", "--url", "h:1"),
    ],
)  # fmt: skip
def test_a_wrong_call_invites_nobody(store: Path, words: tuple[str, ...]):
    assert cli("invite", *words).exit_code == 2
    assert at(store, lambda opened: opened.holder(Owner("default", "alice"))) is None


def test_who_cannot_be_named_in_a_certificate_is_not_invited(store: Path):
    assert "' ' at position 2" in refused("invite", "user", "a b")
    assert "dot segment" in refused("invite", "user", "..")
    assert "a tenant is" in refused("invite", "user", "alice", "--tenant", "A")


def test_too_many_open_invitations_are_refused_in_one_line(store: Path):
    for _ in range(5):
        assert cli("invite", "user", "alice").exit_code == 0
    assert refused("invite", "user", "alice").startswith("5 invitations of this name are open")


def test_a_certificate_in_hand_is_revoked_by_its_file(store: Path, tmp_path: Path):
    factory = CertificateFactory(tmp_path)
    made = factory.leaf(Role.USER, "alice", end=HOUR)
    Path("chain.pem").write_bytes(made.certificate.read_bytes() + factory.ca_pem)
    result = cli("forbid", "chain.pem")
    assert result.exit_code == 0, result.output
    [known] = holder(store).certificates
    assert (
        result.stdout == f"{known.serial} of user alice of tenant default is revoked: refused everywhere within 30 s\n"
    )
    assert (known.role, known.by) == (Role.USER, "operator root") and known.revoked_at is not None
    assert (known.begins, known.until) == (int(factory.now.timestamp() - 300), int(factory.now.timestamp() + HOUR))
    presented = Principal("default", Role.USER, "alice", known.serial, begins=known.begins, until=known.until)
    with pytest.raises(NotAuthenticated):
        at(store, lambda s: enrolment.renew(Issuing(s, Signer(), SystemClock()), presented, a_key()))
    again = json.loads(cli("forbid", "chain.pem", "--json").stdout)
    assert (again["serial"], again["name"]) == (known.serial, "alice")
    assert holder(store).certificates == (known,), "who revoked it first, and when, stays"


def test_a_file_that_names_nobody_or_several_is_refused_in_one_line(store: Path, tmp_path: Path):
    factory = CertificateFactory(tmp_path)
    one, two = factory.leaf().certificate, factory.leaf().certificate
    Path("both").write_bytes(one.read_bytes() + two.read_bytes())
    for file in ("both", factory.ca_file, factory.server("localhost").certificate):
        assert refused("forbid", str(file)) == f"{file} holds not exactly one certificate of a Playground's client"
    assert refused("forbid", str(factory.leaf().key)).endswith("holds no PEM certificate that can be read")
    assert refused("forbid", "missing") == "missing: No such file or directory"
    ended = factory.leaf(start=-2 * HOUR, end=-HOUR).certificate
    assert "nobody accepts it any more" in refused("forbid", str(ended))
    assert at(store, lambda opened: opened.holder(Owner("default", "alice"))) is None


def test_without_a_store_in_the_environment_it_is_that_of_run(store: Path, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("PLAYGROUND_STORE")
    assert "is not the folder of a `playground run`" in refused("invite", "user", "alice")
    files = Files(tmp_path / ".playground")
    files.folder.mkdir()
    remember(files, {"PLAYGROUND_STORE": f"sqlite:///{store}", "PLAYGROUND_KUBECONFIG": "nowhere"})
    token = cli("invite", "user", "alice").stdout.strip()
    assert enrol(store, token, a_key()).principal.name == "alice"


def test_a_store_that_is_not_there_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PLAYGROUND_STORE", "sqlite:///elsewhere.db")
    made = CertificateFactory(tmp_path).leaf()
    for words in (("invite", "user", "alice"), ("forbid", str(made.certificate))):
        assert refused(*words) == "PLAYGROUND_STORE: there is no elsewhere.db"
    assert not Path("elsewhere.db").exists()


def test_a_setting_that_is_wrong_is_named_and_a_token_in_the_environment_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_TOKEN", "left over")
    assert cli("invite", "user", "alice").exit_code == 0
    monkeypatch.setenv("PLAYGROUND_GRACE", "soon")
    assert refused("invite", "user", "alice").startswith("PLAYGROUND_GRACE")


def test_the_store_is_closed_in_the_end_whatever_happens(monkeypatch: pytest.MonkeyPatch):
    closed, close = [], SqliteStore.close

    async def counted(store: SqliteStore) -> None:
        closed.append(store)
        await close(store)

    monkeypatch.setattr(SqliteStore, "close", counted)
    for _ in range(6):
        cli("invite", "user", "alice")
    assert len(closed) == 6, "the one that was refused as well"
