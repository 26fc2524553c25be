"""What a server does before it listens: only what its functions need, and what is wrong is said at once."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.cosmos import CosmosStore
from shared.adapters.cosmos_container import CONTAINER
from shared.adapters.sealing import new_key
from shared.domain.errors import ClusterUnavailable, StoreUnavailable
from shared.edge.config import SettingError
from shared.wiring import callers, cluster, policies, probing, sealing, startup, store
from tests.contract.conftest import TurnedClock
from tests.doubles.cosmos_server import KEY, CosmosServer
from tests.doubles.memory import MemoryStore
from tests.samples import ALICE


@pytest.fixture
async def begin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Any]:
    """`await begin("greet", PLAYGROUND_…="…")` begins, in an empty folder, with those settings."""
    monkeypatch.chdir(tmp_path)

    async def begin(functions: str, **settings: str) -> None:
        monkeypatch.setenv("PLAYGROUND_FUNCTIONS", functions)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        await startup.begin()

    monkeypatch.setattr(probing, "required", False)  # put back afterwards
    yield begin
    await startup.end()
    for each in (callers.certificates, policies.policy, sealing.sealer):
        await each.close()  # type: ignore[attr-defined]


async def test_greet_opens_nothing(begin: Any, tmp_path: Path):
    await begin("greet")
    assert os.listdir(tmp_path) == []


async def test_beats_open_the_store_and_need_neither_key_nor_cluster(begin: Any, tmp_path: Path):
    await begin("heart_beat,beat_canary,greet", PLAYGROUND_STORE="sqlite:///leases.db")
    assert (tmp_path / "leases.db").exists()


async def test_a_store_that_cannot_be_opened_is_named(begin: Any):
    with pytest.raises(StoreUnavailable, match=r"^PLAYGROUND_STORE: "):
        await begin("heart_beat", PLAYGROUND_STORE="sqlite:///missing/leases.db")


async def test_a_key_is_asked_for_before_anything_is_done_on_the_cluster(begin: Any):
    store.store.set(MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"^PLAYGROUND_SEAL_KEYS: its file: No such file"):
        await begin("create_db")


async def test_every_setting_is_read_also_those_nobody_here_needs(begin: Any):
    with pytest.raises(SettingError, match=r"^PLAYGROUND_DATABASE_MEMORY: "):
        await begin("greet", PLAYGROUND_DATABASE_MEMORY="1G")


async def test_a_cluster_that_is_down_stops_nobody(begin: Any, monkeypatch: pytest.MonkeyPatch):
    probed = asyncio.Event()

    async def probe() -> None:
        probed.set()
        raise ClusterUnavailable("no answer")

    monkeypatch.setattr(probing, "probe", probe)
    store.store.set(MemoryStore())  # type: ignore[arg-type]
    cluster.cluster.set(object())  # type: ignore[arg-type]
    await begin("create_db", PLAYGROUND_SEAL_KEYS=new_key(), PLAYGROUND_PROBE="true")
    await probed.wait()


async def test_a_probe_that_breaks_off_is_in_the_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    async def probe() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(probing, "probe", probe)
    await startup._probe_aside()
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_a_required_network_policy_that_is_not_enforced_stops_the_start(
    begin: Any, monkeypatch: pytest.MonkeyPatch
):
    async def probe() -> None:
        raise SettingError("PLAYGROUND_REQUIRE_NETWORK_POLICY: network policies are not enforced")

    monkeypatch.setattr(probing, "probe", probe)
    store.store.set(MemoryStore())  # type: ignore[arg-type]
    cluster.cluster.set(object())  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="PLAYGROUND_REQUIRE_NETWORK_POLICY"):
        await begin("create_db", PLAYGROUND_SEAL_KEYS=new_key(), PLAYGROUND_REQUIRE_NETWORK_POLICY="true")


@pytest.mark.parametrize("level", [None, "INFO", "WARNING", "DEBUG"])
async def test_requests_to_the_store_are_not_logged_unless_everything_is(
    begin: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, level: str | None
):
    caplog.set_level(level or "INFO")
    for name in startup.TALKATIVE:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    await begin("greet", **({"PLAYGROUND_LOG_LEVEL": level} if level else {}))
    clock = TurnedClock()
    server = await CosmosServer(clock).start()
    server.make("playground", "leases", CONTAINER)
    cosmos = CosmosStore(server.endpoint, "playground", "leases", key=KEY, clock=clock)
    assert await cosmos.get(ALICE, "database") is None
    await cosmos.close()
    await server.stop()
    told = {record.name.partition(".")[0] for record in caplog.records}
    assert ("azure" in told) == (level == "DEBUG"), caplog.text


async def test_after_its_end_it_can_begin_again(begin: Any):
    for _ in range(2):
        await begin("heart_beat", PLAYGROUND_STORE="sqlite:///leases.db")
        first = await store.store.get()
        await startup.end()
    assert await store.store.get() is not first
