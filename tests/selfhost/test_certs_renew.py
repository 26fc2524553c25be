"""`playground certs renew`: the next certificate, with at no instant a pair that does not fit."""

import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dotenv
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner, Result

from selfhost import notebook, plugin, renewing, safely
from selfhost.api_client import NoAnswer
from selfhost.cli import app
from selfhost.enrolling import enroll
from selfhost.renewing import Renewed, renew
from shared.domain.policy import CLOCK_SKEW, DAY
from tests.selfhost.enrolled import clean_place
from tests.selfhost.issuer import Issuer, issuer

USUAL = Path(".playground")
SETTINGS = USUAL / "sqlflow_playground.env"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return clean_place(tmp_path, monkeypatch)


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with issuer(tmp_path_factory.mktemp("issuer")) as made:
        yield made


@pytest.fixture
def alice(giving: Issuer) -> Issuer:
    """Who gave alice, who is enrolled in the usual folder, her certificate for 30 days."""
    enrolled(giving, USUAL)
    return giving


def enrolled(giving: Issuer, folder: Path, name: str = "alice") -> None:
    enroll(giving.open, giving.invite(name), folder, giving.factory.ca_file, giving.api, {})


def cli(*options: str) -> Result:
    return CliRunner().invoke(app, ["certs", "renew", *options])


