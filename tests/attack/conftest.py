"""The real front before all functions, over mutual TLS, with doubles behind; on the loop that it runs on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.http.conftest import people, served, unset, world  # noqa: F401
from tests.selfhost.conftest import echo, files, one_app, runtime, serve  # noqa: F401


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
