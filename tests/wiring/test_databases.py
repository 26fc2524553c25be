"""A create_db answers in time, also in a process that still has to make what it needs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.domain.errors import NotReady
from shared.domain.policy import Policy
from shared.edge.config import SettingError
from shared.wiring import databases, policies
from shared.wiring.once import Once
from tests.samples import ALICE


@pytest.fixture(autouse=True)
async def hurry() -> AsyncIterator[None]:
    """An answer may take 50 ms."""
    policies.policy.set(Policy(answer=0.05))
    yield
    await policies.policy.close()


async def test_a_control_plane_that_takes_too_long_to_make_is_an_answer_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(databases, "control", Once(asyncio.Event().wait))
    with pytest.raises(NotReady) as told:
        await databases.create(ALICE)
    assert told.value.retry_after == 5


async def test_what_making_it_took_is_taken_off_the_rest(monkeypatch: pytest.MonkeyPatch):
    async def assemble() -> Any:
        return None

    async def create(*_: Any) -> str:
        async with asyncio.timeout(3600):  # its own limit, which begins later
            await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(databases, "control", Once(assemble))
    monkeypatch.setattr(databases.databases, "create", create)
    with pytest.raises(NotReady):
        await databases.create(ALICE)


async def test_what_is_wrong_with_this_process_stays_what_it_is(monkeypatch: pytest.MonkeyPatch):
    async def assemble() -> Any:
        raise SettingError("PLAYGROUND_SEAL_KEYS: no")

    monkeypatch.setattr(databases, "control", Once(assemble))
    with pytest.raises(SettingError):
        await databases.create(ALICE)
