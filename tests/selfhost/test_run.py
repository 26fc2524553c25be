"""`playground run` with a server that does what a test wants: whatever fails is told, with what to do about it."""

import asyncio
import os
import pty
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from selfhost import child, main_job, run
from selfhost.child import Child
from selfhost.errors import CannotStart
from selfhost.lock import holders
from selfhost.setup import Files

# Takes the real one's options. `PLAYED` is run in an answer to create_db and may set `body`.
SERVER = """#!{python}
import http.server, json, os, signal, socket, ssl, sys
options = dict(option.removeprefix("--").split("=") for option in sys.argv[1:])
say = lambda words: print(words, file=sys.stderr, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        told = dict(status=200, body=json.dumps(dict(data_source=os.environ["SOURCE"])))
        exec(os.environ["PLAYED"], dict(globals(), told=told))
        self.answer(**told)
    def do_GET(self):
        self.answer(200, json.dumps(dict(renewed=True)))
    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_):
        pass
exec(os.environ["BEGUN"])
server = http.server.HTTPServer(("127.0.0.1", int(options["port"])), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(options["server_crt"], options["server_key"])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("listening on https://127.0.0.1", flush=True)
server.serve_forever()
"""
PROBE = "2026-11-21 15:27:54,164 WARNING playground.probe: "


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "kept")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


type Play = Callable[..., Awaitable[int]]


