"""One watch for all who wait for a pod: each sees its own life's, as it is and as it changes."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

import pytest

from shared.adapters.k8s import watching
from shared.adapters.k8s.pods import Pods
from shared.domain.errors import ClusterUnavailable
from shared.manifests import database
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.001)


@pytest.fixture
def kubernetes() -> Kubernetes:
    return Kubernetes()


@pytest.fixture
def pods(kubernetes: Kubernetes) -> Pods:
    return Pods(kubernetes, "plane-a")


async def make(kubernetes: Kubernetes, name: str, of: str, plane: str = "plane-a") -> None:
    labels = {database.PLANE: plane, database.GENERATION: of}
    await kubernetes.create({"kind": "Pod", "metadata": {"name": name, "labels": labels}})


async def names(states) -> set[str]:
    async with asyncio.timeout(5):
        return set((await anext(states)).objects)


def watches(kubernetes: Kubernetes) -> int:
    return [request.verb for request in kubernetes.requests].count("watch")


async def test_many_who_wait_have_one_watch_and_each_sees_its_own(kubernetes, pods):
    await make(kubernetes, "a-0", of="a")
    await make(kubernetes, "x-0", of="a", plane="plane-b")
    async with aclosing(pods.follow("a")) as first, aclosing(pods.follow("b")) as second:
        assert (await names(first), await names(second)) == ({"a-0"}, set())
        await make(kubernetes, "a-1", of="a")
        await make(kubernetes, "b-0", of="b")
        assert (await names(first), await names(second)) == ({"a-0", "a-1"}, {"b-0"})
    assert watches(kubernetes) == 1


async def test_who_comes_to_a_watch_under_way_sees_what_is_there(kubernetes, pods):
    async with aclosing(pods.follow("a")) as first:
        assert await names(first) == set()
        await make(kubernetes, "a-0", of="a")
        await make(kubernetes, "b-0", of="b")
        assert await names(first) == {"a-0"}
        async with aclosing(pods.follow("a")) as again, aclosing(pods.follow("b")) as second:
            assert (await names(again), await names(second)) == ({"a-0"}, {"b-0"})
    assert watches(kubernetes) == 1


async def test_what_the_watch_tells_late_undoes_nothing_of_what_was_listed(kubernetes, pods):
    async with aclosing(pods.follow("a")) as first:
        assert await names(first) == set()
        listing, go_on = asyncio.Event(), asyncio.Event()

        async def gate(request: Request) -> Fate | None:
            if request.verb == "page" and request.moment == "before":
                listing.set()
                await go_on.wait()
            return None

        kubernetes.gate = gate
        async with aclosing(pods.follow("a")) as second:
            listed = asyncio.create_task(names(second))
            await listing.wait()
            await make(kubernetes, "a-0", of="a")  # in its inbox, and in the list that it is about to have
            pod = kubernetes.find("Pod")[0]
            pod["metadata"]["labels"]["changed"] = "yes"
            kubernetes.store(pod)
            assert await names(first) == {"a-0"}
            go_on.set()
            assert await listed == {"a-0"}
            await make(kubernetes, "a-1", of="a")
            seen = await anext(second)
            assert set(seen.objects) == {"a-0", "a-1"}, "the next state is of the next change"
            assert seen.objects["a-0"]["metadata"]["labels"]["changed"] == "yes"


async def test_a_deletion_is_seen(kubernetes, pods):
    await make(kubernetes, "a-0", of="a")
    async with aclosing(pods.follow("a")) as states:
        assert await names(states) == {"a-0"}
        kubernetes.store(kubernetes.find("Pod")[0], "DELETED")
        await kubernetes.settle()
        assert await names(states) == set()


async def test_after_a_history_that_was_forgotten_everybody_lists_anew(kubernetes, pods):
    async with aclosing(pods.follow("a")) as first, aclosing(pods.follow("b")) as second:
        assert (await names(first), await names(second)) == (set(), set())
        kubernetes.gate = cut_off = Cut()
        await kubernetes.cut_watches()
        await make(kubernetes, "a-0", of="a")
        await make(kubernetes, "b-0", of="b")
        kubernetes.forget()
        cut_off.over()
        assert (await names(first), await names(second)) == ({"a-0"}, {"b-0"})


class Cut:
    """No watch begins until it is over."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    async def __call__(self, request: Request) -> Fate | None:
        if request.verb == "watch" and request.moment == "before":
            await self._over.wait()
        return None

    def over(self) -> None:
        self._over.set()


