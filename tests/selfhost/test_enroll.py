"""`playground enroll`, over TLS against what gives certificates."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dotenv
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner, Result

from selfhost import plugin, safely
from selfhost.api_client import Access
from selfhost.cli import app
from selfhost.enrolling import KEY
from shared.domain.identity import Role
from tests.selfhost.dying import Failing
from tests.selfhost.issuer import MONTH, Issuer, issuer

SERVER = "https://playground.example:50052"
USUAL = Path(".playground")
COMPLETE = {"alice.crt", "alice.key", "ca.crt", "sqlflow_playground.env"}

type Enroll = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in (plugin.SERVER, plugin.CA, plugin.CERT, plugin.KEY, plugin.FILE, plugin.SQLFLOW_SERVER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("PLAYGROUND_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuer(tmp_path_factory.mktemp("issuer")) as made:
        made.server = SERVER
        yield made


@pytest.fixture
def enroll(giving: Issuer) -> Enroll:
    """`enroll(token, …)` runs it with the issuer's CA, unless the options say another."""

    def run(token: str | None, *options: str, url: str = "", stdin: str = "") -> Result:
        ca = () if "--ca" in options else ("--ca", str(giving.factory.ca_file))
        said = () if token is None else ("--token", token)
        words = ["enroll", url or giving.open, *said, *ca, *options]
        return CliRunner().invoke(app, words, input=stdin)

    return run