@pytest.fixture
def play(files: Files, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """`await play("code for create_db")` runs with that server on no cluster; the database is at a closed port."""
    for name in [name for name in os.environ if name.startswith(("PLAYGROUND_", "SQLFLOW_"))]:
        monkeypatch.delenv(name)
    program = tmp_path / "sqlflow_playground"
    program.write_text(SERVER.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    async def no_cluster(environment: object) -> None:
        """There is none to prepare."""

    monkeypatch.setattr(run, "prepare_cluster", no_cluster)
    monkeypatch.setattr(child, "MOMENT", 0.2)
    monkeypatch.setenv("SOURCE", f"mysql://u:s3cret@tcp(127.0.0.1:{port + 1 if port < 65535 else 1})/?a=0")

    async def play(played: str = "", begun: str = "") -> int:
        monkeypatch.setenv("PLAYED", played or "pass")
        monkeypatch.setenv("BEGUN", begun or "pass")
        async with asyncio.timeout(60):
            return await run.run(files, port, 0)

    return play


async def told(play: Play, played: str, begun: str = "") -> str:
    """Why it did not start; the server is gone."""
    with pytest.raises(CannotStart) as caught:
        await play(played, begun)
    return str(caught.value)


async def test_a_database_that_cannot_be_reached_is_one_sentence_that_names_what_to_set(
    play: Play, files: Files, capsys: pytest.CaptureFixture[str]
):
    said = await told(play, "")
    assert "\n" not in said
    assert "cannot be reached from here" in said and "Connection refused" in said
    assert "set PLAYGROUND_ADDRESS=node-port or load-balancer" in said
    assert "PLAYGROUND_CLIENT_NETWORKS (now: none)" in said
    printed = capsys.readouterr().out
    assert "SQL in the database … failed after" in printed
    assert "s3cret" not in said + printed
    assert holders(files.folder) == [], "the server has ended, too"


async def test_with_an_address_from_outside_it_is_the_networks(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_ADDRESS", "node-port")
    monkeypatch.setenv("PLAYGROUND_CLIENT_NETWORKS", "10.0.0.0/8")
    said = await told(play, "")
    assert "PLAYGROUND_ADDRESS" not in said
    assert "PLAYGROUND_CLIENT_NETWORKS (now: 10.0.0.0/8)" in said


async def test_what_the_server_has_warned_of_is_told_with_a_failure(play: Play):
    warn = "; ".join(f"say({PROBE + words!r})" for words in ("no policies", "no room", "no policies"))
    first, *rest = (await told(play, "", warn)).split("\n")
    assert "cannot be reached" in first
    assert [line.strip() for line in rest] == ["its server warned:", "no policies", "no room"]


async def test_a_server_that_dies_in_the_main_job_is_told_with_its_log(play: Play):
    said = await told(play, "say('last words'); os.kill(os.getpid(), signal.SIGKILL)")
    assert said.startswith("POST /api/create_db failed: ")
    assert "the server was killed by SIGKILL; its log ends\n    last words" in said


async def test_a_server_that_ends_in_the_main_job_is_told_with_its_code(play: Play):
    assert "the server ended with 7; its log ends\n    last words" in await told(play, "say('last words'); os._exit(7)")


async def test_a_server_that_does_not_answer_is_told(play: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(main_job, "ANSWER", 1.0)
    assert await told(play, "signal.pause()") == "POST /api/create_db is not answered within 1 s"


@pytest.mark.parametrize("body", ["<html>502 Bad Gateway</html>", "[]", ""])
async def test_an_answer_that_is_no_json_object_is_told(play: Play, body: str):
    said = await told(play, f"told.update(status=502, body={body!r})")
    assert said == f"POST /api/create_db is answered 502 and no JSON object: {body.encode()!r}"


async def test_a_refusal_that_waiting_does_not_cure_is_told_at_once(play: Play, capsys: pytest.CaptureFixture[str]):
    said = await told(play, """told.update(status=403, body='{"detail": "no certificate"}')""")
    assert said == "POST /api/create_db is answered 403: no certificate"
    assert capsys.readouterr().out.count("create_db") == 1


async def test_what_is_refused_again_at_once_is_not_asked_for_ever_and_told_once(
    play: Play, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(main_job, "PAUSE", 0.0)
    why = "the image cannot be pulled"
    warn = f"say({PROBE + 'no database can be had here: ' + why!r})"
    said = await told(play, f"""told.update(status=503, body='{{"detail": "{why}"}}')""", warn)
    assert said.startswith(f"no database was to be had: {why}; set PLAYGROUND_DATABASE_IMAGE to ")
    assert "\n" not in said
    printed = capsys.readouterr().out
    assert printed.count("asking again") == main_job.SAME - 1
    assert printed.count(why) == 1


async def test_a_data_source_that_no_driver_takes_is_told(play: Play):
    assert "no data source" in await told(play, """told.update(body='{"data_source": "root@localhost"}')""")


async def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(play: Play):
    said = await told(play, "", "[say(f'line {n}') for n in range(99)]; sys.exit(3)")
    assert said.startswith("the server did not start; its log ends\n    line 84\n")
    assert said.endswith("line 98")
    assert await told(play, "", "say('sqlflow_playground: the reason'); sys.exit(2)") == (
        "the server did not start: the reason"
    )
    assert "ended with 1 and no word: see that there is room for" in await told(play, "", "os._exit(1)")


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[str]":
    """What is printed from now on, line by line."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr("builtins.print", lambda *words, **_: lines.put_nowait(" ".join(map(str, words))))
    return lines


async def until_printed(printed: "asyncio.Queue[str]", words: str) -> str:
    while words not in (line := await printed.get()):
        pass
    return line


async def test_it_ends_with_its_server_which_sigterm_ends(
    play: Play, files: Files, printed: "asyncio.Queue[str]", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(main_job, "round_trip", lambda *_: "rows")
    running = asyncio.ensure_future(play())
    assert "SQLFLOW_SERVER" in await until_printed(printed, "but first set")
    await until_printed(printed, "until Ctrl-C")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert holders(files.folder) == []


async def test_it_ends_when_its_server_does(
    play: Play, files: Files, printed: "asyncio.Queue[str]", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(main_job, "round_trip", lambda *_: "rows")
    running = asyncio.ensure_future(play())
    await until_printed(printed, "until Ctrl-C")
    _, server = holders(files.folder)
    os.kill(server, signal.SIGKILL)
    assert await running == 1
    await until_printed(printed, "the server ended by itself with -9; its log says why")


async def test_asked_to_end_before_it_serves_it_takes_its_server_with_it(
    play: Play, files: Files, printed: "asyncio.Queue[str]"
):
    running = asyncio.ensure_future(play("", "signal.pause()"))
    await until_printed(printed, "server, logging")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert holders(files.folder) == []


async def test_a_terminal_that_is_closed_ends_it_unless_it_was_told_not_to_mind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back at the end, for it is gone with its terminal
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    heard = asyncio.Event()
    with run.on_signals(heard.set):
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(heard.wait(), 10)
        assert sys.stdout.name == sys.stderr.name == os.devnull
        sys.stdout.close()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with run.on_signals(heard.set):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, "as nohup wants it"
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_terminal_is_seen_to_be_closed_where_nobody_tells(monkeypatch: pytest.MonkeyPatch):
    """As with `xterm -e make run`: make hears it, and waits for us."""
    monkeypatch.setattr(run, "LOOK", 0.0)
    ours, theirs = pty.openpty()
    closing = asyncio.create_task(run.closed(theirs))
    done, _ = await asyncio.wait([closing], timeout=0.01)
    assert not done
    os.close(ours)
    await asyncio.wait_for(closing, 10)
    os.close(theirs)


async def test_what_the_probe_finds_is_told_when_it_is_found(
    tmp_path: Path, printed: "asyncio.Queue[str]", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(child, "NEWS", 0.0)
    log = tmp_path / "server.log"
    log.write_text(f"{PROBE}no policies\n{PROBE.replace('probe', 'reaper')}not of the probe\n{PROBE}half a li")
    telling = asyncio.create_task(Child(None, log).tell_what_the_probe_finds())  # type: ignore[arg-type]
    assert await printed.get() == "  warning: no policies"
    append(log, "ne\n")
    assert await printed.get() == "  warning: half a line"
    telling.cancel()
    assert printed.empty()


def append(file: Path, text: str) -> None:
    with open(file, "a") as stream:
        stream.write(text)
