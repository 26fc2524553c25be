"""A kubeconfig whose user is a program that gives tokens: real programs, a real client."""

import asyncio
import json
import logging
import stat
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from shared.adapters.k8s import plugins
from shared.adapters.k8s.client import KubernetesApi
from shared.adapters.k8s.configurations import from_kubeconfig
from shared.domain.errors import ClusterUnavailable
from tests.adapters.apiserver import SECRET, Handler, listening
from tests.selfhost.clients import until

# Counts its runs in a file; what it does is in another, so that a test can change it.
PROGRAM = f"""#!{sys.executable}
import os, pathlib, sys
here = pathlib.Path(__file__).parent
with open(here / "runs", "a") as runs:
    runs.write(".")
exec((here / "does").read_text())
"""


class Program:
    """The program, the kubeconfig that names it, and a server that remembers who came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str | None] = []
        self.path = folder / "login"
        self.path.write_text(PROGRAM)
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    def does(self, source: str) -> None:
        (self.folder / "does").write_text(source)

    def gives(self, token: str = "t", ends: float | None = None, **more: str) -> None:
        status: dict[str, str] = {"token": token} if token else {}
        if ends is not None:
            status["expirationTimestamp"] = datetime.fromtimestamp(time.time() + ends, UTC).isoformat()
        text = json.dumps({"apiVersion": "v1", "kind": "ExecCredential", "status": status | more})
        self.does(f"print({text!r})")

    @property
    def runs(self) -> int:
        return len((self.folder / "runs").read_text()) if (self.folder / "runs").exists() else 0

    def kubeconfig(self, server: str, **changes: Any) -> str:
        exec = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "args": None} | changes
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"exec": exec}}],
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(content))
        return str(self.folder / "kubeconfig")

    def server(self) -> Handler:
        async def handler(request: web.Request) -> web.Response:
            self.seen.append(request.headers.get("Authorization"))
            return web.json_response(SECRET)

        return handler


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended (who takes on orphans may be slow to bury them)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


type Connect = Callable[..., Any]


@pytest.fixture
async def connect(program: Program):
    """`await connect()`: a client of the server, by the kubeconfig."""
    opened = []
    async with listening(program.server()) as server:

        async def connect(**changes: Any) -> KubernetesApi:
            opened.append(KubernetesApi(await from_kubeconfig(program.kubeconfig(server.host, **changes)), "here"))
            return opened[-1]

        yield connect
        for api in opened:
            await api.close()


async def test_a_token_serves_until_it_ends_and_is_then_renewed(program: Program, connect: Connect):
    program.gives("first", ends=3600)
    api = await connect()
    await asyncio.gather(*(api.get("Secret", "s") for _ in range(20)))
    assert (program.runs, set(program.seen)) == (1, {"Bearer first"})
    program.seen.clear()
    program.gives("short", ends=plugins.AHEAD / 2)
    api = await connect()
    program.gives("next", ends=3600)
    await api.get("Secret", "s")
    assert program.seen == ["Bearer next"]


async def test_a_program_that_fails_at_the_start_is_asked_again(program: Program, connect: Connect, caplog):
    program.does("sys.exit(3)")
    with caplog.at_level(logging.WARNING):
        api = await connect()
    assert "the kubeconfig's program login ended with exit code 3" in caplog.text
    with pytest.raises(ClusterUnavailable, match=r"no token for the cluster: .* login ended with exit code 3"):
        await api.get("Secret", "s")
    assert program.seen == [], "nobody came without a token"
    program.gives("late")
    await api.get("Secret", "s")
    assert program.seen == ["Bearer late"]


async def test_watches_and_commands_have_tokens_too(program: Program, connect: Connect):
    program.does("sys.exit(3)")
    api = await connect()
    for act in (api.run("pod", "c", ["true"]), anext(api.watch("Secret", "", "", "1")), api.page("Secret")):
        with pytest.raises(ClusterUnavailable, match="no token"):
            await act


@pytest.mark.slow
async def test_a_program_that_hangs_is_ended_and_stops_no_request_for_ever(
    program: Program, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plugins, "SECONDS", 1.5)
    # With a child that holds its output open, as a script's does.
    program.does(
        "import subprocess, time; child = subprocess.Popen(['sleep', '600'])\n"
        "(here / 'pids').write_text(f'{os.getpid()} {child.pid}'); time.sleep(600)"
    )
    api = await connect()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(api.get("Secret", "s") for _ in range(20)), return_exceptions=True)
    assert {str(answer) for answer in answers} == {
        "no token for the cluster: the kubeconfig's program login did not end within 1.5 s"
    }
    assert program.runs == 2, "one at the start, one for all who asked"
    pids = (program.folder / "pids").read_text().split()
    await until(lambda: not any(runs(int(pid)) for pid in pids))  # its child's end nobody tells
    program.gives("late")
    await api.get("Secret", "s")


async def test_the_loop_goes_on_while_a_program_runs_and_who_gives_up_does_not_end_it(
    program: Program, connect: Connect
):
    program.gives("first", ends=0)
    api = await connect()
    program.gives("slow", ends=3600)
    (program.folder / "does").write_text(
        "import time\nwhile not (here / 'go').exists(): time.sleep(0.01)\n" + (program.folder / "does").read_text()
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await api.get("Secret", "s")
    (program.folder / "go").touch()
    await api.get("Secret", "s")
    assert (program.runs, program.seen) == (2, ["Bearer slow"])


async def test_a_token_that_still_holds_serves_while_its_renewal_fails(program: Program, connect: Connect):
    program.gives("old", ends=plugins.AHEAD / 2)
    api = await connect()
    program.does("sys.exit(1)")
    await api.get("Secret", "s")
    assert program.seen == ["Bearer old"]


async def test_a_token_without_an_end_is_used_for_a_while(program: Program, connect: Connect, monkeypatch):
    program.gives("undated")
    api = await connect()
    await api.get("Secret", "s")
    assert program.runs == 1
    later = time.time() + plugins.UNDATED + 1
    monkeypatch.setattr(plugins.time, "time", lambda: later)
    await api.get("Secret", "s")
    assert program.runs == 2


async def test_what_a_program_is_told(program: Program, connect: Connect):
    program.does(
        "import json; print(json.dumps({'status': {'token':"
        " json.dumps([sys.argv[1:], os.environ['CLOUD'], os.environ['KUBERNETES_EXEC_INFO'], sys.stdin.read()])}}))"
    )
    api = await connect(args=["get-token", "$(id)"], env=[{"name": "CLOUD", "value": "a b"}])
    await api.get("Secret", "s")
    arguments, cloud, info, stdin = json.loads(str(program.seen[0]).removeprefix("Bearer "))
    assert (arguments, cloud, stdin) == (["get-token", "$(id)"], "a b", "")
    assert json.loads(info) == {
        "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {"interactive": False},
    }  # fmt: skip


async def test_a_program_has_the_environment_but_not_our_settings(
    program: Program, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AZURE_CONFIG_DIR", "kept")
    monkeypatch.setenv("PLAYGROUND_SEAL_KEYS", "k:hunter2")
    program.does("import json; print(json.dumps({'status': {'token': json.dumps(dict(os.environ))}}))")
    await (await connect()).get("Secret", "s")
    environment = json.loads(str(program.seen[0]).removeprefix("Bearer "))
    assert environment["AZURE_CONFIG_DIR"] == "kept"
    assert not [name for name in environment if name.startswith("PLAYGROUND_")]


@pytest.mark.parametrize(
    "output",
    ["", "hunter2", "[]", '{"status": null}', '{"status": {}}', '{"status": {"token": 7}}',
     '{"status": {"token": "hunter2", "expirationTimestamp": "soon"}}', '{"status": {"clientCertificateData": "x"}}'],
)  # fmt: skip
async def test_what_is_no_credential_is_no_token_and_is_in_no_log(program: Program, connect: Connect, output, caplog):
    program.does(f"print({output!r})")
    with caplog.at_level(logging.DEBUG):
        api = await connect()
    with pytest.raises(ClusterUnavailable, match=r"printed no ExecCredential|gave neither") as refused:
        await api.get("Secret", "s")
    assert "hunter2" not in caplog.text + str(refused.value)


async def test_a_program_that_is_not_there_is_said(program: Program, connect: Connect, caplog):
    api = await connect(command="/nowhere/kubelogin")
    assert "kubelogin cannot be run: No such file or directory" in caplog.text
    with pytest.raises(ClusterUnavailable, match="kubelogin cannot be run"):
        await api.get("Secret", "s")


async def test_a_certificate_is_taken_at_the_start(program: Program):
    program.gives("", clientCertificateData="CERTIFICATE", clientKeyData="KEY")
    configuration = await from_kubeconfig(program.kubeconfig("https://h"))
    files = [Path(configuration.cert_file), Path(configuration.key_file)]
    assert [file.read_text() for file in files] == ["CERTIFICATE", "KEY"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert configuration.refresh_api_key_hook is None
