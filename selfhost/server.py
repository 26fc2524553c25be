"""`sqlflow_playground`: the function app on one machine, behind mutual TLS."""

import argparse
import asyncio
import importlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from selfhost import interpreter
from selfhost.errors import CannotStart
from selfhost.tls import server_context
from shared.edge import settings, tracing
from shared.edge.config import SettingError

if TYPE_CHECKING:
    from selfhost.metrics import Metrics
    from selfhost.queues import Queues
    from selfhost.runtime import Runtime

PATIENCE = 25.0
"""Seconds that requests in flight get at the stop: longer than any answer of ours may take."""

STRANGERS = 256
"""Connections that the open listener holds at most: nobody who belongs here waits behind who does not."""

SHARE = 64
"""Of those, as many as one source may have: it takes several to keep everybody from enrolling."""

UNDER_TLS = "Fatal error on SSL protocol"  # uvloop's words

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit status 0, or 2 with one line of why it did not start."""
    try:
        level = settings.LOG_LEVEL.read(os.environ)
        handler = logging.StreamHandler()
        handler.setFormatter(tracing.Formatter(LINE))
        logging.basicConfig(level=level, handlers=[handler])
        options = _options(argv)
        with interpreter.shared(), asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(_serve(options))
    except (CannotStart, SettingError) as error:
        _log.debug("not started", exc_info=error)
        print(f"sqlflow_playground: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before there was a handler for it
        return 130
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sqlflow_playground", allow_abbrev=False, description="Databases for notebooks, on one machine."
    )
    parser.add_argument("--port", type=_port, default=50052, help="0: any free port (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--open_port", type=_port, help="where who has no certificate may enroll; unset: nowhere")
    parser.add_argument("--ca_crt", type=Path, metavar="FILE", help="CA whose clients are let in, PEM")
    parser.add_argument("--server_key", type=Path, metavar="FILE", help="this server's private key, PEM")
    parser.add_argument("--server_crt", type=Path, metavar="FILE", help="this server's certificate, PEM")
    parser.add_argument("--insecure-http", action="store_true", help="no TLS, and nobody has a certificate")
    parser.add_argument("--workers", type=int, default=1, choices=[1], help="one process serves; more are not possible")
    parser.add_argument("--max_connections", type=int, default=8192, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--timer_jitter", type=float, default=2.0, metavar="SECONDS", help="(default: %(default)s)")
    parser.add_argument("--metrics_port", type=_port, default=9464, help="for Prometheus, where the settings name it "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--metrics_host", default="127.0.0.1", help="in clear, to whoever asks (default: %(default)s)")
    parser.add_argument("--app_dir", type=Path, default=Path(__file__).parents[1], help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    files = ("ca_crt", "server_key", "server_crt")
    missing = [f"--{name}" for name in files if getattr(options, name) is None]
    if options.insecure_http and len(missing) < len(files):
        raise CannotStart("--insecure-http serves without TLS: leave out --ca_crt, --server_key and --server_crt")
    if options.insecure_http and options.open_port is not None:
        raise CannotStart("--open_port: a token that goes through --insecure-http is everybody's")
    if missing and not options.insecure_http:
        raise CannotStart(f"{', '.join(missing)} missing (or --insecure-http, to serve without TLS)")
    return options


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError(text)
    return port


def _loop() -> asyncio.AbstractEventLoop:
    from selfhost.loop import Loop

    loop = Loop()
    loop.set_exception_handler(_told)
    return loop


def _told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As the default has it, but for what uvloop (its issues 506 and 685) takes for an error and is none.

    A watch or a command that we end while something arrives: nobody wants to read of that.
    """
    error = context.get("exception")
    if context.get("message") == UNDER_TLS and isinstance(error, RuntimeError) and "closed" in str(error):
        _log.debug("%s: %s", UNDER_TLS, error)
    else:
        loop.default_exception_handler(context)


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop)

    tls = open_tls = None
    if options.insecure_http:
        _log.warning("--insecure-http: everything is served in clear, and no client has a certificate")
    else:
        tls = server_context(options.ca_crt, options.server_key, options.server_crt)
        if options.open_port is not None:
            open_tls = server_context(None, options.server_key, options.server_crt)
        os.environ[settings.CERTIFICATE_FROM.name] = "selfhost"
        os.environ[settings.CLIENT_CA.name] = str(options.ca_crt.absolute())

    # Importing these takes 0.3 s: --help and a wrong option or file need none of them.
    from selfhost.front import Front, Limits
    from selfhost.runtime import Runtime
    from selfhost.timers import Timers

    app_dir = options.app_dir.resolve()
    runtime = Runtime()
    await runtime.start(app_dir)
    startup, prefix = _startup(), _route_prefix(app_dir)
    for_all, anywhere = (getattr(startup, name, frozenset[str]()) for name in ("OPEN", "ANYWHERE"))
    room = _room_for(options.max_connections)
    front = Front(runtime, tls, prefix, Limits(connections=room), lambda name: name not in for_all)
    fronts = [front]
    if open_tls is not None:
        strangers = Limits(connections=min(STRANGERS, room), of_source=SHARE)
        fronts.insert(0, Front(runtime, open_tls, prefix, strangers, lambda name: name in for_all | anywhere))
    timers = Timers(runtime, jitter=options.timer_jitter)
    queues = _queues(runtime, app_dir)
    if startup is not None:
        await _begin(startup)
    measured = None
    interpreter.serves()
    collecting = asyncio.create_task(interpreter.collects(lambda: all(each.quiet for each in fronts)))
    try:
        measured = await _measured(startup, options)
        host = f"[{options.host}]" if ":" in options.host else options.host
        if len(fronts) > 1:
            try:
                opened = await fronts[0].start(options.host, options.open_port)
            except CannotStart as error:
                raise CannotStart(str(error).replace("--port=", "--open_port=")) from error
            print(f"open to all on https://{host}:{opened}", flush=True)
        port = await front.start(options.host, options.port)
        timers.start()
        if queues is not None:
            queues.start()
        print(f"listening on {'https' if tls else 'http'}://{host}:{port}", flush=True)
        await stop.wait()
        brought = [queues.stop(PATIENCE)] if queues is not None else []
        await asyncio.gather(*(each.stop(PATIENCE) for each in fronts), timers.stop(PATIENCE), *brought)
    finally:
        collecting.cancel()
        if measured is not None:
            await measured.stop()
        if startup is not None:
            await startup.end()
    runtime.stop()


