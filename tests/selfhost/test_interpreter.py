"""How the interpreter is shared while a server starts and serves, and that all is as it was afterwards."""

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from selfhost import interpreter
from selfhost.interpreter import GENERATIONS, OLDER, SWITCH, collects, serves, shared
from tests.selfhost.clients import until


def now() -> tuple[bool, tuple[int, int, int], float]:
    return gc.isenabled(), gc.get_threshold(), round(sys.getswitchinterval(), 6)


def test_nothing_is_collected_until_it_serves_and_all_is_as_before_at_the_end():
    before = now()
    with shared():
        assert now() == (False, *before[1:])
        serves()
        gc.unfreeze()
        assert now() == (True, GENERATIONS, SWITCH)
    assert now() == before


def test_all_is_as_before_when_it_does_not_start():
    before = now()
    with pytest.raises(ZeroDivisionError), shared():
        1 / 0  # noqa: B018
    assert now() == before


@pytest.fixture
def young() -> Iterator[None]:
    """The youngest were looked through so often that all the young should be."""
    gc.disable()
    for _ in range(OLDER):
        gc.collect(0)
    yield
    gc.enable()


async def test_the_young_are_looked_through_when_nobody_is_served(young: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interpreter, "QUIET", 0.001)
    quiet, asked, looks, get_count = False, [0], [0], gc.get_count

    def is_quiet() -> bool:
        asked[0] += 1
        return quiet

    def counted() -> tuple[int, int, int]:
        looks[0] += 1
        return get_count()

    monkeypatch.setattr(gc, "get_count", counted)

    collecting = asyncio.create_task(collects(is_quiet))
    before = gc.get_stats()[1]["collections"]
    await until(lambda: asked[0] >= 3)
    assert gc.get_stats()[1]["collections"] == before
    quiet = True
    await until(lambda: gc.get_stats()[1]["collections"] > before)
    asked[0] = looks[0] = 0
    await until(lambda: looks[0] >= 3)
    assert asked[0] == 0 and gc.get_stats()[1]["collections"] == before + 1, "as long as few are young, nobody asks"
    collecting.cancel()
