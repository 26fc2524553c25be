"""`playground run`: a server from nothing, and then the main job as a notebook would do it, shown."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from selfhost import main_job
from selfhost.child import Child
from selfhost.errors import CannotStart
from selfhost.lock import Lock, held
from selfhost.remembered import kubeconfigs, remember
from selfhost.setup import Files, current_user, hosts, make_files, server_settings, write_notebook_settings
from selfhost.steps import short, step
from shared.domain.errors import PlaygroundError
from shared.edge import config, settings

LOOK = 1.0  # seconds between two looks at the terminal


async def run(files: Files, port: int, open_port: int) -> int:
    """Everything that is missing is made; ends with the server, on Ctrl-C. Returns its exit code.

    Raises CannotStart, CertificateProblem, SettingError, OSError, with one sentence that says what to do, and
    CancelledError where SIGTERM or the end of the terminal comes before the server was shown.
    """
    task = asyncio.current_task()
    assert task
    with on_signals(task.cancel):
        os.makedirs(files.folder, mode=0o700, exist_ok=True)
        with held(files.folder) as lock:
            return await run_alone(files, port, open_port, lock)


async def run_alone(files: Files, port: int, open_port: int, lock: Lock) -> int:
    """`run`, once nobody else does in that folder."""
    config.validate(os.environ)
    user, url = current_user(), f"https://127.0.0.1:{port}"
    for made in make_files(files, user, hosts(), os.environ):
        print(f"  made {made}")
    named = write_notebook_settings(files, url, user, os.environ.get("SQLFLOW_SERVER", ""))
    environment = {**os.environ, **server_settings(files, url, os.environ)}
    await prepare_cluster(environment)
    remember(files, environment)
    server = await Child.start(files, (port, open_port), environment, lock)
    try:
        await server.listens()
        try:
            await main_job.show(files, url, user, environment)
        except CannotStart as problem:
            raise await server.explain(problem) from problem
        print(f"\nFor a notebook: SQLFLOW_JUPYTER_ENV_PATH={files.notebook} jupyter notebook")
        if not named:
            print(f"  but first set SQLFLOW_SERVER in {short(files.notebook)} to the address of your SQLFlow server")
        print(f"For another user: playground certs invite user NAME --url {server.open_url}")
        print("The server goes on, reaping what nobody uses, until Ctrl-C; `make down` removes everything.", flush=True)
        return await until_it_ends(server)
    finally:
        await server.stop()


async def prepare_cluster(environment: Mapping[str, str]) -> None:
    """See that the cluster answers and the namespace is there."""
    from selfhost.namespaces import prepare
    from shared.adapters.k8s import configurations

    paths, namespace = settings.KUBECONFIG.read(environment), settings.NAMESPACE.read(environment)
    if not paths:
        raise CannotStart(f"{settings.KUBECONFIG.name} is not set: name the kubeconfig of the cluster to use")
    if not any(path.is_file() for path in kubeconfigs(paths)):
        raise CannotStart(f"{paths} cannot be used as a kubeconfig: there is no such file")
    with step(f"cluster of {paths}, namespace {namespace}"):
        try:
            await prepare(await configurations.from_kubeconfig(paths), namespace)
        except PlaygroundError as error:
            refused = getattr(error.__cause__, "status", None) == 401
            why = "it does not accept the credentials that are in there" if refused else error.detail
            raise CannotStart(f"the cluster of {paths} cannot be used: {why}") from error
        except Exception as error:  # the library raises whatever it met in a file that is no kubeconfig
            why = " ".join(str(error).split())  # a parser's complaint has several lines
            raise CannotStart(f"{paths} cannot be used as a kubeconfig: {why}") from error


async def until_it_ends(server: Child) -> int:
    """Wait for the server, passing Ctrl-C on to it once and ending it at the second; meanwhile tell what it finds."""
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if server.process.returncode is None:
            server.process.send_signal(signal.SIGTERM if asked == 1 else signal.SIGKILL)
            if asked == 1:
                print("\nstopping: requests in flight are finished (Ctrl-C again ends it at once)", flush=True)

    async def stop_with_the_terminal() -> None:
        await closed(sys.stdout.fileno())
        signal.raise_signal(signal.SIGHUP)

    aside = [asyncio.create_task(server.tell_what_the_probe_finds())]
    if sys.stdout.isatty():
        aside.append(asyncio.create_task(stop_with_the_terminal()))
    try:
        with on_signals(stop, signal.SIGINT):
            code = await server.process.wait()
    finally:
        for task in aside:
            task.cancel()
        await asyncio.gather(*aside, return_exceptions=True)
    if not asked:
        print(f"the server ended by itself with {code}; its log says why", file=sys.stderr)
    return 0 if asked else 1


async def closed(terminal: int) -> None:
    """Returns once a terminal is closed: its first process hears of that by SIGHUP, and make keeps it to itself."""
    while True:
        if not os.isatty(terminal):
            return
        await asyncio.sleep(LOOK)


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