def refused(result: Result, code: int = 1) -> str:
    """The one line on stderr with which it ends."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("playground enroll: ")


def printed(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


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


def test_nothing_is_told_to_a_server_of_another_ca(enroll: Enroll, giving: Issuer):
    Path("other.crt").write_bytes(giving.factory.foreign_ca.certificate.public_bytes(Encoding.PEM))
    assert "certificate verify failed" in refused(enroll(giving.invite(), "--ca", "other.crt"), 3)
    assert giving.arrived == []


def test_nothing_is_told_to_a_server_of_another_name(enroll: Enroll, giving: Issuer):
    url = giving.open.replace("localhost", "127.0.0.1")
    assert "certificate is not valid for '127.0.0.1'" in refused(enroll(giving.invite(), url=url), 3)
    assert giving.arrived == []


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "localhost:1", "https://", "https://a@localhost:1", "https://localhost:1/?a=b", "x"]
)
def test_only_an_https_url_is_asked_and_no_other_is_repeated(enroll: Enroll, giving: Issuer, url: str):
    token = giving.invite()
    assert refused(enroll(token, url=url), 2).startswith("URL must be https://host:port")
    assert refused(enroll(token, "--server", url), 2).startswith("--server must be https://host:port")
    assert token not in refused(enroll(token, url=token), 2)
    assert not giving.arrived and not USUAL.exists()


def test_a_ca_file_that_cannot_be_used_is_named(enroll: Enroll, giving: Issuer):
    Path("empty").touch()
    assert refused(enroll("token", "--ca", "missing"), 2) == "missing: No such file or directory"
    assert refused(enroll("token", "--ca", "empty"), 2).startswith("empty holds no certificate")
    assert not giving.arrived and not USUAL.exists()


def test_a_token_that_is_refused_is_told_in_one_line_and_the_next_one_works(enroll: Enroll, giving: Issuer):
    assert refused(enroll("nonsense")) == "that is no token: it has to be copied whole"
    late = giving.invite()
    giving.clock.turn(3600)
    assert "its time is over" in refused(enroll(late))
    assert names() == {KEY}
    token = giving.invite()
    printed(enroll(token))
    assert names() == COMPLETE
    assert "has been used" in refused(enroll(token, "--folder", "elsewhere"))


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


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: {},
        lambda answer: [],
        lambda answer: {**answer, "certificate": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"},
        lambda answer: {**answer, "certificate": answer["certificate"] * 2},
        lambda answer: {**answer, "certificate": None},
        lambda answer: {**answer, "name": "bob"},
        lambda answer: {**answer, "role": "admin"},
    ],
)
def test_an_answer_that_is_no_certificate_of_ones_own_changes_nothing(
    enroll: Enroll, giving: Issuer, spoil: Callable[[Any], Any]
):
    token, giving.changed = giving.invite(), spoil
    assert "answers" in refused(enroll(token), 3)
    assert names() == {KEY}
    giving.changed = lambda answer: answer
    printed(enroll(token))
    assert names() == COMPLETE


def test_a_certificate_for_another_key_or_of_another_ca_is_not_taken(enroll: Enroll, giving: Issuer):
    token = giving.invite()
    for other in (giving.factory.leaf(), giving.factory.leaf(ca=giving.factory.foreign_ca)):
        pem = other.certificate.read_text() + giving.factory.ca_pem.decode()
        giving.changed = lambda answer, pem=pem: {**answer, "certificate": pem}
        assert "no certificate that can be used" in refused(enroll(token), 3)
        assert names() == {KEY}


def test_a_chain_whose_ca_did_not_issue_it_is_not_taken(enroll: Enroll, giving: Issuer):
    foreign = giving.factory.foreign_ca.certificate.public_bytes(Encoding.PEM).decode()
    own = giving.factory.ca_pem.decode()
    giving.changed = lambda answer: {**answer, "certificate": answer["certificate"].replace(own, foreign)}
    assert "no certificate that can be used" in refused(enroll(giving.invite()), 3)
    assert names() == {KEY}


def test_files_of_somebody_are_neither_replaced_nor_is_anything_sent(enroll: Enroll, giving: Issuer):
    token = giving.invite()
    for number, name in enumerate(("sqlflow_playground.env", "bob.key", "ca.crt")):
        place = Path(f"folder{number}")
        place.mkdir()
        (place / name).write_text("somebody's")
        said = refused(enroll(token, "--folder", str(place)))
        assert said == f"{place.absolute()}/{name} is there already: nothing was changed; others need another --folder"
        assert everything(place) == {f"{place}/{name}": b"somebody's"}
    assert giving.arrived == []


def test_who_is_enrolled_is_not_enrolled_again_in_the_same_folder(enroll: Enroll, giving: Issuer):
    printed(enroll(giving.invite()))
    before = everything(USUAL)
    assert "is there already" in refused(enroll(giving.invite("bob")))
    assert everything(USUAL) == before and len(giving.arrived) == 1


def test_a_file_of_the_same_name_is_told_before_anything_is_changed(enroll: Enroll, giving: Issuer):
    token = giving.invite()
    USUAL.mkdir()
    (USUAL / "alice.crt").write_bytes(giving.factory.leaf().certificate.read_bytes())
    before = everything(USUAL)
    said = refused(enroll(token))
    assert said == f"{(USUAL / 'alice.crt').absolute()} is somebody else's: move it away, then run this again as it was"
    assert {name: text for name, text in everything(USUAL).items() if not name.endswith(KEY)} == before
    (USUAL / "alice.crt").unlink()
    printed(enroll(token))
    assert names() == COMPLETE


def test_the_ca_may_be_there_before(enroll: Enroll, giving: Issuer):
    USUAL.mkdir()
    (USUAL / "ca.crt").write_bytes(giving.factory.ca_pem)
    printed(enroll(giving.invite(), "--ca", ".playground/ca.crt"))
    assert names() == COMPLETE


def test_a_key_of_an_enrolment_that_cannot_be_read_is_named(enroll: Enroll, giving: Issuer):
    USUAL.mkdir()
    (USUAL / KEY).write_text("no key")
    assert "is no key of an enrolment: move it away" in refused(enroll(giving.invite()))
    assert giving.arrived == []


def test_a_folder_that_the_plugin_would_read_otherwise_is_refused_before_the_token_is_used(
    enroll: Enroll, giving: Issuer
):
    assert "use another folder" in refused(enroll(giving.invite(), "--folder", "${HOME}"))
    assert giving.arrived == [] and not Path("${HOME}").exists()


def test_a_folder_that_cannot_be_made_or_written_is_one_line(
    enroll: Enroll, giving: Issuer, monkeypatch: pytest.MonkeyPatch
):
    token = giving.invite()
    Path("file").touch()
    assert refused(enroll(token, "--folder", "file")) == f"{Path('file').absolute()}: File exists"

    for name, error in (("write", errno.ENOSPC), ("replace", errno.EACCES), ("fsync", errno.EIO)):
        with monkeypatch.context() as patched:
            patched.setattr(safely, "os", Failing(name, error))
            said = refused(enroll(token, "--folder", name))
        assert said == f"{Path(name).absolute()}/{KEY}: {os.strerror(error)}"
        assert names(Path(name)) == set()
    assert giving.arrived == []


def test_a_disk_that_is_full_when_the_answer_comes_loses_nothing(
    enroll: Enroll, giving: Issuer, monkeypatch: pytest.MonkeyPatch
):
    token, write = giving.invite(), safely.write

    def full(file: Path, content: bytes, mode: int) -> None:
        if file.name == "alice.crt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        write(file, content, mode)

    with monkeypatch.context() as patched:
        patched.setattr(safely, "write", full)
        assert refused(enroll(token)) == f"{(USUAL / 'alice.crt').absolute()}: No space left on device"
    printed(enroll(token))
    assert names() == COMPLETE and len(giving.certificates()) == 1


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
