import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from selfhost.certs_cli import app
from tests.certs import CertificateFactory

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLAYGROUND_TRUST_DOMAIN", raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def shown(file: str) -> dict[str, object]:
    result = run("show", file, "--json")
    assert result.exit_code == 0, result.output
    [only] = json.loads(result.stdout)
    assert isinstance(only, dict)
    return only


def refused(*arguments: str) -> str:
    """What the command says on stderr when it fails: one line, and no traceback."""
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    return line


def test_the_documented_files_come_from_three_commands() -> None:
    for command in (["init"], ["server", "localhost", "127.0.0.1"], ["issue", "user", "some_client"]):
        assert run(*command).exit_code == 0
    for name in ("ca", "server", "some_client"):
        assert Path(f"key_store/{name}/{name}.crt").exists() and Path(f"key_store/{name}/{name}.key").exists()


def test_show_tells_who_a_certificate_is() -> None:
    run("init")
    run("issue", "frontend", "hub@a", "--tenant", "acme", "--days", "30")
    found = shown("key_store/hub%40a@acme/hub%40a@acme.crt")
    file = Path("key_store/hub%40a@acme/hub%40a@acme.crt").read_bytes()
    assert found["serial"] == f"{x509.load_pem_x509_certificate(file).serial_number:x}"
    assert found["names"] == ["spiffe://playground.local/tenant/acme/frontend/hub%40a"]
    assert (found["tenant"], found["role"], found["name"]) == ("acme", "frontend", "hub@a")
    assert found["days_left"] == 29
    assert found["issuer"] == shown("key_store/ca/ca.crt")["subject"]
    assert len(str(found["fingerprint"])) == 64


def test_show_prints_a_table_for_people() -> None:
    run("init")
    run("issue", "user", "alice")
    result = run("show", "key_store/alice/alice.crt")
    assert result.exit_code == 0
    for text in ("alice", "user", "default", "days left", "fingerprint", "CN=Playground CA"):
        assert text in result.stdout


def test_show_shows_every_ca_of_a_bundle() -> None:
    run("init")
    run("init", "--key-store", "other")
    bundle = Path("key_store/ca/ca.crt").read_bytes() + Path("other/ca/ca.crt").read_bytes()
    Path("bundle.crt").write_bytes(bundle)
    found = json.loads(run("show", "bundle.crt", "--json").stdout)
    assert [each["subject"] for each in found] == [each["issuer"] for each in found]
    assert found[0]["subject"] != found[1]["subject"]


def test_a_server_names_no_principal() -> None:
    run("init")
    run("server", "localhost", "::1")
    found = shown("key_store/server/server.crt")
    assert found["names"] == ["localhost", "::1"]
    assert (found["tenant"], found["role"], found["name"]) == (None, None, None)


@pytest.mark.parametrize("kind", ["two_sans", "san_query", "x509_v1", "unknown_role", "expired", "rsa_1024", "no_san"])
def test_show_tells_of_a_bad_certificate_what_can_be_told(kind: str, tmp_path: Path) -> None:
    found = shown(str(CertificateFactory(tmp_path).bad(kind).certificate))
    assert found["role"] == ((found["names"] and {"expired": "user", "rsa_1024": "user"}.get(kind)) or None)


@pytest.mark.parametrize("kind", ["malformed_der", "no_bytes", "two_san_extensions"])
def test_show_refuses_what_it_cannot_read_in_one_line(kind: str, tmp_path: Path) -> None:
    assert "holds no PEM certificate that can be read" in refused(
        "show", str(CertificateFactory(tmp_path).bad(kind).certificate)
    )


def test_show_sends_a_terminal_nothing_but_text(tmp_path: Path) -> None:
    made = CertificateFactory(tmp_path).client(names=[x509.UniformResourceIdentifier("a\x1b[2Jb[bold]c")])
    assert shown(str(made.certificate))["names"] == ["a\\x1b[2Jb[bold]c"]
    assert "a\\x1b[2Jb[bold]c" in run("show", str(made.certificate)).stdout


def test_the_trust_domain_comes_from_option_or_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    run("init")
    run("issue", "user", "one", "--trust-domain", "one.example")
    monkeypatch.setenv("PLAYGROUND_TRUST_DOMAIN", "two.example")
    run("issue", "user", "two")
    for name in ("one", "two"):
        assert shown(f"key_store/{name}/{name}.crt")["names"] == [f"spiffe://{name}.example/tenant/default/user/{name}"]