def _stop(stop: asyncio.Event) -> None:
    """The first signal asks for an orderly end; the next one ends the process as it would any other."""
    stop.set()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)


class _Startup(Protocol):
    """What an app may have as `function_app.startup`: begun before it listens, ended at the stop."""

    async def begin(self) -> None: ...

    async def end(self) -> None: ...


def _startup() -> _Startup | None:
    return cast(_Startup | None, getattr(importlib.import_module("function_app"), "startup", None))


async def _measured(startup: _Startup | None, options: argparse.Namespace) -> "Metrics | None":
    """The listener for Prometheus, where the settings name it."""
    scrape = getattr(startup, "scrape", lambda: None)()
    if scrape is None:
        return None
    from selfhost.metrics import Metrics, tell_ends

    if not options.insecure_http:
        tell_ends(options.server_crt, options.ca_crt)
    measured = Metrics(scrape)
    port = await measured.start(options.metrics_host, options.metrics_port)
    _log.info("metrics on http://%s:%d/metrics", options.metrics_host, port)
    return measured


def _queues(runtime: "Runtime", app_dir: Path) -> "Queues | None":
    """What brings messages to queue functions, where PLAYGROUND_LOOKS says that looks go through a queue."""
    via, _, url = settings.LOOKS_VIA.read(os.environ).partition(":")
    if via != "queue":
        return None
    from selfhost.queues import Polling, Queues  # the storage library takes 0.5 s to load

    return Queues(runtime, url, Polling.of(app_dir))


async def _begin(startup: _Startup) -> None:
    try:
        await startup.begin()
    except (CannotStart, SettingError):
        raise
    except Exception as error:
        raise CannotStart(f"the app cannot begin: {type(error).__name__}: {error}") from error


def _room_for(connections: int) -> int:
    """How many connections this process can hold, once it may open as many files as it is allowed."""
    spare = 256  # the store, the cluster's API, files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + spare
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            connections = max(1, soft - spare)
            _log.warning("%d connections at most: this process may open no more than %d files", connections, soft)
    return connections


def _route_prefix(app_dir: Path) -> str:
    """`extensions.http.routePrefix` of host.json; "api" where it says none, as in Azure."""
    try:
        host = json.loads((app_dir / "host.json").read_bytes())
    except (OSError, ValueError) as error:
        raise CannotStart(f"{app_dir / 'host.json'} cannot be read: {error}") from error
    prefix = host.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    return str(prefix)
