"""Indexes and calls an Azure Functions app inside this process.

The only module that touches `azure_functions_runtime`, Microsoft's worker library: it decides here
what is a valid function, as it does in Azure, and runs timer and queue functions. HTTP functions
get the very request object that it would make, but are called without it: its way through gRPC's
types costs 45 µs a request on a busy server, this one 13 (tests hold the two against each other).
The library's names used here are no public API, so its version is checked and anything unexpected
stops the start. It keeps its registry in module globals: one app a process.
"""

import asyncio
import functools
import importlib
import itertools
import json
import logging
import re
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from azure.functions import FunctionRegister, HttpResponse
from azure.functions.http import HttpRequest

from selfhost.errors import CannotStart, FunctionFailed
from selfhost.triggers import HttpTrigger, QueueTrigger, TimerTrigger, trigger_of
from shared.edge.config import SettingError

VERSION = "1.3.0"
"""The release of azure-functions-runtime whose private interface this module was written for."""

_log = logging.getLogger(__name__)
_BREAK = re.compile("[\r\n\0]")


class Answer(NamedTuple):
    """What an HTTP function answers; headers may repeat (Set-Cookie)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Runtime:
    """One indexed function app."""

    def __init__(self) -> None:
        self.http: list[HttpTrigger] = []
        self.timers: list[TimerTrigger] = []
        self.queues: list[QueueTrigger] = []
        self._handlers: dict[str, Callable[[HttpRequest], Awaitable[object]]] = {}
        self._ids: dict[str, str] = {}
        self._parameters: dict[str, str] = {}
        self._run = str(uuid.uuid4())[:24]
        self._numbers = itertools.count(1)

    async def start(self, app_dir: Path) -> None:
        """Load `function_app.py` of that folder and index its functions.

        Raises CannotStart, naming the function (or the line) that is at fault.
        """
        library = _library()
        self._library = library
        logging.getLogger("azure.functions").addFilter(_logged_here)
        library.load_bindings()
        library.start_threads()
        for function in _functions(app_dir):
            name = str(function.get_function_name())
            try:
                info = library.registry.add_indexed_function(function=function, protos=_PROTOS)
                trigger = trigger_of(function)
            except CannotStart:
                raise
            except Exception as error:
                raise CannotStart(f"function {name}: {_line(error)}") from error
            self._ids[name] = info.function_id
            self._parameters[name] = trigger.parameter
            match trigger:
                case HttpTrigger():
                    self.http.append(trigger)
                    self._handlers[name] = self._handler(info, trigger)
                case TimerTrigger():
                    self.timers.append(trigger)
                case QueueTrigger():
                    self.queues.append(trigger)

    def stop(self) -> None:
        """Wait for functions that still run in threads, and end the threads."""
        self._library.stop_threads()

    async def call_http(
        self,
        name: str,
        *,
        method: str,
        url: str,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        params: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        """Call an HTTP function. `headers` by lower-case name, `params` from the route.

        Raises FunctionFailed, once the failure is logged.
        """
        request = HttpRequest(
            method, url, headers=headers, params=query, route_params=params, body_type="bytes", body=body
        )
        try:
            return _answer(await self._handlers[name](request))
        except Exception as error:
            _log.error("function %s failed", name, exc_info=error)
            raise FunctionFailed(name) from error

    def _handler(self, info: Any, trigger: HttpTrigger) -> Callable[[HttpRequest], Awaitable[object]]:
        function, parameter = info.func, trigger.parameter
        if info.requires_context:
            raise CannotStart(f"function {trigger.name}: its context parameter cannot be served here")
        if info.is_async:
            return lambda request: function(**{parameter: request})

        def in_a_thread(request: HttpRequest) -> Awaitable[object]:
            call = functools.partial(function, **{parameter: request})
            return asyncio.get_running_loop().run_in_executor(self._library.threads(), call)

        return in_a_thread

    async def fire_timer(self, name: str, past_due: bool) -> None:
        """Run a timer function once. Raises FunctionFailed, once the failure is logged."""
        timer = {"Schedule": {}, "ScheduleStatus": {}, "IsPastDue": past_due}
        await self._invoke(name, self._library.datum(json.dumps(timer), "json"), {})

    async def call_queue(self, name: str, body: str, id: str, dequeue_count: int) -> None:
        """Hand a message to a queue function. Raises FunctionFailed, once the failure is logged."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
        meta: dict[str, object] = dict.fromkeys(("InsertionTime", "ExpirationTime", "NextVisibleTime"), now)
        meta |= {"Id": id, "DequeueCount": dequeue_count, "PopReceipt": ""}
        metadata = {key: self._library.datum(json.dumps(value), "json") for key, value in meta.items()}
        await self._invoke(name, self._library.datum(body, "string"), metadata)

    async def _invoke(self, name: str, value: object, metadata: dict[str, Any]) -> None:
        invocation = f"{self._run}{next(self._numbers):012x}"
        inputs = [(self._parameters[name], value)]
        ok, _, _, _, trace = await self._library.call(invocation, self._ids[name], inputs, metadata)
        if not ok:
            _log.error("function %s failed (invocation %s)\n%s", name, invocation, trace)
            raise FunctionFailed(name)


