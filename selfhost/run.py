"""`playground run`: a server from nothing, and then the main job as a notebook would do it, shown."""

import asyncio
import json
import os
import re
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pymysql

from selfhost.errors import CannotStart
from selfhost.lock import Lock, held
from selfhost.setup import Files, current_user, hosts, make_files, server_settings, write_notebook_settings
from shared.domain.errors import PlaygroundError
from shared.edge import settings

LISTENING = re.compile(r"listening on (\S+)")
REASON = "sqlflow_playground: "  # begins the server's last line, where it knows why it does not start
ANSWER = 20.0  # seconds after which the notebook plugin gives up


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is done and how long it took."""
    began = time.monotonic()
    print(f"  {what} …", end="", flush=True)
    try:
        yield
    except BaseException:
        print(f" failed after {time.monotonic() - began:.1f} s", flush=True)
        raise
    print(f" {time.monotonic() - began:.1f} s", flush=True)


async def run(files: Files, port: int) -> int:
    """Everything that is missing is made; ends with the server, on Ctrl-C. Returns its exit code.

    Raises CannotStart with one sentence that says what to do, and CancelledError where SIGTERM or the end of the
    terminal comes before the server was shown.
    """
    task = asyncio.current_task()
    assert task
    with on_signals(task.cancel):
        os.makedirs(files.folder, mode=0o700, exist_ok=True)
        with held(files.folder) as lock:
            return await run_alone(files, port, lock)


async def run_alone(files: Files, port: int, lock: Lock) -> int:
    """`run`, once nobody else does in that folder."""
    user, url = current_user(), f"https://127.0.0.1:{port}"
    for made in make_files(files, user, hosts(), os.environ):
        print(f"  made {made}")
    named = write_notebook_settings(files, url, user, os.environ.get("SQLFLOW_SERVER", ""))
    environment = {**os.environ, **server_settings(files, url)}
    await prepare_cluster(environment)
    server = await start_server(files, port, environment, lock)
    try:
        await wait_until_it_listens(server, files)
        await show_the_main_job(files, url, user)
        print(f"\nFor a notebook: SQLFLOW_JUPYTER_ENV_PATH={files.notebook} jupyter notebook")
        if not named:
            print(f"  but first set SQLFLOW_SERVER in {_short(files.notebook)} to the address of your SQLFlow server")
        print("The server goes on, reaping what nobody uses, until Ctrl-C; `make down` removes everything.", flush=True)
        return await until_it_ends(server)
    finally:
        if server.returncode is None:
            server.terminate()
            await server.wait()


async def prepare_cluster(environment: dict[str, str]) -> None:
    """See that the cluster answers and the namespace is there."""
    from shared.adapters.k8s import configurations
    from shared.adapters.k8s.namespaces import ensure_namespace

    path, namespace = settings.KUBECONFIG.read(environment), settings.NAMESPACE.read(environment)
    if not path:
        raise CannotStart(f"{settings.KUBECONFIG.name} is not set: name the kubeconfig of the cluster to use")
    if not os.path.isfile(path):  # noqa: ASYNC240
        raise CannotStart(f"{path} cannot be used as a kubeconfig: there is no such file")
    with step(f"cluster of {_short(Path(path))}, namespace {namespace}"):
        try:
            await ensure_namespace(await configurations.from_kubeconfig(path), namespace)
        except PlaygroundError as error:
            raise CannotStart(f"the cluster of {path} cannot be used: {error.detail}") from error
        except Exception as error:  # the library raises whatever it met in a file that is no kubeconfig
            why = " ".join(str(error).split())  # a parser's complaint has several lines
            raise CannotStart(f"{path} cannot be used as a kubeconfig: {why}") from error


async def start_server(files: Files, port: int, environment: dict[str, str], lock: Lock) -> asyncio.subprocess.Process:
    """The server as a process of its own, in no terminal's group: Ctrl-C is ours to pass on."""
    certificate, key = files.pair("server")
    program = Path(sys.executable).with_name("sqlflow_playground")
    options = [f"--port={port}", f"--ca_crt={files.ca}", f"--server_key={key}", f"--server_crt={certificate}"]
    with open(files.log, "wb") as log:  # noqa: ASYNC230
        server = await asyncio.create_subprocess_exec(
            program, *options, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=log, start_new_session=True, pass_fds=[lock.descriptor],
        )  # fmt: skip
    lock.add(server.pid)
    return server


