"""How the interpreter is shared while a server starts and serves, and that all is as it was afterwards."""

import gc
import sys

import pytest

from selfhost.interpreter import GENERATIONS, SWITCH, serves, shared


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
