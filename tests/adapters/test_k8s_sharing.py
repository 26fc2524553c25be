"""Many who wait for one life at once, and many who act at once."""

import asyncio

import pytest

from shared.adapters.k8s.databases import ACTS, Databases
from shared.adapters.k8s.sharing import Shared
from shared.domain.errors import ClusterUnavailable
from shared.manifests.mariadb import Spec
from shared.ports.archives import Place
from shared.ports.cluster import Task
from tests.adapters.rig import Rig, passing
from tests.contract.cluster_worlds import life
from tests.doubles.kubernetes import Kubernetes
from tests.doubles.network import Fate, Request


class Work:
    """Something to share: ends when it is told to, and remembers how it was."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.begun += 1
        try:
            return await asyncio.shield(self.end)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def joined(shared: Shared[str, str], work: Work, times: int) -> list[asyncio.Task[str]]:
    callers = [asyncio.create_task(shared.join("key", work)) for _ in range(times)]
    await asyncio.sleep(0)  # each has joined
    await asyncio.sleep(0)  # and what they share has begun
    return callers


async def test_who_comes_at_the_same_time_shares_one_run_and_its_result():
    shared, work = Shared[str, str](), Work()
    callers = await joined(shared, work, 100)
    assert shared.under_way("key")
    work.end.set_result("done")
    assert await asyncio.gather(*callers) == ["done"] * 100
    assert (work.begun, shared.under_way("key")) == (1, False)


async def test_an_error_is_everybody_s_and_the_next_begins_anew():
    shared, work = Shared[str, str](), Work()
    callers = await joined(shared, work, 3)
    work.end.set_exception(ClusterUnavailable("no answer"))
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ClusterUnavailable] * 3
    again = Work()
    again.end.set_result("done")
    assert await shared.join("key", again) == "done"


async def test_one_who_is_cancelled_does_not_end_it_for_the_others():
    shared, work = Shared[str, str](), Work()
    first, second, third = await joined(shared, work, 3)
    for gone in (first, third):
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert work.cancelled == 0
    work.end.set_result("done")
    assert await second == "done"


async def test_it_ends_with_the_last_who_is_cancelled():
    shared, work = Shared[str, str](), Work()
    before = asyncio.all_tasks()
    for caller in await joined(shared, work, 3):
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert (work.cancelled, shared.under_way("key"), asyncio.all_tasks()) == (1, False, before)


async def test_who_comes_while_the_last_run_is_being_ended_begins_another():
    shared, work = Shared[str, str](), Work()
    [caller] = await joined(shared, work, 1)
    caller.cancel()
    again = asyncio.create_task(shared.join("key", work))
    work.end.set_result("done")
    assert await again == "done"


async def test_other_keys_are_other_runs():
    shared, work = Shared[str, str](), Work()
    work.end.set_result("done")
    await asyncio.gather(shared.join("a", work), shared.join("b", work))
    assert work.begun == 2


# --- waits


def watched(kubernetes: Kubernetes) -> int:
    return sum(request.verb == "watch" for request in kubernetes.requests)


async def test_a_hundred_who_wait_for_one_life_open_one_set_of_watches():
    rig = Rig()
    await rig.cluster.start(rig.life, 1)
    waits = [asyncio.create_task(rig.cluster.wait_ready(rig.generation)) for _ in range(100)]
    await rig.kubernetes.asked("watch")
    waits.pop().cancel()
    await rig.kubernetes.settle()
    async with asyncio.timeout(5):
        statuses = await asyncio.gather(*waits)
    assert all(status.ready for status in statuses)
    assert watched(rig.kubernetes) == 1
    assert sum(request.verb == "run" for request in rig.kubernetes.requests) <= 1


async def test_a_failure_is_told_to_a_hundred_by_two_sets_of_watches_at_most():
    rig = Rig()
    rig.kubernetes.controllers.waiting = ("ErrImagePull", "not found")
    await rig.cluster.start(rig.life, 1)
    waits = [asyncio.create_task(rig.cluster.wait_ready(rig.generation)) for _ in range(100)]
    await rig.kubernetes.asked("watch")
    await rig.kubernetes.settle()
    async with asyncio.timeout(5):
        statuses = await asyncio.gather(*waits)
    assert {status.failure for status in statuses} == {"the image cannot be pulled: not found"}
    assert watched(rig.kubernetes) <= 4


async def test_who_has_just_started_a_life_is_not_told_what_an_earlier_wait_saw():
    rig = Rig()
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def gate(request: Request) -> Fate | None:
        slow = ("watch", "StatefulSet"), ("page", "Event")
        if request.moment == "before" and (request.verb, request.kind) in slow and not go_on.is_set():
            if request.verb == "watch":
                await asyncio.Event().wait()  # no change of it is heard
            reading.set()  # by now it was read that there is none
            await go_on.wait()
        return None

    rig.kubernetes.gate = gate
    early = asyncio.create_task(rig.cluster.wait_ready(rig.generation))
    await reading.wait()
    await rig.cluster.start(rig.life, 1)
    starter = asyncio.create_task(rig.cluster.wait_ready(rig.generation))
    await asyncio.sleep(0)
    go_on.set()
    async with asyncio.timeout(5):
        assert (await early).replicas == 0
    async with asyncio.timeout(5):
        await rig.kubernetes.asked("watch", 3)
        await rig.kubernetes.settle()
        assert (await starter).ready


async def test_when_nobody_waits_any_more_no_watch_stays_open():
    rig = Rig()
    await rig.cluster.start(rig.life, 1)
    before = asyncio.all_tasks()
    waits = [asyncio.create_task(rig.cluster.wait_ready(rig.generation)) for _ in range(5)]
    await rig.kubernetes.asked("watch")
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    assert asyncio.all_tasks() == before


# --- acts


async def test_a_few_act_at_once_and_the_others_in_the_order_in_which_they_came():
    kubernetes = Kubernetes()
    cluster = Databases(kubernetes, Spec(image="x"), "plane-a")
    lives = [life() for _ in range(3 * ACTS)]
    open_to = asyncio.Semaphore(0)

    async def gate(request: Request) -> Fate | None:
        if request.moment == "before" and request.kind == "StatefulSet" and request.verb == "get":
            await open_to.acquire()
        return None

    kubernetes.gate = gate
    starts = [asyncio.create_task(cluster.start(each, 1)) for each in lives]
    await kubernetes.asked("get", ACTS)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(kubernetes.requests) == ACTS
    for _ in lives:
        open_to.release()
    await asyncio.gather(*starts)
    began = [request.name for request in kubernetes.requests if (request.verb, request.kind) == ("get", "StatefulSet")]
    assert began == [f"pg-{each.generation}" for each in lives]


async def test_who_waits_for_a_tasks_end_keeps_nobody_from_acting():
    kubernetes = Kubernetes(auto=True)
    cluster = Databases(kubernetes, Spec(image="x"), "plane-a")
    lives = [life() for _ in range(2 * ACTS)]
    for each in lives:
        await cluster.start(each, 1)
        for step in (2, 3):
            task = Task(f"{each.generation}-2", "a2V5", "c", Place(claim="archives", path="x.archive"))
            await cluster.store(each, step, task)
    kubernetes.controllers.asleep = True  # so that no pod goes
    waiting = [asyncio.create_task(cluster.start(each, 4)) for each in lives]
    async with asyncio.timeout(5):
        while any(item["spec"]["replicas"] for item in kubernetes.find("StatefulSet")):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await cluster.start(life(), 1)
        assert not any(task.done() for task in waiting)
        kubernetes.controllers.asleep = False
        await kubernetes.settle()
        await asyncio.gather(*waiting)


async def test_who_waits_for_readiness_keeps_nobody_from_acting():
    kubernetes = Kubernetes()
    cluster = Databases(kubernetes, Spec(image="x"), "plane-a")
    lives = [life() for _ in range(2 * ACTS)]
    waits = []
    async with asyncio.timeout(5):
        for each in lives:
            await cluster.start(each, 1)
            waits.append(asyncio.create_task(cluster.wait_ready(each.generation)))
        await kubernetes.asked("watch", len(lives))
        await asyncio.gather(*(cluster.stop(each.generation, 2) for each in lives))
        await asyncio.gather(*waits)


async def test_an_act_that_fails_makes_room_for_the_next():
    rig = Rig()

    async def gate(request: Request) -> Fate | None:
        return Fate.LOST

    rig.kubernetes.gate = gate
    acts = [rig.cluster.stop(rig.generation, 1) for _ in range(3 * ACTS)]
    assert {type(answer) for answer in await asyncio.gather(*acts, return_exceptions=True)} == {ClusterUnavailable}
    rig.kubernetes.gate = passing
    async with asyncio.timeout(5):
        await rig.ready(1)
