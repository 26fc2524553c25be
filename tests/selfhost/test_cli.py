"""`playground reap`, and how every command of `playground` ends when something is wrong."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from selfhost.cli import app
from selfhost.remembered import remember
from selfhost.setup import Files, make_files, server_settings
from shared.adapters.k8s.databases import Databases
from shared.adapters.sqlite import SqliteStore
from shared.domain.leases import Lease, Owner, State
from shared.domain.policy import DAY
from shared.manifests.mariadb import Spec
from shared.wiring import cluster, policies, sealing
from tests.contract.leases import event_of
from tests.doubles.kubernetes import Kubernetes
from tests.samples import a_lease

NEVER_READY = Owner("default", "bob@example.com")
ASLEEP = Owner("default", "alice")


@pytest.fixture(autouse=True)
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    """An empty current directory, no setting from outside, a cluster in memory."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PLAYGROUND_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    made = Kubernetes(auto=True)

    async def make() -> Databases:
        return Databases(made, Spec(image="mariadb"), "plane")

    monkeypatch.setattr(cluster.cluster, "_make", make)  # each command closes the one it has used
    yield made
    for each in (cluster.cluster, policies.policy, sealing.sealer):
        asyncio.run(each.close())  # type: ignore[attr-defined]
    for name in os.environ.keys() - before.keys():
        del os.environ[name]  # commands put their settings there


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """What a `playground run` in the current directory leaves, with two leases that are due."""
    files = Files(tmp_path / ".playground")
    make_files(files, "alice", ("localhost",), {})
    settings = server_settings(files, "https://127.0.0.1:1", {})
    remember(files, settings | {"PLAYGROUND_KUBECONFIG": str(tmp_path / "kubeconfig")})
    now = time.time()
    put(files, a_lease(State.FAILED, now - 15 * DAY, owner=NEVER_READY, due_at=now - 60))
    put(files, a_lease(State.HIBERNATED, now - DAY, owner=ASLEEP, due_at=now - 30, reason="idle [/for] 11 h"))
    return files


def put(files: Files, lease: Lease) -> None:
    async def create() -> None:
        store = await SqliteStore.open(files.store)
        await store.create(lease, event_of(lease))
        await store.close()

    asyncio.run(create())


def leases(files: Files) -> list[Lease]:
    async def page() -> list[Lease]:
        store = await SqliteStore.open(files.store)
        found, _ = await store.page("", 10)
        await store.close()
        return list(found)

    return asyncio.run(page())


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))


