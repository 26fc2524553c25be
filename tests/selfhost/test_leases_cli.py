"""`playground leases`, over TLS against the functions it speaks to."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner, Result

from selfhost import leases_cli
from selfhost.api_client import Access, NotSet
from selfhost.cli import app
from selfhost.plugin import CA, CERT, FILE, KEY, SERVER
from shared.domain.leases import Owner
from shared.domain.policy import DAY
from shared.domain.steering import NO_ARCHIVE
from tests.certs import Made
from tests.http.ways import Served

ALICE = Owner("default", "alice")

type Cli = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no setting from outside."""
    monkeypatch.chdir(tmp_path)
    for name in (SERVER, CA, CERT, KEY, FILE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def cli(served: Served, folder: Path) -> Cli:
    """`await cli("show", "database", by=…)` runs it with the plugin's settings of alice, or somebody else."""

    def settings(by: Made) -> None:
        url, ca = f"https://localhost:{served._port}/", served.people.factory.ca_file
        lines = {SERVER: url, CA: ca, CERT: by.certificate, KEY: by.key}
        (folder / ".playground").mkdir(exist_ok=True)
        text = "".join(f"export {name}='{value}'\n" for name, value in lines.items())
        (folder / ".playground" / "sqlflow_playground.env").write_text(text)

    async def run(*arguments: str, by: Made | None = None) -> Result:
        settings(by or served.people.user("alice"))
        return await asyncio.to_thread(CliRunner().invoke, app, ["leases", *arguments])

    return run


def refused(result: Result, code: int) -> str:
    """The one line on stderr with which it ends."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    [line] = result.stderr.splitlines()
    return line.removeprefix("playground leases: ")


def printed(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


async def test_leases_are_listed_as_a_table_or_as_the_servers_json(cli: Cli, served: Served):
    assert printed(await cli()) == "there are no leases\n"
    await served.create_db("alice")
    table = printed(await cli())
    assert "│ alice │ database │ running │" in table and ("in 10 h 59 m" in table or "in 11 h" in table)
    assert json.loads(printed(await cli("--json"))) == (await served.lease("GET")).json()["leases"]
    assert json.loads(printed(await cli("--state", "failed", "--json"))) == []


async def test_one_is_shown_with_what_became_of_it(cli: Cli, served: Served):
    await served.create_db("alice")
    shown = printed(await cli("show", "database"))
    assert "revision" in shown and "pending → running" in shown and "create_db" in shown
    told = json.loads(printed(await cli("show", "database", "--json")))
    assert [event["after"] for event in told.pop("events")] == ["pending", "running"]
    assert told == (await served.lease("GET", "/database")).json()


async def test_a_lease_is_held_and_let_go(cli: Cli, served: Served):
    await served.create_db("alice")
    said = printed(await cli("hold", "database", "--for", "3d", "--note", "over the weekend"))
    lease = await served.world.lease(ALICE)
    assert said.startswith("database of alice is running, held until 2")
    assert lease.held_until == pytest.approx(served.world.clock.now() + 3 * DAY, abs=30)
    assert lease.hold_note == "over the weekend"
    until = "2999-01-01T00:00:00+01:00"
    assert "until: at most 7 d ahead" in refused(await cli("hold", "database", "--until", until), 1)
    assert refused(await cli("hold", "database", "--off", "--revision", "2"), 1) == "its revision is 3 now"
    assert (
        printed(await cli("hold", "database", "--off", "--revision", "3")) == "database of alice is running, not held\n"
    )
    assert (await served.world.lease(ALICE)).held_until is None


async def test_a_lease_is_ended_only_with_its_data(cli: Cli, served: Served):
    await served.create_db("alice")
    assert refused(await cli("end", "database"), 1) == NO_ARCHIVE
    assert "deleting" in printed(await cli("end", "database", "--purge", "--revision", "2"))
    told = json.loads(printed(await cli("end", "database", "--purge", "--json")))
    assert (told["state"], told["id"]) == ("deleting", "database")


async def test_an_admin_says_whose_before_or_behind_the_command(cli: Cli, served: Served):
    for user in ("alice", "bob"):
        await served.create_db(user)
    admin = served.people.holder("admin", "ops", "default")
    assert [lease["owner"] for lease in json.loads(printed(await cli("--json", by=admin)))] == ["alice", "bob"]
    assert json.loads(printed(await cli("--owner", "bob", "--json", by=admin)))[0]["owner"] == "bob"
    for words in (("--owner", "bob", "--json", "show", "database"), ("show", "database", "--owner", "bob", "--json")):
        assert json.loads(printed(await cli(*words, by=admin)))["owner"] == "bob"
    assert refused(await cli("show", "database", by=admin), 1) == "owner: say whose it is"
    assert refused(await cli("show", "database", "--owner", "bob"), 1) == "there is no such user"


async def test_all_pages_are_one_list(cli: Cli, served: Served, monkeypatch: pytest.MonkeyPatch):
    for n in range(5):
        await served.create_db(f"user{n}")
    monkeypatch.setattr("selfhost.leases_client.PAGE", 2)
    found = json.loads(printed(await cli("--json", by=served.people.holder("admin", "ops", "default"))))
    assert [lease["owner"] for lease in found] == [f"user{n}" for n in range(5)]


@pytest.mark.parametrize("id", ["nothing", "a b", "ä", "a%2Fb", "../create_db", "x?purge=true", "x#y"])
async def test_what_is_not_there_is_told_in_one_sentence(cli: Cli, id: str):
    assert refused(await cli("show", id), 1) == "there is no such lease"
    assert refused(await cli("end", "--purge", "--", id), 1) == "there is no such lease"


async def test_watching_prints_what_has_changed_until_it_is_interrupted(
    cli: Cli, served: Served, monkeypatch: pytest.MonkeyPatch
):
    await served.create_db("alice")
    loop, pauses = asyncio.get_running_loop(), 0

    async def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 2:
            later = served.hold(served.world.clock.now() + DAY)
            asyncio.run_coroutine_threadsafe(later, loop).result(10)
        if pauses == 3:
            asyncio.run_coroutine_threadsafe(served.strike("the store is down"), loop).result(10)
        if pauses == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(leases_cli, "pause", pause)
    result = await cli("--watch", "--json")
    assert result.exit_code == 130
    first, second = map(json.loads, result.stdout.splitlines())
    assert "hold" not in first[0] and "hold" in second[0]
    assert "in the log of this server" in result.stderr, "it goes on when the server is back"


async def test_on_a_terminal_the_table_is_drawn_anew_each_time(
    cli: Cli, served: Served, monkeypatch: pytest.MonkeyPatch
):
    await served.create_db("alice")
    drawn = 0

    async def pause() -> None:
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(leases_cli, "pause", pause)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    result = await cli("--watch")
    assert result.exit_code == 130
    assert result.stdout.count("running") >= 3


async def test_a_server_that_cannot_say_is_another_exit_code(cli: Cli, served: Served):
    await served.strike("the store is down")
    assert refused(await cli(), 3) == "what it was is in the log of this server"
    assert refused(await cli("--url", "https://127.0.0.1:1"), 3).startswith("no answer from https://127.0.0.1:1: ")


async def test_only_a_server_with_the_cas_certificate_is_told_anything(cli: Cli, served: Served, folder: Path):
    other = folder / "other.crt"
    other.write_bytes(served.people.factory.foreign_ca.certificate.public_bytes(Encoding.PEM))
    assert "certificate verify failed" in refused(await cli("--ca", str(other)), 3)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, f"no server is named: use --url, or {SERVER} in the environment or in .playground/sqlflow_playground.env"),
        ({"--url": "http://h"}, "http://h is no https:// URL"),
        ({"--url": "\x1b[2Jh"}, "\\x1b[2Jh is no https:// URL"),
        ({"--url": "https://h", "--cert": "missing.crt"}, "missing.crt: No such file or directory"),
        (
            {"--url": "https://h", "--ca": "empty"},
            "empty holds no certificate that can be used, or not the one of its key",
        ),
        (
            {"--url": "https://h", "--cert": "empty"},
            "empty holds no certificate that can be used, or not the one of its key",
        ),
    ],
)
def test_what_is_not_set_or_cannot_be_used_is_named(folder: Path, settings: dict[str, str], why: str):
    (folder / "empty").write_text("")
    options = [word for pair in settings.items() for word in pair]
    for command in ([], ["show", "database"], ["hold", "database", "--off"], ["end", "database"]):
        assert refused(CliRunner().invoke(app, ["leases", *options, *command]), 2) == why


@pytest.mark.parametrize(
    "words",
    [
        ("hold", "database"),
        ("hold", "database", "--for", "3d", "--off"),
        ("hold", "database", "--for", "3w"),
        ("hold", "database", "--until", "now", "--for", "1d"),
        ("end",),
        ("hold", "database", "--off", "--revision", "0"),
        ("purge", "database"),
    ],
)
def test_a_wrong_call_asks_nobody(words: tuple[str, ...]):
    assert CliRunner().invoke(app, ["leases", *words]).exit_code == 2


def test_help_needs_no_server():
    for command in ([], ["show"], ["hold"], ["end"]):
        assert CliRunner().invoke(app, ["leases", *command, "--help"]).exit_code == 0


def test_what_is_given_counts_more_than_the_environment_and_that_more_than_the_file(folder: Path):
    file = folder / "my.env"
    file.write_text(f"{SERVER}=https://file\n{CA}='a file'\n{CERT}=\"b\"\nexport {KEY}=c # why\n")
    environment = {FILE: str(file), SERVER: "https://environment", CERT: "", KEY: "environment"}
    read = Access.read({KEY: "given", CA: ""}, environment)
    assert read == Access("https://environment", "a file", "b", "given")
    with pytest.raises(NotSet):
        Access.read({}, {FILE: "missing"})
