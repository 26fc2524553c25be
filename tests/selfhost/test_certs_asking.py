"""`playground certs list` and `revoke`, over TLS against what gives certificates."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from selfhost import plugin
from selfhost.cli import app
from selfhost.enrolling import enroll
from shared.domain.identity import Role
from tests.selfhost.enrolled import clean_place
from tests.selfhost.issuer import Issuer, issuer

type Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return clean_place(tmp_path, monkeypatch)


@pytest.fixture
def giving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """With alice, bob and an admin, each enrolled in a folder of their name."""
    with issuer(tmp_path_factory.mktemp("issuer")) as made:
        for name, role in (("alice", Role.USER), ("bob", Role.USER), ("ops", Role.ADMIN)):
            enroll(made.open, made.invite(name, role), Path(name), made.factory.ca_file, made.api, {})
        yield made


@pytest.fixture
def cli(giving: Issuer, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("list", by="ops")` runs it with the plugin's settings of alice, or of somebody else."""

    def run(*arguments: str, by: str = "alice") -> Result:
        monkeypatch.setenv(plugin.FILE, f"{by}/sqlflow_playground.env")
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["certs", *arguments])

    return run


def refused(result: Result, code: int = 1) -> str:
    """The one line on stderr with which it ends."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("playground certs: ")


def printed(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def test_ones_own_certificates_are_listed_as_a_table_or_as_the_servers_json(cli: Cli, giving: Issuer):
    printed(cli("renew"))
    first, second = giving.certificates()
    listed = json.loads(printed(cli("list", "--json")))
    assert [(each["serial"], each["role"], each.get("renewed_from")) for each in listed] == [
        (first.serial, "user", None), (second.serial, "user", first.serial),
    ]  # fmt: skip
    header, *rows = (line.split() for line in printed(cli("list")).splitlines())
    assert header == ["serial", "role", "ends", "from", "revoked"]
    ends = [each["expires_at"][:10] for each in listed]
    assert rows == [[first.serial, "user", ends[0]], [second.serial, "user", ends[1], first.serial[:8]]]


def test_a_terminal_of_eighty_columns_has_room_for_all_of_it(cli: Cli, giving: Issuer):
    printed(cli("renew"))
    narrow = {"COLUMNS": "80", plugin.FILE: "alice/sqlflow_playground.env"}
    shown = printed(CliRunner().invoke(app, ["certs", "list"], env=narrow))
    assert shown.split() == printed(cli("list")).split() and len(shown.splitlines()) == 3


def test_who_has_none_that_the_server_knows_of_is_told_so(cli: Cli, giving: Issuer):
    made = giving.factory.leaf(name="carol")
    options = ("--url", giving.api, "--cert", str(made.certificate), "--key", str(made.key))
    assert printed(cli("list", *options)) == "there are no certificates\n"
    assert json.loads(printed(cli("list", *options, "--json"))) == []


def test_a_certificate_is_revoked_with_all_that_was_renewed_from_it(cli: Cli, giving: Issuer):
    printed(cli("renew"))
    first, second = (each.serial for each in giving.certificates())
    assert printed(cli("revoke", first)) == f"{first} is revoked: refused everywhere within 30 s\n"
    assert all(each.revoked_at for each in giving.certificates())
    _, *rows = printed(cli("list", "--owner", "alice", by="ops")).splitlines()
    assert [" by user alice" in row for row in rows] == [True, True] and second in rows[1]
    assert refused(cli("renew")) == "the certificate is revoked"


def test_a_serial_is_taken_as_other_programs_write_it(cli: Cli, giving: Issuer):
    [issued] = giving.certificates()
    even = issued.serial.upper().zfill(len(issued.serial) + len(issued.serial) % 2)
    with_colons = ":".join(even[i : i + 2] for i in range(0, len(even), 2))
    for written in (with_colons, f"0{even}", issued.serial):
        assert json.loads(printed(cli("revoke", written, "--json")))["serial"] == issued.serial
    assert giving.certificates()[0].revoked_at is not None


def test_an_admin_lists_and_ends_those_of_others_and_nobody_else_does(cli: Cli, giving: Issuer):
    [issued] = giving.certificates("bob")
    assert refused(cli("list", "--owner", "bob")) == "there is no such user"
    assert refused(cli("revoke", issued.serial, "--owner", "bob")) == "there is no such user"
    assert refused(cli("revoke", issued.serial)) == "there is no such certificate"
    assert json.loads(printed(cli("list", "--owner", "bob", "--json", by="ops")))[0]["serial"] == issued.serial
    told = json.loads(printed(cli("revoke", issued.serial, "--owner", "bob", "--json", by="ops")))
    assert (told["serial"], told["revoked_by"]) == (issued.serial, "admin ops")
    assert giving.certificates("bob")[0].revoked_at is not None


@pytest.mark.parametrize("serial", ["", "x", "../leases", "12 34"])
def test_what_is_no_serial_asks_nobody(cli: Cli, giving: Issuer, serial: str):
    asked = len(giving.arrived)
    assert cli("revoke", serial).exit_code == 2
    assert len(giving.arrived) == asked


def test_what_is_not_there_or_does_not_answer_are_different_exit_codes(cli: Cli, giving: Issuer):
    assert refused(cli("revoke", "abc")) == "there is no such certificate"
    for words in (("list",), ("revoke", "abc")):
        assert refused(cli(*words, "--url", "https://127.0.0.1:1"), 3).startswith("no answer from https://127.0.0.1:1")
        assert refused(cli(*words, "--url", "http://h"), 2) == "http://h is no https:// URL"
        giving.changed = lambda answer: []
        if words == ("list",):
            assert "no JSON object" in refused(cli(*words), 3)


def test_a_server_steers_no_terminal(cli: Cli, giving: Issuer):
    giving.changed = lambda answer: {
        "certificates": [{**each, "role": "\x1b[2J[bold]"} for each in answer["certificates"]]
    }
    assert "\\x1b[2J[bold]" in printed(cli("list"))