def test_what_cannot_be_done_is_said_in_one_line() -> None:
    assert "no CA in key_store" in refused("issue", "user", "alice")
    assert "no CA in key_store" in refused("server", "localhost")
    run("init")
    assert "key_store/ca exists already" in refused("init")
    run("issue", "user", "alice")
    assert "key_store/alice exists already" in refused("issue", "user", "alice")
    assert "' ' at position 2" in refused("issue", "user", "a b")
    assert "a tenant is" in refused("issue", "user", "bob", "--tenant", "A")
    assert "a trust domain is" in refused("issue", "user", "bob", "--trust-domain", "A")
    assert "neither a DNS name nor an IP address" in refused("server", "a b")
    assert "missing.crt: No such file" in refused("show", "missing.crt")
    assert "holds no PEM certificate" in refused("show", "key_store/alice/alice.key")
    Path("file").touch()
    assert "file: File exists" in refused("init", "--key-store", "file")


@pytest.mark.parametrize(
    "wrong", [["issue", "root", "alice"], ["issue", "User", "alice"], ["issue", "user", "a", "--days", "0"], ["server"]]
)
def test_wrong_usage_is_status_2(wrong: list[str]) -> None:
    assert run(*wrong).exit_code == 2
    assert not Path("key_store").exists()


MOUNTED = """
import typer
from selfhost.certs_cli import app
main = typer.Typer()
main.add_typer(app, name="certs")
main()
"""


@pytest.fixture
def gen_cert(tmp_path: Path) -> Path:
    """A copy of the script in a project of its own, where .venv/bin/playground mounts this app alone."""
    project = tmp_path / "a project"
    program = project / ".venv/bin/playground"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n{MOUNTED}")
    program.chmod(0o755)
    return Path(shutil.copy(ROOT / "gen_cert.sh", project))


def sh(script: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if path is None else {"PATH": path})
    return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.slow
def test_gen_cert_makes_the_ca_first_and_then_server_and_client(gen_cert: Path) -> None:
    assert sh(gen_cert, "server").returncode == 0
    ca = Path("key_store/ca/ca.crt").read_bytes()
    assert sh(gen_cert, "some_client").returncode == 0
    assert sh(gen_cert, "--frontend", "hub").returncode == 0
    assert Path("key_store/ca/ca.crt").read_bytes() == ca
    names = shown("key_store/server/server.crt")["names"]
    assert isinstance(names, list) and names[:2] == ["localhost", "127.0.0.1"]
    assert os.uname().nodename.lower() in names
    assert shown("key_store/some_client/some_client.crt")["role"] == "user"
    assert shown("key_store/hub/hub.crt")["role"] == "frontend"


@pytest.mark.slow
def test_gen_cert_hands_a_name_on_as_it_is(gen_cert: Path) -> None:
    name = "$(touch${IFS}x)"  # `{` is none of a name's characters, and the shell sees none of it
    assert "'{'" in sh(gen_cert, name).stderr
    assert sh(gen_cert, "a*'b$(c)").returncode == 0
    assert sh(gen_cert, "--frontend", "-rf").returncode == 0
    assert sh(gen_cert, "--frontend", "server").returncode == 0
    assert {each.name for each in Path("key_store").iterdir()} == {"ca", "a%2A%27b%24%28c%29", "%2Drf", "%73erver"}


@pytest.mark.slow
def test_gen_cert_fails_as_the_command_does(gen_cert: Path) -> None:
    sh(gen_cert, "alice")
    again = sh(gen_cert, "alice")
    assert again.returncode == 1 and "exists already" in again.stderr


@pytest.mark.parametrize("wrong", [[], [""], ["--backend", "a"], ["--frontend"], ["a", "b"]])
def test_gen_cert_explains_itself_when_it_is_used_wrongly(gen_cert: Path, wrong: list[str]) -> None:
    result = sh(gen_cert, *wrong)
    assert result.returncode == 2 and "gen_cert.sh --frontend NAME" in result.stderr
    assert not Path("key_store").exists()


def test_gen_cert_finds_the_program_on_the_path_or_says_that_it_did_not(gen_cert: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(gen_cert, tmp_path))
    missing = sh(alone, "alice", path="/usr/bin:/bin")
    assert missing.returncode == 1 and "neither in .venv/bin nor on PATH" in missing.stderr
    found = sh(alone, "alice", path=f"{gen_cert.parent}/.venv/bin:/usr/bin:/bin")
    assert found.returncode == 0 and Path("key_store/alice/alice.key").exists()