async def wait_until_it_listens(server: asyncio.subprocess.Process, files: Files) -> None:
    """Returns once it listens. Raises CannotStart with the end of its log if it ends instead."""
    with step(f"server, logging to {_short(files.log)}"):
        assert server.stdout
        async for line in server.stdout:
            if LISTENING.match(line.decode()):
                return
        await server.wait()
        said = files.log.read_text(errors="replace").strip().splitlines()
        if said and said[-1].startswith(REASON):
            raise CannotStart(f"the server did not start: {said[-1].removeprefix(REASON)}")
        raise CannotStart("the server did not start; its log ends\n    " + "\n    ".join(said[-15:]))


async def show_the_main_job(files: Files, url: str, user: str) -> None:
    """create_db, a heartbeat and a round trip in SQL, with the user's own certificate."""
    certificate, key = files.pair(user)
    context = ssl.create_default_context(cafile=str(files.ca))
    context.load_cert_chain(certificate, key)
    timeout = aiohttp.ClientTimeout(total=ANSWER)
    print(f"\nAs a notebook of {user} would, with {_short(certificate)}:")
    async with aiohttp.ClientSession(url, timeout=timeout, connector=aiohttp.TCPConnector(ssl=context)) as session:
        for attempt in range(30):  # an image that is pulled for the first time takes several answers
            with step(f"POST {url}/api/create_db"):
                async with session.post("/api/create_db", json={"user_id": user}) as response:
                    answer = json.loads(await response.read())
            if response.status == 200:
                break
            print(f"    {response.status} {answer.get('detail', answer)}; asking again")
            await asyncio.sleep(min(5, attempt))
        else:
            raise CannotStart(f"no database was to be had: {answer.get('detail', answer)}")
        source = answer["data_source"]
        print(f"    data_source: {re.sub(r':[^:@]*@', ':••••@', source)}")
        with step(f"GET {url}/api/heart_beat?user_id={user}"):
            async with session.get("/api/heart_beat", params={"user_id": user}) as response:
                print(f" {await response.text()}", end="")
    with step("SQL in the database"):
        rows = await asyncio.to_thread(round_trip, source)
    print(f"    {rows}")


def round_trip(source: str) -> str:
    """Write, read back, and count the sample data; what the data source says is all it knows."""
    found = re.fullmatch(r"mysql://(\w+):(\w+)@tcp\((.+):(\d+)\)/.*", source)
    assert found, "a data source as the Go MySQL driver takes it"
    user, password, host, port = found.groups()
    connection = pymysql.connect(
        host=host, port=int(port), user=user, password=password, connect_timeout=10, autocommit=True
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS mine")
        cursor.execute("CREATE OR REPLACE TABLE mine.notes (body TEXT)")
        cursor.execute("INSERT INTO mine.notes VALUES ('written and read back')")
        cursor.execute("SELECT body, (SELECT COUNT(*) FROM iris.train), VERSION() FROM mine.notes")
        row = cursor.fetchone()
    assert row
    return f"mine.notes: {row[0]!r}; iris.train has {row[1]} rows; {row[2]}"


async def until_it_ends(server: asyncio.subprocess.Process) -> int:
    """Wait for the server, passing Ctrl-C on to it once and ending it at the second."""
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if server.returncode is None:
            server.send_signal(signal.SIGTERM if asked == 1 else signal.SIGKILL)
            if asked == 1:
                print("\nstopping: requests in flight are finished (Ctrl-C again ends it at once)", flush=True)

    with on_signals(stop, signal.SIGINT):
        code = await server.wait()
    if not asked:
        print(f"the server ended by itself with {code}; its log says why", file=sys.stderr)
    return 0 if asked else 1


@contextmanager
def on_signals(act: Callable[[], object], *more: signal.Signals) -> Iterator[None]:
    """Do it when somebody asks this process to end, or closes its terminal (unless it was told not to mind: nohup)."""
    loop = asyncio.get_running_loop()
    hangup = [signal.SIGHUP] * (signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN)

    def heard(number: signal.Signals) -> None:
        if number is signal.SIGHUP:  # there is nobody to print for, and trying would fail
            sys.stdout = sys.stderr = open(os.devnull, "w")
        act()

    numbers = [signal.SIGTERM, *hangup, *more]
    for number in numbers:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _short(path: Path) -> str:
    """A path as one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
