"""Which adapter stands behind a port, and what of the settings reaches it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import shared.adapters.canary_http
import shared.adapters.cosmos
import shared.adapters.k8s.probe
import shared.adapters.looks_queue
from shared.adapters.k8s.probe import Findings
from shared.adapters.looks_inprocess import InProcessLooks
from shared.adapters.sqlite import SqliteStore
from shared.domain.hearing import DEAF, Hearing
from shared.edge.config import SettingError
from shared.manifests.mariadb import AddressKind, Spec
from shared.wiring import clocks, cluster, hearing, looks, probing, store
from tests.certs import Hands
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.memory import MemoryStore
from tests.samples import ALICE


@pytest.fixture(autouse=True)
async def fresh() -> AsyncIterator[None]:
    yield
    for each in (store.store, looks.looks, cluster.api):
        await each.close()  # type: ignore[attr-defined]


class Called:
    """Stands where an adapter is made: remembers with what."""

    def __init__(self) -> None:
        self.args: tuple[Any, ...] = ()
        self.how: dict[str, Any] = {}

    def __call__(self, *args: Any, **how: Any) -> "Called":
        self.args, self.how = args, how
        return self

    async def close(self) -> None:
        """As the real ones have it."""


# --- the store


async def test_leases_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PLAYGROUND_STORE", f"sqlite:///{tmp_path}/leases.db")
    assert isinstance(await store.store.get(), SqliteStore)
    assert (tmp_path / "leases.db").exists()


async def test_leases_in_cosmos_db(monkeypatch: pytest.MonkeyPatch):
    made = Called()
    monkeypatch.setattr(shared.adapters.cosmos, "CosmosStore", made)
    monkeypatch.setenv("PLAYGROUND_STORE", "cosmos:https://account.example:443/playground/leases")
    await store.store.get()
    assert made.args == ("https://account.example:443", "playground", "leases")
    assert made.how == {"clock": clocks.clock}


# --- looks


async def test_looks_in_this_process():
    assert isinstance(await looks.looks.get(), InProcessLooks)


async def test_looks_through_a_queue(monkeypatch: pytest.MonkeyPatch):
    opened = Called()

    async def open_queue(*args: Any) -> Called:
        return opened(*args)

    monkeypatch.setattr(shared.adapters.looks_queue.QueueLooks, "open", open_queue)
    monkeypatch.setenv("PLAYGROUND_LOOKS", "queue:https://account.example")
    monkeypatch.setenv("PLAYGROUND_LOOKS_QUEUE", "glances")
    await looks.looks.get()
    assert opened.args == ("https://account.example", "glances")


@pytest.mark.parametrize(
    ("functions", "looked"), [("heart_beat", False), ("heart_beat,create_db", True), ("all", True)]
)
async def test_a_posted_look_is_done_here_only_if_the_cluster_is_used_here(
    monkeypatch: pytest.MonkeyPatch, functions: str, looked: bool
):
    seen = []

    async def look(owner: object, id: str) -> None:
        seen.append((owner, id))

    monkeypatch.setattr(looks, "_look", look)
    monkeypatch.setenv("PLAYGROUND_FUNCTIONS", functions)
    made = await looks._make()
    assert isinstance(made, InProcessLooks)
    await made._look(ALICE, "database")
    assert bool(seen) == looked


# --- the cluster


def test_what_databases_are_made_like_by_default():
    default = Spec(image="docker.io/library/mariadb:10.11", cpu_limit="1", storage="1Gi", archives_at_once=8)
    assert cluster.spec() == default


@pytest.mark.parametrize(
    ("name", "value", "field", "becomes"),
    [
        ("PLAYGROUND_DATABASE_IMAGE", "registry/mariadb:11", "image", "registry/mariadb:11"),
        ("PLAYGROUND_DATABASE_CPU", "500m", "cpu_limit", "500m"),
        ("PLAYGROUND_DATABASE_MEMORY", "1Gi", "memory", "1Gi"),
        ("PLAYGROUND_DATABASE_STORAGE", "5Gi", "storage", "5Gi"),
        ("PLAYGROUND_STORAGE_CLASS", "managed-csi", "storage_class", "managed-csi"),
        ("PLAYGROUND_CLIENT_NETWORKS", "10.0.0.0/8, 192.0.2.1", "client_networks", ("10.0.0.0/8", "192.0.2.1/32")),
        ("PLAYGROUND_ADDRESS", "node-port", "address", AddressKind.NODE_PORT),
        ("PLAYGROUND_ARCHIVES_AT_ONCE", "3", "archives_at_once", 3),
        ("PLAYGROUND_SERVICE_ANNOTATIONS", '{"b": "2", "a": ""}', "service_annotations", (("a", ""), ("b", "2"))),
    ],
)
def test_each_setting_of_a_database_reaches_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, becomes: object
):
    monkeypatch.setenv(name, value)
    assert getattr(cluster.spec(), field) == becomes
    assert getattr(cluster.spec(), field) != getattr(Spec(image=""), field)


def test_a_balancer_that_would_let_the_whole_world_in_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PLAYGROUND_ADDRESS", "load-balancer")
    with pytest.raises(SettingError, match=r"PLAYGROUND_ADDRESS is load-balancer, so PLAYGROUND_CLIENT_NETWORKS must"):
        cluster.spec()
    monkeypatch.setenv("PLAYGROUND_CLIENT_NETWORKS", "192.0.2.0/24")
    assert cluster.spec().address is AddressKind.LOAD_BALANCER


@pytest.mark.parametrize(
    ("required", "found", "stops"),
    [
        ("true", Findings(policy_enforced=True), False),
        ("true", Findings(policy="they are not enforced", policy_enforced=False), True),
        ("true", Findings(policy="it could not be found out"), True),
        ("true", Findings(rights="the control plane may not: get pods"), True),
        ("false", Findings(policy="they are not enforced", policy_enforced=False), False),
    ],
)
async def test_a_required_network_policy_must_have_been_seen_to_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, required: str, found: Findings, stops: bool
):
    class Probe(Called):
        async def run(self, now: float) -> Findings:
            return found

    monkeypatch.setattr(shared.adapters.k8s.probe, "Probe", Probe())
    monkeypatch.setenv("PLAYGROUND_REQUIRE_NETWORK_POLICY", required)
    store.store.set(MemoryStore())  # type: ignore[arg-type]
    cluster.api.set(Kubernetes())  # type: ignore[arg-type]
    if stops:
        with pytest.raises(SettingError, match=r"^PLAYGROUND_REQUIRE_NETWORK_POLICY: \w"):
            await probing.probe()
    else:
        await probing.probe()
    assert all(sentence in caplog.text for sentence in found.sentences)


# --- the canary


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clocks, "clock", hands)
    store.store.set(MemoryStore(clock=hands))  # type: ignore[arg-type]
    return hands


def before(first: float) -> tuple[float, float]:
    """The gap that lies before the first beat of all."""
    return 0.0, first


async def test_without_a_public_address_the_tick_itself_counts(hands: Hands):
    assert await hearing.hearing() == DEAF
    await hearing.beat_canary()
    assert await hearing.hearing() == Hearing(hands.now(), (before(hands.now()),))


async def test_a_beat_that_did_not_come_back_becomes_a_gap(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    asked: list[tuple[str, ...]] = []
    answers = [True, *[False] * 7, True]

    async def beat(*how: str) -> bool:
        asked.append(how)
        return answers[len(asked) - 1]

    monkeypatch.setattr(shared.adapters.canary_http, "beat", beat)
    for name, value in {"URL": "https://p", "CERT": "c.crt", "KEY": "c.key", "CA": "ca.crt"}.items():
        monkeypatch.setenv(f"PLAYGROUND_CANARY_{name}", value)
    began = hands.now()
    for _ in answers:
        await hearing.beat_canary()
        hands.turn(60)
    assert await hearing.hearing() == Hearing(began + 480, (before(began), (began, began + 480)))
    assert asked == [("https://p", "c.crt", "c.key", "ca.crt")] * len(answers)
    assert [record.getMessage() for record in caplog.records] == ["the canary was not heard through https://p"] * 7


async def test_the_record_of_it_is_small_and_plain(hands: Hands):
    await hearing.beat_canary()
    record = await (await store.store.get()).read("hearing")
    assert record is not None
    assert json.dumps(record.value) == json.dumps({"heard_at": hands.now(), "gaps": [before(hands.now())]})
