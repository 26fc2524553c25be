"""The command: it serves until it is told to stop, or says in one line why it does not."""

import asyncio
import os
import re
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from selfhost import interpreter
from selfhost.server import main
from tests.selfhost.clients import Connection, Files, get
from tests.selfhost.conftest import APPS

COMMAND = (sys.executable, "-c", "import sys; from selfhost.server import main; sys.exit(main())")


class Server:
    """A running `sqlflow_playground`."""

    def __init__(self, process: asyncio.subprocess.Process, files: Files) -> None:
        self.process = process
        self.files = files
        self.port = 0
        self.opened: list[Connection] = []

    async def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode()

    async def logged(self, pattern: str) -> str:
        """The next log line that matches."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while line := (await self.process.stderr.readline()).decode():
                if re.search(pattern, line):
                    return line
        raise AssertionError(f"never logged: {pattern}")

    async def listening(self) -> None:
        said = await self.line()
        found = re.fullmatch(r"listening on https?://127\.0\.0\.1:(\d+)\n", said)
        assert found, said + (await self.end())[2]
        self.port = int(found[1])

    async def connect(self, tls: bool = True) -> Connection:
        context = None
        if tls:
            context = ssl.create_default_context(cafile=str(self.files.ca_crt))
            context.load_cert_chain(self.files.client_crt, self.files.client_key)
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context))
        self.opened.append(connection)
        return connection

    async def end(self, *numbers: int) -> tuple[int | None, str, str]:
        """Send those signals; exit status, and what else it wrote to stdout and stderr."""
        for number in numbers:
            self.process.send_signal(number)
        out, err = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode, out.decode(), err.decode()


Start = Callable[..., Awaitable[Server]]


@pytest.fixture
async def start(files: Files) -> AsyncIterator[Start]:
    """`await start("--port=0", app="echo", NAME="value")` starts the command with mutual TLS."""
    servers: list[Server] = []

    async def start(*options: str, app: str | Path = "echo", tls: bool = True, **settings: str) -> Server:
        given = [f"--{name}={getattr(files, name)}" for name in ("ca_crt", "server_key", "server_crt")] if tls else []
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *given, f"--app_dir={APPS / app}", *(options or ("--port=0",)),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"ECHO_SCHEDULE": "0 0 0 1 1 *"} | settings,
        )  # fmt: skip
        servers.append(Server(process, files))
        return servers[-1]

    yield start
    for server in servers:
        for connection in server.opened:
            connection.writer.transport.abort()
        if server.process.returncode is None:
            server.process.kill()
            await server.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_prints_one_line_serves_and_stops_in_order(start: Start, number: int) -> None:
    server = await start("--port", "0")
    await server.listening()
    connection = await server.connect()
    assert (await connection.ask(get("/"))).body == b"Hello, Echo!"
    assert await server.end(number) == (0, "", "")


async def test_a_request_in_flight_is_answered_before_the_end(start: Start, tmp_path: Path) -> None:
    pipe = tmp_path / "may_end"
    os.mkfifo(pipe)
    server = await start(ECHO_MAY_END=str(pipe))
    await server.listening()
    connection = await server.connect()
    await connection.send(get("/api/stays"))
    assert await server.line() == "in flight\n"
    server.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        while True:  # until nobody is let in any more
            try:
                (await server.connect()).writer.close()
            except ConnectionError:
                break
    assert server.process.returncode is None
    await asyncio.to_thread(pipe.write_bytes, b"")
    reply = await connection.reply()
    assert (reply.body, reply.header("connection")) == (b"ended", "close")
    assert await server.end() == (0, "", "")


async def test_a_second_signal_ends_it_at_once(start: Start, tmp_path: Path) -> None:
    pipe = tmp_path / "may_end"
    os.mkfifo(pipe)
    server = await start(ECHO_MAY_END=str(pipe))
    await server.listening()
    connection = await server.connect()
    await connection.send(get("/api/stays"))
    await server.line()
    server.process.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionError):  # the first signal is heeded
        while True:
            (await server.connect()).writer.close()
    status, _, err = await server.end(signal.SIGTERM)
    assert status == -signal.SIGTERM
    assert "Traceback" not in err


@pytest.mark.slow
async def test_its_timers_fire_and_outlive_a_failure(start: Start) -> None:
    server = await start("--port=0", "--timer_jitter=0", ECHO_SCHEDULE="* * * * * *", ECHO_TICK="fails")
    await server.listening()
    await server.logged("echo: tick")
    await server.logged("ERROR selfhost.runtime: function tick failed")
    await server.logged("RuntimeError: no tick")
    await server.logged("echo: tick")
    status, _, err = await server.end(signal.SIGTERM)
    assert status == 0
    assert "Native invocation" not in err


HOOKED = """
import os
import azure.functions as func
import hooks as startup
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
at_load = [os.environ.get("PLAYGROUND_CERTIFICATE_FROM"), os.environ.get("PLAYGROUND_CLIENT_CA")]
@app.route("settings", methods=["GET"])
async def settings(req: func.HttpRequest) -> str:
    return repr(at_load)