def refused(result: Result, code: int = 1) -> str:
    """The one line on stderr with which it ends."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("playground certs: ")


def printed(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def pair(settings: Path = SETTINGS) -> tuple[str, str]:
    kept = dotenv.dotenv_values(settings)
    return str(kept[plugin.CERT]), str(kept[plugin.KEY])


def leaf(settings: Path = SETTINGS) -> x509.Certificate:
    """Of the certificate in use, whose key fits."""
    certificate, key = pair(settings)
    found = x509.load_pem_x509_certificates(Path(certificate).read_bytes())[0]
    own = load_pem_private_key(Path(key).read_bytes(), None)
    assert found.public_key() == own.public_key()
    return found


def serial(settings: Path = SETTINGS) -> str:
    return format(leaf(settings).serial_number, "x")


def now(giving: Issuer) -> float:
    return giving.clock.now()


def test_the_settings_lead_to_the_next_pair_and_what_else_stands_there_stays(alice: Issuer):
    before, text = leaf(), SETTINGS.read_text()
    SETTINGS.write_text(f"# mine\nexport SQLFLOW_SERVER='a b:1' # why\n\n{text}OTHER=1\n")
    SETTINGS.chmod(0o640)
    old = pair()
    alice.clock.turn(DAY)
    said = printed(cli())
    assert leaf().not_valid_after_utc.timestamp() == before.not_valid_after_utc.timestamp() + DAY
    assert leaf().public_key() != before.public_key()
    assert [each.serial for each in alice.certificates()][1:] == [serial()]
    assert pair() == tuple(f"{Path(old[0]).parent}/alice+{serial()}.{end}" for end in ("crt", "key"))
    assert SETTINGS.read_text() == f"# mine\nexport SQLFLOW_SERVER='a b:1' # why\n\n{text}OTHER=1\n".replace(
        old[0], f"'{pair()[0]}'"
    ).replace(old[1], f"'{pair()[1]}'")
    assert stat.S_IMODE(SETTINGS.stat().st_mode) == 0o640
    assert stat.S_IMODE(Path(pair()[1]).stat().st_mode) == 0o600
    assert all(Path(file).exists() for file in old), "who has read the settings before still uses it"
    assert f"{leaf().not_valid_after_utc.astimezone():%Y-%m-%d %H:%M}, .playground/alice+{serial()}.crt" in said
    assert f"the one before, until {before.not_valid_after_utc.astimezone():%Y-%m-%d %H:%M}" in said


def test_the_new_certificate_renews_itself_in_turn(alice: Issuer):
    for _ in range(3):
        printed(cli())
    assert [each.renewed_from for each in alice.certificates()] == ["", *(e.serial for e in alice.certificates()[:-1])]
    assert serial() == alice.certificates()[-1].serial


def test_programs_are_told_the_same_as_json(alice: Issuer):
    first = serial()
    told = json.loads(printed(cli("--within", "29", "--json")))
    assert (told["renewed"], told["serial"], told["certificate"]) == (False, first, pair()[0])
    told = json.loads(printed(cli("--within", "30", "--json")))
    assert (told["renewed"], told["serial"], told["name"]) == (True, serial(), "alice") and serial() != first
    assert (told["certificate"], told["key"]) == pair()
    assert datetime.fromisoformat(told["expires_at"]) == leaf().not_valid_after_utc


def test_within_days_of_its_end_only(alice: Issuer):
    before, asked = serial(), len(alice.arrived)
    end = leaf().not_valid_after_utc.timestamp()
    said = printed(cli("--within", "10"))
    assert said.startswith("nothing to do: user alice has a certificate until 2")
    assert renew({}, 10, end - 10 * DAY - 1).old is None
    assert (serial(), len(alice.arrived)) == (before, asked), "nobody was asked"
    assert renew({}, 10, end - 10 * DAY).old is not None
    assert serial() != before


@pytest.mark.parametrize("within", ["0", "-1", "soon"])
def test_a_wrong_call_asks_nobody(alice: Issuer, within: str):
    asked = len(alice.arrived)
    assert cli("--within", within).exit_code == 2
    assert len(alice.arrived) == asked


def test_a_certificate_that_is_revoked_or_has_ended_says_so(alice: Issuer):
    before = serial()
    with pytest.raises(renewing.CertificateProblem, match="has ended: ask for an invitation"):
        renew({}, None, leaf().not_valid_after_utc.timestamp())
    assert CliRunner().invoke(app, ["certs", "revoke", before]).exit_code == 0
    assert refused(cli()) == "the certificate is revoked"
    assert serial() == before


def test_a_lost_answer_is_had_by_asking_again(alice: Issuer):
    before, alice.lost = serial(), 1
    assert refused(cli(), 3).startswith(f"no answer from {alice.api}: ")
    assert serial() == before and len(alice.certificates()) == 2
    printed(cli())
    assert serial() == alice.certificates()[1].serial and len(alice.certificates()) == 2
    assert not list(USUAL.glob(".*"))


def test_a_certificate_of_somebody_else_is_not_taken(alice: Issuer):
    before = SETTINGS.read_bytes()
    alice.changed = lambda answer: {**answer, "name": "bob"}
    assert "no certificate that can be used" in refused(cli(), 3)
    assert SETTINGS.read_bytes() == before


def test_one_of_another_name_for_the_same_key_is_not_taken(alice: Issuer, monkeypatch: pytest.MonkeyPatch):
    before, granted = SETTINGS.read_bytes(), renewing.CertificatesClient.renew

    async def of_bob(client: renewing.CertificatesClient, key: renewing.Key) -> renewing.Granted:
        from dataclasses import replace

        found = await granted(client, key)
        return replace(found, holder=replace(found.holder, name="bob"))

    monkeypatch.setattr(renewing.CertificatesClient, "renew", of_bob)
    with pytest.raises(NoAnswer, match="somebody else"):
        renew({}, None, now(alice))
    assert SETTINGS.read_bytes() == before


def test_what_has_ended_is_removed_and_nothing_else(alice: Issuer):
    printed(cli())
    first = pair()
    (USUAL / "alice+notes.crt").write_text("mine")
    (USUAL / "bob+1.crt").write_bytes(Path(first[0]).read_bytes())
    (USUAL / "alice+copy.crt").write_bytes(Path(first[0]).read_bytes())
    alice.clock.turn(29 * DAY)
    renew({}, None, now(alice))
    second = pair()
    assert Path(first[0]).exists()
    alice.clock.turn(2 * DAY)
    renew({}, None, now(alice))
    assert not any(Path(file).exists() for file in first)
    assert all(Path(file).exists() for file in (*second, *pair()))
    for name in ("alice.crt", "alice.key", "alice+notes.crt", "alice+copy.crt", "bob+1.crt"):
        assert (USUAL / name).exists()


def test_what_ends_by_a_clock_that_may_be_fast_is_not_removed_yet(alice: Issuer):
    printed(cli())
    first, ends = pair(), leaf().not_valid_after_utc.timestamp()
    alice.clock.turn(29 * DAY)
    renew({}, None, now(alice))
    for at, there in ((ends + CLOCK_SKEW, True), (ends + CLOCK_SKEW + 1, False)):
        alice.clock.turn(at - now(alice))
        renew({}, None, now(alice))
        assert {Path(file).exists() for file in first} == {there}


def test_after_a_run_that_died_at_its_very_end_the_next_certificate_has_a_key_of_its_own(
    alice: Issuer, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(safely, "remove", lambda file: None)
        printed(cli())
    before = leaf().public_key()
    printed(cli())
    assert leaf().public_key() != before
    assert not list(USUAL.glob(".*"))


def test_settings_elsewhere_and_behind_a_link_are_switched_where_they_are(giving: Issuer, tmp_path: Path):
    enrolled(giving, tmp_path / "kept")
    Path("link.env").symlink_to(tmp_path / "kept" / "sqlflow_playground.env")
    environment = {plugin.FILE: "link.env"}
    renew(environment, None, now(giving))
    assert Path("link.env").is_symlink()
    assert serial(Path("link.env")) == giving.certificates()[1].serial


@pytest.mark.parametrize(
    "value", ["plain", "a b", "it's", 'q"uote', "back\\slash", "#1", "$HOME", "é", "a\nb", "x=y", ""]
)
def test_values_are_switched_whatever_they_and_their_neighbours_are(value: str):
    text = f"A={notebook.quoted(value)}\nexport B = 'old\nlines' # why\n\n# C=1\nC=\"old\"\nB=older\nnonsense here\nD=1"
    Path("before").write_text(text)
    Path("after").write_text(notebook.switched(text, {"B": value, "C": "new"}))
    expected = dotenv.dotenv_values("before") | {"B": value, "C": "new"}
    assert dotenv.dotenv_values("after") == expected
    assert Path("after").read_text().endswith("nonsense here\nD=1") and "# C=1\n" in Path("after").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            None,
            "there is no .playground/sqlflow_playground.env: name the plugin's settings in SQLFLOW_JUPYTER_ENV_PATH",
        ),
        ("", f" names no {plugin.CERT}: only a certificate that it names can be renewed"),
        (f"{plugin.CERT}=a\n", f" names no {plugin.KEY}: only a certificate that it names can be renewed"),
        (f"{plugin.CERT}=a\n{plugin.KEY}=b\n", "no server is named"),
        (f"{plugin.CERT}=a\n{plugin.KEY}=b\n{plugin.SERVER}=http://h\n", "http://h is no https:// URL"),
    ],
)
def test_what_is_not_set_is_named(folder: Path, text: str | None, why: str):
    if text is not None:
        USUAL.mkdir()
        SETTINGS.write_text(text)
    assert why in refused(cli(), 2)


def test_files_that_cannot_be_used_are_named(alice: Issuer):
    certificate, key = map(Path, pair())
    kept = certificate.read_bytes()
    certificate.write_text("none")
    assert refused(cli()) == f"{certificate} holds no PEM certificate that can be read"
    certificate.write_bytes(alice.factory.server("localhost").certificate.read_bytes())
    assert refused(cli()) == f"{certificate} is no certificate of a Playground's client"
    certificate.unlink()
    assert refused(cli()) == f"{certificate}: No such file or directory"
    certificate.write_bytes(kept)
    key.write_bytes(alice.factory.leaf().key.read_bytes())
    assert "not the one of its key" in refused(cli(), 2)


def test_another_pair_in_the_environment_is_not_silently_left_out(alice: Issuer, monkeypatch: pytest.MonkeyPatch):
    certificate, _ = pair()
    monkeypatch.setenv(plugin.CERT, certificate)  # as in a notebook's own shell
    printed(cli())
    said = refused(cli(), 2)
    assert said == f"{plugin.CERT} in the environment is not that of {SETTINGS.absolute()}, which is renewed: unset it"


def test_a_disk_that_is_full_leaves_the_old_pair_in_use(alice: Issuer, monkeypatch: pytest.MonkeyPatch):
    before, write = serial(), safely.write

    def full(file: Path, content: bytes, mode: int) -> None:
        if file.suffix == ".env":
            raise OSError(28, os.strerror(28), str(file))
        write(file, content, mode)

    with monkeypatch.context() as patched:
        patched.setattr(safely, "write", full)
        assert refused(cli()) == f"{SETTINGS.absolute()}: No space left on device"
    assert serial() == before
    printed(cli())
    assert serial() == alice.certificates()[1].serial


def test_a_key_never_leaves_this_machine(alice: Issuer, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    said = printed(cli())
    key = Path(pair()[1]).read_text().splitlines()[1]
    for text in (said, caplog.text, *(body for _, body in alice.arrived)):
        assert "PRIVATE" not in text and key not in text


def test_the_result_holds_no_key(alice: Issuer):
    renewed = renew({}, None, now(alice))
    assert isinstance(renewed, Renewed) and "PRIVATE" not in repr(renewed)
    assert (
        renewed.old is not None
        and renewed.holder.until == datetime.fromtimestamp(renewed.holder.until, UTC).timestamp()
    )