@contextmanager
def down(kubernetes: Kubernetes) -> Iterator[None]:
    async def gate(request: Request) -> Fate | None:
        return Fate.LOST

    before, kubernetes.gate = kubernetes.gate, gate
    yield
    kubernetes.gate = before


async def test_a_cluster_that_does_not_answer_is_told_to_all_who_wait_and_the_next_begins_anew(kubernetes, pods):
    with down(kubernetes):
        async with aclosing(pods.follow("a")) as first, aclosing(pods.follow("b")) as second:
            answers = await asyncio.gather(names(first), names(second), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ClusterUnavailable] * 2
    async with aclosing(pods.follow("a")) as states:
        assert await names(states) == set()
        await make(kubernetes, "a-0", of="a")
        assert await names(states) == {"a-0"}


async def test_a_list_that_fails_for_a_moment_ends_no_wait(kubernetes, pods):
    await make(kubernetes, "a-0", of="a")
    failures = iter([Fate.LOST] * 3)

    async def gate(request: Request) -> Fate | None:
        own = request.verb == "page" and database.GENERATION in request.name and request.moment == "before"
        return next(failures, None) if own else None

    kubernetes.gate = gate
    async with aclosing(pods.follow("a")) as states:
        assert await names(states) == {"a-0"}
    assert next(failures, None) is None, "it did fail"


async def test_who_comes_before_the_others_have_heard_of_its_end_has_a_watch_of_its_own(kubernetes, pods):
    async with aclosing(pods.follow("a")) as first:
        assert await names(first) == set()
        watch = pods._watch
        with down(kubernetes):
            await kubernetes.cut_watches()
            await watch
        async with aclosing(pods.follow("b")) as second:
            assert await names(second) == set()
            await make(kubernetes, "b-0", of="b")
            assert await names(second) == {"b-0"}
        with pytest.raises(ClusterUnavailable):
            await names(first)


async def test_who_comes_while_a_new_watch_begins_lists_nothing_before(kubernetes, pods):
    async with aclosing(pods.follow("a")) as first:
        assert await names(first) == set()
    begins, go_on = asyncio.Event(), asyncio.Event()

    async def gate(request: Request) -> Fate | None:
        if request.verb == "page" and database.GENERATION not in request.name and request.moment == "before":
            begins.set()
            await go_on.wait()
        return None

    kubernetes.gate, asked = gate, len(kubernetes.requests)
    async with aclosing(pods.follow("a")) as first, aclosing(pods.follow("b")) as second:
        both = asyncio.gather(names(first), names(second))
        await begins.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(kubernetes.requests) == asked + 1, "or what happens between list and watch would be missed"
        go_on.set()
        assert await both == [set(), set()]


async def test_nobody_lists_all_pods_there_are(kubernetes, pods, monkeypatch):
    page, limits = kubernetes.page, []
    monkeypatch.setattr(kubernetes, "page", lambda *of, **how: limits.append(how.get("limit")) or page(*of, **how))
    async with aclosing(pods.follow("a")) as states:
        assert await names(states) == set()
    assert limits == [1, None], "one to know since when to watch, then its own"


async def test_when_nobody_waits_there_is_no_watch(kubernetes, pods):
    before = asyncio.all_tasks()
    async with aclosing(pods.follow("a")) as first:
        async with aclosing(pods.follow("b")) as second:
            assert (await names(first), await names(second)) == (set(), set())
        await make(kubernetes, "a-0", of="a")
        assert await names(first) == {"a-0"}, "while one waits there is"
    await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
    assert asyncio.all_tasks() == before
    async with aclosing(pods.follow("a")) as first:
        assert await names(first) == {"a-0"}, "and again when somebody does"
