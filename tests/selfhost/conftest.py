"""What the tests of the self-host server share: sample apps, certificates, a running front."""

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvloop

from selfhost.front import Front, Limits
from selfhost.runtime import Runtime
from selfhost.tls import server_context
from tests.http.conftest import people, served, world  # noqa: F401  (all functions behind this front)
from tests.selfhost.clients import Client, Files, make_files

APPS = Path(__file__).parent / "apps"


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The front is tested on the loop it runs on."""
    if item.path.name.startswith("test_front"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("pki"))


@pytest.fixture(autouse=True)
def the_same_umask() -> Iterator[None]:
    """`playground run` sets one for its process, which here is everybody's."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def one_app() -> Iterator[None]:
    """A process holds one app: whatever `function_app` a test loads is gone after it."""
    path, before = sys.path[:], sys.modules.pop("function_app", None)
    yield
    sys.path[:] = path
    sys.modules.pop("function_app", None)
    if before is not None:
        sys.modules["function_app"] = before


@pytest.fixture
async def runtime(one_app: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    monkeypatch.setenv("ECHO_SCHEDULE", "0 */5 * * * *")
    runtime = Runtime()
    await runtime.start(APPS / "echo")
    yield runtime
    runtime.stop()


@pytest.fixture
def echo(runtime: Runtime) -> ModuleType:
    """The module of the echo app, to look into."""
    return importlib.import_module("function_app")


Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
async def serve(runtime: Runtime, files: Files) -> AsyncIterator[Serve]:
    """`await serve(body=10)` runs the echo app behind mutual TLS with those limits, and gives a client."""
    clients: list[Client] = []

    async def start(tls: bool = True, **limits: Any) -> Client:
        context = server_context(files.ca_crt, files.server_key, files.server_crt) if tls else None
        front = Front(runtime, context, limits=Limits(**limits))
        clients.append(Client(files, await front.start("127.0.0.1", 0), tls, front))
        return clients[-1]

    yield start
    for client in clients:
        client.leave()
        await client.front.stop(patience=0)