"""
HOOKS = """
async def begin(): print("begins", flush=True); {begin}
async def end(): print("ends", flush=True)
"""


@pytest.fixture
def hooked(tmp_path: Path) -> Callable[[str], Path]:
    """An app with a `startup`, whose `begin` ends with the given statement."""

    def make(begin: str = "") -> Path:
        (tmp_path / "function_app.py").write_text(HOOKED)
        (tmp_path / "host.json").write_text('{"version": "2.0"}')
        (tmp_path / "hooks.py").write_text(HOOKS.format(begin=begin))
        return tmp_path

    return make


async def test_an_app_begins_before_it_is_heard_of_and_ends_last(start: Start, hooked: Callable[..., Path]) -> None:
    server = await start(app=hooked())
    assert await server.line() == "begins\n"
    await server.listening()
    reply = await (await server.connect()).ask(get("/api/settings"))
    assert reply.body.decode() == repr(["selfhost", str(server.files.ca_crt)])
    assert await server.end(signal.SIGTERM) == (0, "ends\n", "")


async def test_an_app_that_cannot_begin_is_not_served(start: Start, hooked: Callable[..., Path]) -> None:
    server = await start(app=hooked("raise ValueError('no store')"))
    status, out, err = await server.end()
    assert (status, out) == (2, "begins\n")
    assert err == "sqlflow_playground: the app cannot begin: ValueError: no store\n"


async def test_without_tls_it_says_so_and_sets_no_certificate(start: Start, hooked: Callable[..., Path]) -> None:
    server = await start("--insecure-http", "--port=0", app=hooked(), tls=False)
    await server.line()
    await server.listening()
    reply = await (await server.connect(tls=False)).ask(get("/api/settings", "X-ARR-ClientCert: forged"))
    assert reply.body == b"[None, None]"
    status, _, err = await server.end(signal.SIGTERM)
    assert status == 0
    assert "WARNING selfhost.server: --insecure-http: everything is served in clear" in err


async def test_a_port_in_use_is_named(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = await start(f"--port={port}")
        expected = f"sqlflow_playground: --host=127.0.0.1 --port={port}: the port is in use\n"
        assert await server.end() == (2, "", expected)


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        (("--host=no.such.host.invalid",), {}, "--host=no.such.host.invalid: "),
        (("--port=0",), {"ECHO_SCHEDULE": "*/5 * * * *"}, "function tick: its schedule: it must have six fields"),
        (("--app_dir=/nowhere",), {}, "no function_app.py in /nowhere"),
    ],
)
async def test_what_keeps_it_from_starting_is_one_line(
    start: Start, options: tuple[str, ...], settings: dict[str, str], message: str
) -> None:
    status, out, err = await (await start(*options, **settings)).end()
    assert (status, out) == (2, "")
    assert err.startswith(f"sqlflow_playground: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--ca_crt, --server_key, --server_crt missing (or --insecure-http, to serve without TLS)"),
        (["--port=1", "--ca_crt=a"], "--server_key, --server_crt missing (or --insecure-http, to serve without TLS)"),
        (["--ca_crt=a", "--server_key=b"], "--server_crt missing (or --insecure-http, to serve without TLS)"),
        (["--insecure-http", "--ca_crt=a"], "--insecure-http serves without TLS: leave out --ca_crt, "),
        (["--ca_crt=/gone", "--server_key=b", "--server_crt=c"], "--ca_crt=/gone: No such file or directory"),
    ],
)
def test_without_its_files_it_does_not_start(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(options) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"sqlflow_playground: {message}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--workers=2", "--port=high", "--port=65536", "--port=-1", "--unknown", "--ca=a"])
def test_an_option_that_means_nothing_is_refused(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


async def test_a_blank_log_level_is_the_default(start: Start) -> None:
    server = await start(PLAYGROUND_LOG_LEVEL=" ")
    await server.listening()
    assert await server.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.parametrize("level", ["FOO", "info", "20"])
def test_a_log_level_that_is_none_is_a_wrong_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    monkeypatch.setenv("PLAYGROUND_LOG_LEVEL", level)
    assert main([]) == 2
    expected = "sqlflow_playground: PLAYGROUND_LOG_LEVEL: must be one of DEBUG, INFO, WARNING, ERROR\n"
    assert capsys.readouterr().err == expected


FROZEN = """
import gc
import sys
import azure.functions as func
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
@app.route("collector", methods=["GET"])
async def collector(req: func.HttpRequest) -> str:
    return repr([gc.get_freeze_count() > 10_000, gc.isenabled(), gc.get_threshold(), sys.getswitchinterval()])
@app.route("young", methods=["GET"])
async def young(req: func.HttpRequest) -> str:
    many = [[] for _ in range(60_000)]
    return str(gc.get_stats()[1]["collections"])
@app.route("looked", methods=["GET"])
async def looked(req: func.HttpRequest) -> str:
    return str(gc.get_stats()[1]["collections"])
"""


@pytest.mark.slow
async def test_while_it_serves_the_collector_and_the_loop_keep_nobody_waiting_for_long(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "function_app.py").write_text(FROZEN)
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    server = await start(app=tmp_path)
    await server.listening()
    reply = await (await server.connect()).ask(get("/api/collector"))
    assert reply.body.decode() == repr([True, True, interpreter.GENERATIONS, interpreter.SWITCH])
    connection = await server.connect()
    before = await connection.ask(get("/api/young"))
    async with asyncio.timeout(10):  # it looks once a second
        while (await connection.ask(get("/api/looked"))).body == before.body:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await server.end(signal.SIGTERM)
