"""One suite of requests, three ways: `way` is each of them in turn, `near` only those in this process."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from selfhost.front import Front
from selfhost.runtime import Runtime
from selfhost.tls import server_context
from shared.adapters.sealing import new_key
from shared.domain.policy import Policy
from shared.wiring import clocks, serving
from tests.doubles.memory import MemoryStore
from tests.http.alone import Alone
from tests.http.certificates import People
from tests.http.ways import Called, Served, Way
from tests.http.world import Hands, World, uninstall

ROOT = Path(__file__).parents[2]
POLICY = Policy(delete_without_archive=True)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests counts in them."""
    for name in [name for name in os.environ if name.startswith("PLAYGROUND_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def registered() -> list[Any]:
    """All functions of the app."""
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("PLAYGROUND_FUNCTIONS", "all")
        for blueprint in serving.blueprints():
            app.register_functions(blueprint)
    return list(app.get_functions())


@pytest.fixture(scope="session")
def functions(registered: list[Any]) -> dict[str, Any]:
    """The HTTP functions by name."""
    return {
        function.get_function_name(): function.get_user_function()
        for function in registered
        if function.get_trigger().type == "httpTrigger"
    }


@pytest.fixture(scope="session")
def timers(registered: list[Any]) -> dict[str, Any]:
    """The functions that a timer fires, by name."""
    return {
        function.get_function_name(): function.get_user_function()
        for function in registered
        if function.get_trigger().type == "timerTrigger"
    }


@pytest.fixture(scope="session")
def alone_for_all(people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    alone = Alone(people, tmp_path_factory.mktemp("alone"))
    yield alone
    alone.stop()


@pytest.fixture
async def world(people: People, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("PLAYGROUND_CERTIFICATE_FROM", "selfhost")
    monkeypatch.setenv("PLAYGROUND_CLIENT_CA", str(people.factory.ca_file))
    for name, value in people.issuer.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(clocks, "clock", clocks.clock)  # put back afterwards
    clock = Hands()
    world = World(MemoryStore(clock=clock), clock, POLICY)
    await world.install()
    yield world
    await uninstall()


@pytest.fixture
async def called(functions: dict[str, Any], people: People, world: World) -> Called:
    return Called(functions, people, world)


@pytest.fixture
async def served(people: People, world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.delitem(sys.modules, "function_app", raising=False)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setenv("PLAYGROUND_SEAL_KEYS", new_key())  # asked for when the app is loaded; the world has its own
    runtime = Runtime()
    await runtime.start(ROOT)
    pair = people.server.key, people.server.certificate
    front = Front(runtime, server_context(people.factory.ca_file, *pair), serves=lambda name: name not in serving.OPEN)
    for_all = Front(runtime, server_context(None, *pair), serves=lambda name: name in serving.OPEN | serving.ANYWHERE)
    ports = [await each.start("127.0.0.1", 0) for each in (front, for_all)]
    yield Served(front, *ports, people, world)
    for each in (front, for_all):
        await each.stop(patience=0)
    runtime.stop()


@pytest.fixture
async def alone(alone_for_all: Alone) -> Alone:
    await alone_for_all.reset()
    return alone_for_all


@pytest.fixture(params=["called", "served", pytest.param("alone", marks=pytest.mark.slow)])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["called", "served"])
def near(request: pytest.FixtureRequest) -> Called:
    chosen: Called = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["served", pytest.param("alone", marks=pytest.mark.slow)])
def fronted(request: pytest.FixtureRequest) -> Served | Alone:
    chosen: Served | Alone = request.getfixturevalue(request.param)
    return chosen
