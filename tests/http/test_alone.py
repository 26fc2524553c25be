"""What a process that serves one function loads and needs: nothing of the others'."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.adapters.sealing import new_key
from shared.adapters.sqlite import SqliteStore
from shared.domain.leases import State
from shared.domain.moves import transition
from shared.ports.clock import SystemClock
from tests.http.alone import NEEDS, ROOT, STORE, Process
from tests.http.certificates import People
from tests.http.ways import over_tls, raw
from tests.samples import ALICE, a_lease

pytestmark = pytest.mark.slow
NOWHERE = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
"""
OF_CLUSTER = ("create_db", "look_at_lease", "reap_leases", "reconcile_cluster", "refill_pool")
FUNCTIONS = sorted(path.stem for path in (ROOT / "functions").glob("[!_]*.py"))

type Launch = Callable[..., Process]


@pytest.fixture
def launch(people: People, tmp_path: Path) -> Iterator[Launch]:
    """`launch(name, **settings)` runs that function alone; at the end it stops as it should."""
    launched: list[Process] = []

    def launch(name: str, settings: dict[str, str]) -> Process:
        launched.append(Process(name, settings, people, tmp_path / name))
        launched[-1].listens()
        return launched[-1]

    yield launch
    for process in launched:
        process.stop()


def loaded(modules: list[str], *packages: str) -> list[str]:
    return [name for name in modules for package in packages if name == package or name.startswith(f"{package}.")]


async def test_greet_needs_nothing_and_leaves_nothing(launch: Launch, people: People):
    process = launch("greet", {})
    reply = await over_tls(process.port, people, raw("GET", "/", b"", ()), people.user("alice"))
    assert reply.body == b"Hello, SQLFlow Playground!"
    assert loaded(await process.order("modules"), "kubernetes", "azure.cosmos", "azure.storage", "sqlite3") == []
    assert list(process.place.iterdir()) == []


async def test_heart_beat_loads_no_kubernetes_and_needs_no_key_even_for_a_beat_that_wakes(
    launch: Launch, people: People
):
    process = launch("heart_beat", STORE)
    store = await SqliteStore.open(str(process.place / "leases-0.db"), clock=SystemClock())
    now = SystemClock().now()
    lease = a_lease(State.HIBERNATED, now - 60)
    await store.create(lease, transition(None, lease, now, "test"))
    by, beat = people.frontend(), raw("GET", f"/api/heart_beat?user_id={ALICE.user}", b"", ())
    reply = await over_tls(process.port, people, beat, by)
    assert reply.json() == {"message": "hello alice", "renewed": True, "state": "waking"}
    await over_tls(process.port, people, raw("GET", "/api/heart_beat?user_id=bob", b"", ()), by)

    modules = await process.order("modules")
    assert loaded(modules, "kubernetes", "azure.cosmos", "azure.storage", "shared.adapters.k8s.client") == []
    assert "shared.adapters.sqlite" in modules
    assert "failed" not in process.log.read_text(), process.log.read_text()
    woken = await store.get(ALICE, "database")
    assert woken is not None and woken.due_at <= SystemClock().now(), "the next pass finds it"
    await store.close()


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_each_function_starts_with_its_own_settings_alone(launch: Launch, tmp_path: Path, name: str):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(NOWHERE)
    cluster = {"PLAYGROUND_KUBECONFIG": str(kubeconfig), "PLAYGROUND_SEAL_KEYS": new_key(), "PLAYGROUND_PROBE": "false"}
    settings = {**STORE, **cluster} if name in OF_CLUSTER else NEEDS.get(name, STORE)
    process = launch(name, settings)
    modules = await process.order("modules")
    assert bool(loaded(modules, "kubernetes")) == (name in OF_CLUSTER)
    others = [f"functions.{other}" for other in FUNCTIONS if other != name]
    assert loaded(modules, "azure.cosmos", *others) == []
