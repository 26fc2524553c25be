"""A beat is answered whatever this process lacks: its plugin would storm us otherwise."""

import logging
from collections.abc import AsyncIterator

import pytest

from shared.domain.databases import NONE, UNKNOWN
from shared.domain.errors import StoreUnavailable
from shared.edge.config import SettingError
from shared.wiring import beats, looks, policies, store
from shared.wiring.once import Once
from tests.doubles.memory import MemoryStore
from tests.samples import ALICE


@pytest.fixture(autouse=True)
async def wired() -> AsyncIterator[None]:
    store.store.set(MemoryStore())  # type: ignore[arg-type]
    yield
    for each in (store.store, looks.looks, policies.policy):
        await each.close()  # type: ignore[attr-defined]


def fails(error: Exception) -> Once:
    async def make() -> None:
        raise error

    return Once(make)


async def test_a_beat_goes_to_the_store():
    assert await beats.write(ALICE) == NONE


async def test_a_store_that_cannot_be_opened_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(beats, "store", fails(StoreUnavailable("no such file")))
    assert await beats.write(ALICE) == UNKNOWN
    assert caplog.records == []


@pytest.mark.parametrize("what", ["store", "looks", "policy"])
@pytest.mark.parametrize("error", [SettingError("PLAYGROUND_X: no"), OSError("disk"), ZeroDivisionError()])
async def test_what_is_wrong_with_this_process_is_logged_and_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str, error: Exception
):
    monkeypatch.setattr(beats, what, fails(error))
    assert await beats.write(ALICE) == UNKNOWN
    assert [(record.levelno, record.exc_info and record.exc_info[1]) for record in caplog.records] == [
        (logging.ERROR, error)
    ]