def _answer(returned: object) -> Answer:
    """What a function returned, as the library's HttpResponseConverter reads it."""
    if isinstance(returned, str):
        return Answer(200, [("content-type", "text/plain; charset=utf-8")], returned.encode())
    if not isinstance(returned, HttpResponse):
        raise TypeError(f"it returned no HTTP answer but {type(returned).__name__}")
    headers = list(returned.headers.items())
    if not 200 <= returned.status_code <= 599:
        raise ValueError(f"its answer ends no exchange: status {returned.status_code}")
    if any(_BREAK.search(f"{name}{value}") for name, value in headers):
        raise ValueError("a header of its answer holds a line break")
    if not any(name.lower() == "content-type" for name, _ in headers):
        charset = f"; charset={returned.charset}" if returned.mimetype.startswith("text/") else ""
        headers.append(("content-type", returned.mimetype + charset))
    return Answer(returned.status_code, headers, returned.get_body())


def _functions(app_dir: Path) -> list[Any]:
    """The functions of the one app in `function_app.py`, found as Azure's loader finds them."""
    path = str(app_dir)
    if not (app_dir / "function_app.py").is_file():
        raise CannotStart(f"no function_app.py in {path}")
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        module = importlib.import_module("function_app")
    except SettingError as error:
        raise CannotStart(str(error)) from error
    except Exception as error:
        raise CannotStart(f"function_app.py does not load: {_line(error, app_dir)}") from error
    if Path(module.__file__ or "").parent != app_dir:
        raise CannotStart(f"another function_app is loaded already: {module.__file__}")
    apps = [value for value in vars(module).values() if isinstance(value, FunctionRegister)]
    if len(apps) != 1:
        raise CannotStart(f"function_app.py must hold one FunctionApp, not {len(apps)}")
    try:
        return list(apps[0].get_functions())
    except Exception as error:  # names the function in its text
        raise CannotStart(f"function_app.py cannot be indexed: {_line(error)}") from error


def _library() -> SimpleNamespace:
    """The few names of azure_functions_runtime that are used, if it is the expected release."""
    try:
        from azure_functions_runtime import (
            get_threadpool_executor,
            start_threadpool_executor,
            stop_threadpool_executor,
            version,
        )
        from azure_functions_runtime.bindings.datumdef import Datum
        from azure_functions_runtime.bindings.meta import load_binding_registry
        from azure_functions_runtime.handle_event import _functions as registry
        from azure_functions_runtime.native_invocation import invocation_request_native
    except ImportError as error:
        raise CannotStart(f"azure-functions-runtime=={VERSION} is needed: {_line(error)}") from error
    if version.VERSION != VERSION:
        raise CannotStart(f"azure-functions-runtime=={VERSION} is needed, {version.VERSION} is installed")
    return SimpleNamespace(
        call=invocation_request_native,
        datum=Datum,
        load_bindings=load_binding_registry,
        registry=registry,
        start_threads=start_threadpool_executor,
        stop_threads=stop_threadpool_executor,
        threads=get_threadpool_executor,
    )


_PROTOS = SimpleNamespace(BindingInfo=SimpleNamespace(out=1, inout=2, undefined=0))
"""All that the library wants of its protobuf messages when it indexes: the numbers of a direction."""


def _logged_here(record: logging.LogRecord) -> bool:
    """Drops the library's own line about a failed call: `_invoke` writes one that names the function."""
    return record.msg != "Native invocation failed"


def _line(error: BaseException, app_dir: Path | None = None) -> str:
    """An error on one line, with the last place in the app's own code that it passed."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if app_dir is not None and file.is_relative_to(app_dir):
            place = f" ({file.relative_to(app_dir)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
