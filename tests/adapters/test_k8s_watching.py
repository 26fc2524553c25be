"""List and watch through cuts, compactions and a server that does not answer."""

import asyncio
from contextlib import aclosing

import pytest

from shared.adapters.k8s import watching
from shared.adapters.k8s.databases import Databases
from shared.adapters.k8s.watching import follow
from shared.domain.errors import ClusterUnavailable
from shared.manifests.mariadb import AddressKind, Spec
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.001)


@pytest.fixture
def kubernetes() -> Kubernetes:
    return Kubernetes()


async def make(kubernetes: Kubernetes, name: str) -> None:
    await kubernetes.create({"kind": "Secret", "metadata": {"name": name}})


async def names(states) -> set[str]:
    async with asyncio.timeout(5):
        return set((await anext(states)).objects)


async def test_what_is_there_comes_first_and_then_every_change(kubernetes):
    await make(kubernetes, "a")
    async with aclosing(follow(kubernetes, "Secret")) as states:
        assert await names(states) == {"a"}
        await make(kubernetes, "b")
        assert await names(states) == {"a", "b"}
        kubernetes.remove(kubernetes.find("Secret")[0])
        await kubernetes.settle()
        assert await names(states) == {"b"}


async def test_a_change_while_the_watch_was_cut_is_not_missed(kubernetes):
    async with aclosing(follow(kubernetes, "Secret")) as states:
        assert await names(states) == set()
        waiting = asyncio.create_task(names(states))
        await kubernetes.asked("watch")
        await kubernetes.cut_watches()
        await make(kubernetes, "a")
        assert await waiting == {"a"}
    assert [request.verb for request in kubernetes.requests].count("page") == 1, "it went on, it did not list again"


async def test_a_watch_goes_on_from_the_last_change_and_repeats_none(kubernetes):
    async with aclosing(follow(kubernetes, "Secret")) as states:
        assert await names(states) == set()
        await make(kubernetes, "a")
        assert await names(states) == {"a"}
        waiting = asyncio.create_task(names(states))
        await asyncio.sleep(0)
        await kubernetes.cut_watches()
        await make(kubernetes, "b")
        assert await waiting == {"a", "b"}


async def test_a_watch_that_is_too_old_is_listed_anew_and_tells_what_is_new(kubernetes):
    await make(kubernetes, "old")
    async with aclosing(follow(kubernetes, "Secret")) as states:
        assert await names(states) == {"old"}
        await make(kubernetes, "new")
        kubernetes.forget()
        async with asyncio.timeout(5):
            seen = await anext(states)
    assert (set(seen.objects), seen.news) == ({"old", "new"}, {"new"})
    assert [request.verb for request in kubernetes.requests].count("page") == 2


async def test_a_server_that_is_away_for_a_while_is_waited_for(kubernetes):
    refused = []

    async def gate(request: Request) -> Fate | None:
        if request.verb == "watch" and request.moment == "before" and len(refused) < 5:
            refused.append(request)
            return Fate.LOST
        return None

    kubernetes.gate = gate
    async with aclosing(follow(kubernetes, "Secret")) as states:
        assert await names(states) == set()
        waiting = asyncio.create_task(names(states))
        await kubernetes.asked("watch", 5)
        await make(kubernetes, "a")
        assert await waiting == {"a"}


async def test_a_server_that_stays_away_is_given_up(kubernetes):
    async def gate(request: Request) -> Fate | None:
        return Fate.LOST

    kubernetes.gate = gate
    with pytest.raises(ClusterUnavailable):
        await anext(follow(kubernetes, "Secret"))
    assert len(kubernetes.requests) == watching.RETRIES + 1


async def test_a_wait_outlives_cut_and_expired_watches():
    kubernetes = Kubernetes()
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    while await kubernetes.step():
        await kubernetes.cut_watches()
        kubernetes.forget()
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await wait).ready


async def test_a_wait_that_is_given_up_leaves_no_watch_behind():
    kubernetes = Kubernetes()
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)
    before = asyncio.all_tasks()
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    await kubernetes.asked("watch")
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert asyncio.all_tasks() == before


async def test_a_start_that_goes_well_needs_one_watch():
    kubernetes = Kubernetes()
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    await kubernetes.asked("watch")
    await kubernetes.settle()
    assert (await wait).ready
    assert [request.kind for request in kubernetes.requests if request.verb == "watch"] == ["Pod"]


async def test_what_the_cluster_says_about_a_pod_that_does_not_come_is_heard():
    kubernetes = Kubernetes()
    kubernetes.controllers.refuse_pods = "exceeded quota"
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    await kubernetes.asked("watch", 3)
    await kubernetes.settle()
    assert "exceeded quota" in (await wait).failure


async def test_a_wait_whose_watches_fail_says_so():
    kubernetes = Kubernetes()
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)

    async def gate(request: Request) -> Fate | None:
        return Fate.LOST if request.verb in ("watch", "page") else None

    kubernetes.gate = gate
    with pytest.raises(ClusterUnavailable):
        await cluster.wait_ready(alice.generation)


async def test_a_node_that_comes_in_time_ends_the_complaint_that_there_is_none():
    kubernetes = Kubernetes(auto=True)
    kubernetes.controllers.full = "0/3 nodes are available"
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a", patience=60), life()
    await cluster.start(alice, 1)
    assert "no node has room" in (await cluster.status(alice.generation)).failure
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    await kubernetes.asked("watch", 2)
    kubernetes.controllers.full = ""
    await kubernetes.settle()
    async with asyncio.timeout(5):
        assert (await wait).ready


async def test_a_balancer_s_address_is_waited_for():
    kubernetes = Kubernetes(auto=True)
    cluster, alice = Databases(kubernetes, Spec(image="x", address=AddressKind.LOAD_BALANCER), "plane-a"), life()
    await cluster.start(alice, 1)
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    await kubernetes.asked("watch", 3)
    assert not (await cluster.status(alice.generation)).ready
    [service] = kubernetes.find("Service")
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}
    kubernetes.store(service)
    await kubernetes.settle()
    async with asyncio.timeout(5):
        assert (await wait).address == "203.0.113.7:3306"


async def test_a_server_that_answers_ends_the_wait_before_kubelet_notices_it():
    kubernetes = Kubernetes(auto=True)
    kubernetes.controllers.unnoticed = True
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)
    assert not (await cluster.status(alice.generation)).ready
    async with asyncio.timeout(5):
        assert (await cluster.wait_ready(alice.generation)).ready


async def test_a_server_that_cannot_be_asked_is_ready_by_kubelet_s_word():
    kubernetes = Kubernetes()
    kubernetes.controllers.unnoticed = True
    cluster, alice = Databases(kubernetes, Spec(image="x"), "plane-a"), life()
    await cluster.start(alice, 1)
    await kubernetes.settle()

    async def gate(request: Request) -> Fate | None:
        return Fate.LOST if request.verb == "run" else None

    kubernetes.gate = gate
    wait = asyncio.create_task(cluster.wait_ready(alice.generation))
    await kubernetes.asked("run")
    assert not wait.done()
    kubernetes.controllers.unnoticed = False
    kubernetes.controllers.notice(alice.generation)
    await kubernetes.settle()
    async with asyncio.timeout(5):
        assert (await wait).ready
