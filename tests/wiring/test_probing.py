"""Where network policies are required, nothing is done on the cluster before they were seen to work."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.adapters.sealing import KeyRing, new_key
from shared.edge.config import SettingError
from shared.wiring import clocks, cluster, looks, policies, probing, sealing, store
from shared.wiring.control import control
from tests.certs import Hands
from tests.doubles.memory import MemoryStore


class Probes:
    """Stands where the probe is: counts, waits to be let go, and finds what a test says."""

    def __init__(self) -> None:
        self.made = 0
        self.go = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self) -> None:
        self.made += 1
        await self.go.wait()
        if self.fails:
            raise self.fails


@pytest.fixture
async def probes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Probes]:
    """Of a process that has all else its control plane needs."""
    probes = Probes()
    monkeypatch.setattr(probing, "probe", probes)
    monkeypatch.setattr(probing, "required", True)
    store.store.set(MemoryStore())  # type: ignore[arg-type]
    cluster.cluster.set(object())  # type: ignore[arg-type]
    sealing.sealer.set(KeyRing.parse(new_key()))
    yield probes
    await probing.proof.close()
    wired: list[Any] = [control, looks.looks, cluster.cluster, sealing.sealer, policies.policy, store.store]
    for each in wired:
        await each.close()


async def test_all_who_need_it_wait_for_one_probe(probes: Probes):
    waiting = [asyncio.create_task(control.get()) for _ in range(5)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    probes.go.set()
    assert len({id(made) for made in await asyncio.gather(*waiting)}) == 1
    await control.get()
    assert probes.made == 1


async def test_whoever_cannot_wait_for_it_breaks_it_off_for_nobody(probes: Probes):
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await control.get()
    probes.go.set()
    await control.get()
    assert probes.made == 1


async def test_a_cluster_that_enforces_none_is_used_for_nothing_and_tried_again_only_later(
    probes: Probes, monkeypatch: pytest.MonkeyPatch
):
    hands = Hands()
    monkeypatch.setattr(clocks, "clock", hands)
    probes.go.set()
    probes.fails = SettingError("PLAYGROUND_REQUIRE_NETWORK_POLICY: network policies are not enforced")
    for _ in range(3):
        with pytest.raises(SettingError, match="not enforced"):
            await control.get()
    assert probes.made == 1
    hands.turn(probing.AGAIN)
    probes.fails = None
    await control.get()
    assert probes.made == 2


async def test_a_verdict_that_nobody_waited_for_is_told_to_the_next(probes: Probes):
    probes.fails = SettingError("PLAYGROUND_REQUIRE_NETWORK_POLICY: network policies are not enforced")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await control.get()
    probes.go.set()
    with pytest.raises(SettingError, match="not enforced"):
        await control.get()
    assert probes.made == 1


async def test_where_they_are_not_required_nobody_waits(probes: Probes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probing, "required", False)
    await control.get()
    assert probes.made == 0
