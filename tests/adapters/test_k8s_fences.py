"""Whatever the network does to any one request of an act, a later act wins and no data is lost."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from shared.domain.errors import ClusterUnavailable, Fenced
from tests.adapters.rig import Rig, passing
from tests.doubles.network import Fate, Request

FATES = [fate for fate in Fate if fate is not Fate.PASS]


@pytest.mark.parametrize("fate", FATES)
async def test_a_stop_after_a_struck_start_holds(fate):
    for position in itertools.count():
        rig = Rig()
        if not await rig.struck(lambda rig=rig: rig.cluster.start(rig.life, 1), fate, position):
            break
        await rig.kubernetes.settle()
        await rig.cluster.stop(rig.generation, 2)
        await rig.arrive()
        assert rig.standing().get("StatefulSet", 0) == 0, position
        assert "Pod" not in rig.standing(), position
    assert position == 8, "every request of a start was struck"


@pytest.mark.parametrize("fate", FATES)
async def test_a_struck_start_is_finished_by_the_next(fate):
    for position in itertools.count():
        rig = Rig()
        if not await rig.struck(lambda rig=rig: rig.cluster.start(rig.life, 1), fate, position):
            break
        await rig.ready(2)
        await rig.arrive()
        assert (await rig.cluster.status(rig.generation)).ready, position
        assert rig.kubernetes.deletions == []
        assert [request.name for request in rig.kubernetes.requests if request.verb == "delete"] == []


@pytest.mark.parametrize("fate", FATES)
async def test_a_start_after_a_struck_stop_holds(fate):
    for position in itertools.count():
        rig = Rig()
        volume = await rig.ready(1)
        if not await rig.struck(lambda rig=rig: rig.cluster.stop(rig.generation, 2), fate, position):
            break
        await rig.ready(3, replace(rig.life, volume=volume))
        await rig.arrive()
        assert rig.standing()["StatefulSet"] == 1, position
        assert (await rig.cluster.status(rig.generation)).ready, position


@pytest.mark.parametrize("fate", FATES)
async def test_data_outlives_a_struck_wake(fate):
    for position in itertools.count():
        rig = Rig()
        volume = await rig.ready(1)
        rig.kubernetes.controllers.server(rig.generation).execute("precious")
        await rig.cluster.stop(rig.generation, 2)
        await rig.kubernetes.settle()
        woken = replace(rig.life, volume=volume)
        if not await rig.struck(lambda rig=rig, woken=woken: rig.cluster.start(woken, 3), fate, position):
            break
        await rig.arrive()
        await rig.cluster.stop(rig.generation, 4)
        await rig.arrive()
        assert rig.kubernetes.volumes[volume] == ["precious"], position
        assert rig.standing()["StatefulSet"] == 0, position


@pytest.mark.parametrize("fate", FATES)
async def test_a_struck_deletion_is_finished_by_the_next(fate):
    for position in itertools.count():
        rig = Rig()
        volume = await rig.ready(1)
        await rig.cluster.stop(rig.generation, 2)
        await rig.kubernetes.settle()
        if not await rig.struck(lambda rig=rig, v=volume: rig.cluster.delete(rig.generation, 3, v), fate, position):
            break
        await rig.deleted(4, volume)
        await rig.arrive()
        assert rig.standing() == {}, position
        assert [deletion.uid for deletion in rig.kubernetes.deletions] == [volume]


@pytest.mark.parametrize("fate", FATES)
async def test_what_comes_late_for_a_dead_life_starts_nothing_and_is_collected(fate):
    for position in itertools.count():
        rig = Rig()
        if not await rig.struck(lambda rig=rig: rig.cluster.start(rig.life, 1), fate, position):
            break
        await rig.deleted(2, "")
        await rig.arrive()
        # A claim may have come late: it is empty, and reconcile sees it.
        assert set(rig.standing()) <= {"PersistentVolumeClaim"}, position
        seen = [workload.replicas async for workload in rig.cluster.workloads()]
        assert seen == [0] * len(rig.standing())
        assert all(data == [] for data in rig.kubernetes.volumes.values())


async def test_a_start_that_slept_before_its_last_request_is_fenced_by_the_stop_that_passed_it():
    rig = Rig()
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def gate(request: Request) -> Fate | None:
        if (request.verb, request.kind, request.moment) == ("replace", "StatefulSet", "before"):
            rig.kubernetes.gate = passing
            asleep.set()
            await awake.wait()
        return None

    rig.kubernetes.gate = gate
    sleeper = asyncio.create_task(rig.cluster.start(rig.life, 1))
    await asleep.wait()
    await rig.cluster.stop(rig.generation, 2)
    awake.set()
    with pytest.raises(Fenced):
        await sleeper
    await rig.kubernetes.settle()
    assert rig.standing()["StatefulSet"] == 0


async def test_a_deletion_that_a_start_passed_deletes_nothing():
    rig = Rig()
    volume = await rig.ready(1)

    async def gate(request: Request) -> Fate | None:
        if (request.verb, request.moment) == ("delete", "before"):
            rig.kubernetes.gate = passing
            await rig.ready(3, replace(rig.life, volume=volume))
        return None

    rig.kubernetes.gate = gate
    with pytest.raises(Fenced):
        await rig.cluster.delete(rig.generation, 2, volume)
    assert (await rig.cluster.status(rig.generation)).ready


async def test_no_pod_starts_before_its_network_policy_stands():
    async def no_policy(request: Request) -> Fate | None:
        return Fate.LOST if (request.verb, request.kind) == ("create", "NetworkPolicy") else None

    rig = Rig()
    rig.kubernetes.gate = no_policy
    with pytest.raises(ClusterUnavailable):
        await rig.cluster.start(rig.life, 1)
    await rig.kubernetes.settle()
    assert rig.standing()["StatefulSet"] == 0


async def test_a_policy_outlives_the_pod_it_guards():
    rig = Rig()
    volume = await rig.ready(1)
    rig.kubernetes.controllers.asleep = True  # the pod takes its time to end
    assert await rig.cluster.delete(rig.generation, 2, volume) is False
    await rig.kubernetes.settle()
    assert await rig.cluster.delete(rig.generation, 2, volume) is False
    assert {"Pod", "NetworkPolicy", "PersistentVolumeClaim"} <= set(rig.standing())
    rig.kubernetes.controllers.asleep = False
    await rig.deleted(2, volume)


async def test_two_who_start_one_life_at_once_start_one_pod():
    rig = Rig()
    await asyncio.gather(*(rig.cluster.start(rig.life, 1) for _ in range(5)))
    await rig.kubernetes.settle()
    assert len(rig.kubernetes.find("Pod")) == len(rig.kubernetes.find("PersistentVolumeClaim")) == 1
    assert rig.kubernetes.most_at_once == {rig.life.owner.key: 1}
