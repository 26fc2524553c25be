"""What `make run` makes for its user: the plugin's settings, certificates and keys, each made once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dotenv
import pytest
from cryptography import x509

from selfhost.certs import CertificateProblem
from selfhost.errors import CannotStart
from selfhost.setup import Files, current_user, make_files, write_notebook_settings
from tests import azurite

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
URL = "https://127.0.0.1:50052"
# Every name that the plugin reads from the file.
READ = {
    *("SQLFLOW_SERVER", "SQLFLOW_PLAYGROUND_USER_ID_ENV", "SQLFLOW_USER_ID", "SQLFLOW_PLAYGROUND_SERVRE"),
    *("SQLFLOW_PLAYGROUND_SERVER_CA", "SQLFLOW_PLAYGROUND_CLIENT_KEY", "SQLFLOW_PLAYGROUND_CLIENT_CERT"),
}


def settings(files: Files) -> dict[str, str | None]:
    """As the plugin has them."""
    return dict(dotenv.dotenv_values(files.notebook))


def make(files: Files, now: datetime, user: str = "alice") -> list[str]:
    return make_files(files, user, ("localhost", "127.0.0.1"), {}, now)


def certificate(files: Files, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.pair(name)[0].read_bytes())


def everything(files: Files) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in files.folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "folder",
    ["plain", "a b", "it's", 'q"uote', "back\\slash", "end\\", "#1", "$HOME", "$(id)", "é", "a\nb", "x=y", "`"],
)
def test_the_plugin_finds_every_name_it_reads_whatever_the_folder_is_called(tmp_path: Path, folder: str):
    files = Files(tmp_path / folder)
    make(files, NOW)
    assert write_notebook_settings(files, URL, "alice", "sqlflow.example:50051")
    found = settings(files)
    assert found.keys() == READ
    assert found["SQLFLOW_SERVER"] == "sqlflow.example:50051"
    assert found[str(found["SQLFLOW_PLAYGROUND_USER_ID_ENV"])] == "alice"
    assert found["SQLFLOW_PLAYGROUND_SERVRE"] == URL
    for name, path in (("SERVER_CA", files.ca), ("CLIENT_CERT", files.pair("alice")[0]),
                       ("CLIENT_KEY", files.pair("alice")[1])):  # fmt: skip
        assert found[f"SQLFLOW_PLAYGROUND_{name}"] == str(path)
        assert path.exists()


@pytest.mark.parametrize("user", ["o'hara", "a$(b)", "x@y.example", "a,b:c/d"])
def test_a_user_of_any_name_is_named_as_they_are(tmp_path: Path, user: str):
    files = Files(tmp_path)
    make(files, NOW, user)
    write_notebook_settings(files, URL, user)
    assert settings(files)["SQLFLOW_USER_ID"] == user


def test_a_folder_that_the_plugin_would_read_otherwise_is_refused(tmp_path: Path):
    with pytest.raises(CannotStart, match="use another folder"):
        write_notebook_settings(Files(tmp_path / "${HOME}"), URL, "alice")


def test_without_a_sqlflow_server_there_is_a_line_to_fill_in_and_what_was_filled_in_stays(tmp_path: Path):
    files = Files(tmp_path)
    assert not write_notebook_settings(files, URL, "alice")
    assert settings(files).keys() == READ - {"SQLFLOW_SERVER"}
    text = files.notebook.read_text()
    assert text.startswith("# SQLFLOW_SERVER=")
    _, _, rest = text.partition("\n")
    files.notebook.write_text(f"export SQLFLOW_SERVER='a b:1'\n{rest}")
    assert write_notebook_settings(files, "https://127.0.0.1:1", "alice")
    assert settings(files)["SQLFLOW_SERVER"] == "a b:1"
    assert settings(files)["SQLFLOW_PLAYGROUND_SERVRE"] == "https://127.0.0.1:1"
    assert write_notebook_settings(files, URL, "alice", "other:2")
    assert settings(files)["SQLFLOW_SERVER"] == "other:2"


def test_what_is_there_stays(tmp_path: Path):
    files = Files(tmp_path)
    assert len(make(files, NOW)) == 5
    before = everything(files)
    assert make(files, NOW + 59 * DAY) == []
    assert everything(files) == before


def test_the_canary_is_heard_as_long_as_the_ca_lasts(tmp_path: Path):
    files = Files(tmp_path)
    make(files, NOW)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    assert certificate(files, "canary").not_valid_after_utc == ca.not_valid_after_utc


def test_a_certificate_that_ends_within_a_month_is_issued_anew_and_the_old_one_kept(tmp_path: Path):
    files = Files(tmp_path)
    make(files, NOW)
    before, old = everything(files), certificate(files, "alice")
    [said] = make(files, NOW + 61 * DAY)
    assert said == (
        "a client certificate for alice anew; the one that ends on 2027-02-19 is kept as alice+until-2027-02-19"
    )
    new = certificate(files, "alice")
    assert new.not_valid_after_utc == NOW + 151 * DAY
    assert new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == (
        old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    kept = files.key_store / "alice+until-2027-02-19"
    assert {before[file] for file in before if file.parent.name == "alice"} == {f.read_bytes() for f in kept.iterdir()}
    after = everything(files)
    assert {file for file in before if after[file] != before[file]} == set(files.pair("alice")), "and nothing else"
    assert make(files, NOW + 61 * DAY) == []


def test_a_canary_of_ninety_days_is_heard_again(tmp_path: Path):
    files = Files(tmp_path)
    make(files, NOW, user="canary")  # issued to a user, so for ninety days
    expired = NOW + 200 * DAY
    assert [said.partition(" ")[2] for said in make(files, expired) if "kept" in said] == [
        "for the canary anew; the one that ends on 2027-02-19 is kept as canary+until-2027-02-19"
    ]
    assert certificate(files, "canary").not_valid_after_utc > expired + 3000 * DAY


def test_the_server_s_certificate_is_renewed_as_well(tmp_path: Path):
    files = Files(tmp_path)
    make(files, NOW)
    made = make(files, NOW + 800 * DAY)
    assert any(said.startswith("a server certificate for localhost, 127.0.0.1 anew") for said in made)
    assert certificate(files, "server").not_valid_after_utc == NOW + (800 + 825) * DAY


def test_a_renewal_that_was_interrupted_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = Files(tmp_path)
    make(files, NOW)
    rename = Path.rename

    def die(source: Path, target: Path) -> Path:
        if target.name == "alice":
            raise KeyboardInterrupt
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        make(files, NOW + 61 * DAY)
    monkeypatch.undo()
    assert make(files, NOW + 61 * DAY) == ["a client certificate for alice"]
    assert (files.key_store / "alice+until-2027-02-19" / "alice.key").exists()


def test_a_disk_that_is_full_takes_no_certificate_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = Files(tmp_path)
    make(files, NOW)
    before = everything(files)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("selfhost.certs._write", full)
    with pytest.raises(OSError, match="No space left"):
        make(files, NOW + 61 * DAY)
    assert everything(files) == before


def test_near_the_end_of_the_ca_nothing_is_renewed_again_and_again(tmp_path: Path):
    files = Files(tmp_path)
    make(files, NOW)
    for day in (3630, 3631, 3649):
        make(files, NOW + day * DAY)
    assert make(files, NOW + 3649 * DAY) == []
    with pytest.raises(CertificateProblem, match="has expired: keep that folder under another name"):
        make(files, NOW + 3650 * DAY)


def test_a_certificate_that_is_none_is_named(tmp_path: Path):
    files = Files(tmp_path)
    make(files, NOW)
    files.pair("alice")[0].write_text("none")
    with pytest.raises(CertificateProblem, match=r"alice\.crt holds no PEM certificate"):
        make(files, NOW)


def test_who_has_no_name_of_a_database_is_called_notebook(monkeypatch: pytest.MonkeyPatch):
    for name, user in (("alice", "alice"), ("a b", "notebook"), ("", "notebook")):
        monkeypatch.setattr("getpass.getuser", lambda name=name: name)
        assert current_user() == user


@pytest.mark.parametrize("version", ["", "v18.20.4"])
def test_without_a_node_that_runs_azurite_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
):
    for name in ("node", "npm") if version else ():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(RuntimeError) as caught:
        azurite.install()
    found = version or "none"
    said = f"the queue's tests run Azurite: install Node.js 20 or newer with npm (found: {found})"
    assert str(caught.value) == said