def refused(*arguments: str) -> str:
    """What the command says when it fails: one line on stderr, and nothing else."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("playground: ")
    return line.removeprefix("playground: ")


def test_a_dry_run_prints_owner_act_and_why_and_changes_nothing(files: Files, kubernetes: Kubernetes):
    before = leases(files)
    result = run("reap", "--dry-run")
    assert result.exit_code == 0, result.output
    first, second = (line for line in result.stdout.splitlines() if "default/" in line)
    for words in ("default/bob%40example.com", "database", "failed", "delete", "deleting", "never was ready"):
        assert words in first
    for words in ("default/alice", "hibernated", "nothing", "idle [/for] 11 h"):
        assert words in second
    assert leases(files) == before
    assert not [request for request in kubernetes.requests if request.verb not in ("get", "page", "watch")]


def test_a_dry_run_tells_programs_the_same_as_json(files: Files):
    rows = json.loads(run("reap", "--dry-run", "--json").stdout)
    assert rows[0] == {
        "owner": "default/bob%40example.com", "lease": "database", "state": "failed",
        "act": "delete", "becomes": "deleting", "why": "never was ready",
    }  # fmt: skip


def test_reap_does_it_and_prints_its_counts(files: Files):
    result = run("reap")
    assert result.exit_code == 0, result.output
    heads, counts = ([cell.strip() for cell in line.split("│" if "│" in line else "┃")] for line in table(result))
    assert dict(zip(heads, counts, strict=True))["due"] == "2"
    assert [lease.owner for lease in leases(files)] == [ASLEEP], "the one that never was ready is released"
    [row] = json.loads(run("reap", "--json").stdout)
    assert row["due"] == 0, "nothing is due any more"


def table(result: Result) -> list[str]:
    return [line for line in result.stdout.splitlines() if line[0] in "│┃"]


def test_nothing_is_cut_off_where_it_is_narrow(files: Files):
    narrow = CliRunner(env={"COLUMNS": "60"}).invoke(app, ["reap", "--dry-run"]).stdout
    cells = [[cell.strip() for cell in line.split("│")] for line in narrow.splitlines() if line.startswith("│")]
    assert "".join(row[1] for row in cells).startswith("default/bob%40example.com")


def test_where_nothing_is_due_it_says_so(files: Files):
    run("reap")
    assert "nothing is due" in run("reap", "--dry-run").stdout


def test_what_is_set_counts_more_than_what_run_used(files: Files, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_RETENTION", "P20D")
    assert json.loads(run("reap", "--dry-run", "--json").stdout)[0]["act"] == "nothing"


def test_the_environment_s_own_store_is_never_mixed_with_the_folder_s(files: Files, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_STORE", "sqlite:///elsewhere.db")
    assert refused("reap", "--dry-run") == "PLAYGROUND_STORE: there is no elsewhere.db"
    assert not Path("elsewhere.db").exists(), "looking does not make one"


def test_without_any_settings_it_says_which_to_set():
    said = refused("reap")
    assert ".playground is not the folder of a `playground run`" in said
    for name in ("PLAYGROUND_STORE", "PLAYGROUND_SEAL_KEYS", "PLAYGROUND_KUBECONFIG"):
        assert name in said


@pytest.mark.parametrize(
    ("name", "value"), [("PLAYGROUND_GRACE", "soon"), ("PLAYGROUND_GRAZE", "PT11H"), ("PLAYGROUND_SEAL_KEYS", "k")]
)
def test_a_bad_setting_is_one_line_that_names_it(files: Files, monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    if name == "PLAYGROUND_SEAL_KEYS":
        monkeypatch.setenv("PLAYGROUND_STORE", f"sqlite:///{files.store}")
    monkeypatch.setenv(name, value)
    assert refused("reap", "--dry-run").startswith(name)


def test_settings_that_cannot_be_read_are_one_line(files: Files):
    files.settings.write_text("[]")
    assert "settings.json cannot be read" in refused("reap")


def test_no_secret_is_kept_for_later(tmp_path: Path):
    files = Files(tmp_path)
    secrets = {"PLAYGROUND_SEAL_KEYS": "k:hunter2", "PLAYGROUND_LOOKS": "queue:https://q/?sig=hunter2"}
    remember(files, secrets | {"PLAYGROUND_GRACE": "PT12H"})
    assert json.loads(files.settings.read_text()) == {"PLAYGROUND_GRACE": "PT12H"}


def test_a_folder_that_cannot_be_made_is_one_line():
    Path("file").touch()
    assert refused("run", "--folder", "file") == f"{Path('file').absolute()}: File exists"


def test_a_disk_that_is_full_is_one_line(monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("selfhost.setup.create_key_file", full)
    assert refused("run") == ".playground: No space left on device"


BUG = """
import sys
from selfhost import cli, {module}
def bug(*arguments, **more):
    password = "hunter2"
    raise ZeroDivisionError("a bug")
{module}.{name} = bug
sys.argv = ["playground", *{arguments}]
cli.app()
"""


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("run", "make_files", ["run", "--folder", "kept"]),
        ("remembered", "settings_for", ["reap"]),
        ("certs_cli", "describe", ["certs", "show", "{certificate}"]),
    ],
)
def test_a_bug_shows_where_it_is_and_no_variable(files: Files, module: str, name: str, arguments: list[str]):
    arguments = [argument.format(certificate=files.ca) for argument in arguments]
    code = BUG.format(module=module, name=name, arguments=arguments)
    environment = {name: value for name, value in os.environ.items() if name != "_TYPER_STANDARD_TRACEBACK"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert "ZeroDivisionError: a bug" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr.replace('password = "hunter2"', "")
