"""`playground enroll`, over TLS against what gives certificates."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dotenv
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from selfhost import plugin
from selfhost.api_client import Access
from selfhost.cli import app
from selfhost.enrolling import KEY
from shared.domain.identity import Role
from tests.selfhost.enrolled import SERVER, USUAL, Enroll, clean_place, enrolling, giving_for, printed, refused
from tests.selfhost.issuer import MONTH, Issuer

COMPLETE = {"alice.crt", "alice.key", "ca.crt", "sqlflow_playground.env"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return clean_place(tmp_path, monkeypatch)


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with giving_for(tmp_path_factory.mktemp("issuer")) as made:
        yield made


@pytest.fixture
def enroll(giving: Issuer) -> Enroll:
    return enrolling(giving)


def settings(folder: Path = USUAL) -> dict[str, str | None]:
    return dict(dotenv.dotenv_values(folder / "sqlflow_playground.env"))


def names(folder: Path = USUAL) -> set[str]:
    return {file.name for file in folder.iterdir()}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_token_brings_all_that_the_plugin_needs(enroll: Enroll, giving: Issuer, folder: Path):
    said = printed(enroll(giving.invite()))
    assert names() == COMPLETE
    kept = settings()
    assert kept[str(kept[plugin.USER_ID_IN])] == "alice"
    assert kept[plugin.SERVER] == SERVER
    here = folder / USUAL
    assert [kept[name] for name in (plugin.CA, plugin.CERT, plugin.KEY)] == [
        str(here / name) for name in ("ca.crt", "alice.crt", "alice.key")
    ]
    Access.read({}, {}).context()  # raises where the pair does not fit
    leaf, ca = x509.load_pem_x509_certificates((here / "alice.crt").read_bytes())
    assert ca == giving.factory.ca.certificate
    [issued] = giving.certificates()
    assert format(leaf.serial_number, "x") == issued.serial
    assert f"{leaf.not_valid_after_utc.astimezone():%Y-%m-%d %H:%M}" in said
    for words in ("user alice of tenant default", ".playground/alice.crt", ".playground/alice.key", "renew --within"):
        assert words in said
    assert f"{plugin.FILE}={here}/sqlflow_playground.env jupyter notebook" in said
    assert "first set SQLFLOW_SERVER in .playground/sqlflow_playground.env" in said


def test_programs_are_told_the_same_as_json(enroll: Enroll, giving: Issuer, folder: Path):
    told = json.loads(printed(enroll(giving.invite(role=Role.FRONTEND, name="a/b"), "--json")))
    [issued] = giving.certificates("a/b")
    assert told.pop("expires_at").startswith(giving.factory.now.fromtimestamp(issued.until, giving.factory.now.tzinfo)
                                             .isoformat()[:19])  # fmt: skip
    here = folder / USUAL
    assert told == {
        "tenant": "default", "role": "frontend", "name": "a/b", "serial": issued.serial, "server": SERVER,
        "certificate": f"{here}/a%2Fb.crt", "key": f"{here}/a%2Fb.key", "ca": f"{here}/ca.crt",
        "settings": f"{here}/sqlflow_playground.env",
    }  # fmt: skip


def test_the_token_comes_from_stdin_or_the_environment_as_well(
    enroll: Enroll, giving: Issuer, monkeypatch: pytest.MonkeyPatch
):
    printed(enroll("-", "--folder", "one", stdin=f"{giving.invite()}\n"))
    monkeypatch.setenv("PLAYGROUND_TOKEN", giving.invite())
    printed(enroll(None, "--folder", "two"))
    assert len(giving.certificates()) == 2


def test_a_call_without_a_token_is_wrong(enroll: Enroll, giving: Issuer):
    for result in (enroll(None), enroll("-", stdin=""), enroll(" ")):
        assert result.exit_code == 2
    assert not giving.arrived and not USUAL.exists()


def test_help_says_that_others_see_an_argument(enroll: Enroll):
    said = " ".join(CliRunner(env={"COLUMNS": "200"}).invoke(app, ["enroll", "--help"]).stdout.replace("│", "").split())
    assert "All users of this machine see a command's arguments" in said and "PLAYGROUND_TOKEN" in said


def test_the_url_of_the_server_is_given_or_told_or_left_to_fill_in(enroll: Enroll, giving: Issuer):
    printed(enroll(giving.invite(), "--server", "https://other:1", "--folder", "given"))
    assert settings(Path("given"))[plugin.SERVER] == "https://other:1"
    giving.server = None
    said = printed(enroll(giving.invite(), "--folder", "open"))
    assert f"first set {plugin.SERVER} and SQLFLOW_SERVER in open/sqlflow_playground.env" in said
    assert plugin.SERVER not in settings(Path("open"))
    assert f"# {plugin.SERVER}=https://host:50052" in (Path("open") / "sqlflow_playground.env").read_text()


def test_the_ca_that_is_given_is_the_servers(enroll: Enroll, giving: Issuer):
    other = giving.factory.foreign_ca.certificate.public_bytes(Encoding.PEM)
    Path("both.crt").write_bytes(giving.factory.ca_pem + other)
    printed(enroll(giving.invite(), "--ca", "both.crt"))
    assert (USUAL / "ca.crt").read_bytes() == Path("both.crt").read_bytes()


def test_without_one_the_ca_is_that_of_the_answer_where_the_system_knows_the_listeners(
    giving: Issuer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(giving.factory.ca_file))
    words = ["enroll", giving.open, "--token", giving.invite()]
    printed(CliRunner().invoke(app, words))
    assert (USUAL / "ca.crt").read_bytes() == giving.factory.ca_pem


def test_an_answer_that_was_lost_is_had_by_asking_again(enroll: Enroll, giving: Issuer):
    token, giving.lost = giving.invite(), 1
    assert refused(enroll(token), 3).startswith(f"no answer from {giving.open}: ")
    [issued] = giving.certificates()
    assert names() == {KEY}
    printed(enroll(token))
    assert names() == COMPLETE
    assert len(giving.arrived) == 2 and len(giving.keys()) == 1
    leaf = x509.load_pem_x509_certificate((USUAL / "alice.crt").read_bytes())
    assert format(leaf.serial_number, "x") == issued.serial


def test_the_ca_may_be_there_before(enroll: Enroll, giving: Issuer):
    USUAL.mkdir()
    (USUAL / "ca.crt").write_bytes(giving.factory.ca_pem)
    printed(enroll(giving.invite(), "--ca", ".playground/ca.crt"))
    assert names() == COMPLETE


def test_keys_are_their_owners_alone_whatever_the_umask(enroll: Enroll, giving: Issuer):
    os.umask(0)
    giving.lost, token = 1, giving.invite()
    refused(enroll(token), 3)
    assert stat.S_IMODE((USUAL / KEY).stat().st_mode) == 0o600
    printed(enroll(token))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in USUAL.iterdir()}
    assert modes == {"alice.key": 0o600, "sqlflow_playground.env": 0o600, "alice.crt": 0o644, "ca.crt": 0o644}
    assert stat.S_IMODE(USUAL.stat().st_mode) == 0o700


def test_a_token_is_in_no_output_no_log_and_no_file(
    enroll: Enroll, giving: Issuer, caplog: pytest.LogCaptureFixture, folder: Path
):
    caplog.set_level("DEBUG")
    token = giving.invite()
    secret = token.partition(".")[2]
    giving.lost = 1
    said = [(enroll(token)).output]
    giving.changed = lambda answer: web_problem(token)
    said.append((enroll(token)).output)
    assert "…" in said[-1], "the server repeats it, and we do not"
    giving.changed = lambda answer: answer
    said.append(printed(enroll(token)))
    assert names() == COMPLETE
    kept = b"".join(everything(folder).values()).decode()
    for text in (*said, caplog.text, kept):
        assert secret not in text
    assert sum(secret in body for _, body in giving.arrived) == 3, "and it was sent each time"


def web_problem(token: str) -> Any:
    from shared.domain.errors import NotInvited

    raise NotInvited(f"not {token}")


def test_the_certificate_is_good_for_as_long_as_the_server_says(enroll: Enroll, giving: Issuer):
    printed(enroll(giving.invite()))
    leaf = x509.load_pem_x509_certificate((USUAL / "alice.crt").read_bytes())
    assert leaf.not_valid_after_utc.timestamp() == int(giving.clock.now() + MONTH)
