"""Databases on Kubernetes in memory: what the contract does not ask of every cluster."""

import asyncio
from dataclasses import replace

import pytest

from shared.adapters.k8s.databases import Databases
from shared.domain.errors import ClusterRefused, ClusterUnavailable
from shared.manifests import database
from tests.adapters.rig import SPEC, Rig, passing
from tests.contract.cluster_worlds import life
from tests.doubles.network import Fate, Request


async def test_a_server_in_use_is_not_restarted_for_a_new_image():
    rig = Rig()
    volume = await rig.ready(1)
    before = await rig.cluster.status(rig.generation)
    newer = Databases(rig.kubernetes, replace(SPEC, image="mariadb:11"), "plane-a")
    await newer.start(replace(rig.life, volume=volume), 2)
    [workload] = rig.kubernetes.find("StatefulSet")
    assert workload["spec"]["updateStrategy"] == {"type": "OnDelete"}
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == "mariadb:11"
    await rig.kubernetes.settle()
    assert (await rig.cluster.status(rig.generation)).server == before.server


async def test_a_mark_is_written_although_a_controller_writes_at_the_same_time():
    rig = Rig()
    await rig.cluster.start(rig.life, 1)
    [workload] = [w async for w in rig.cluster.workloads()]

    async def gate(request: Request) -> Fate | None:
        if request.verb == "replace" and request.moment == "before":
            rig.kubernetes.gate = passing
            await rig.kubernetes.settle()
        return None

    rig.kubernetes.gate = gate
    await rig.cluster.mark_orphan(workload, 1000.0)
    assert [w.orphan_since async for w in rig.cluster.workloads()] == [1000.0]


async def test_an_object_whose_step_nobody_can_read_is_left_alone():
    rig = Rig()
    await rig.cluster.start(rig.life, 1)
    [workload] = rig.kubernetes.find("StatefulSet")
    workload["metadata"]["annotations"][database.STEP] = "seven"
    with pytest.raises(ClusterRefused, match="no readable"):
        await rig.cluster.stop(rig.generation, 2)


async def test_a_workload_that_never_stands_still_is_given_up_for_now():
    rig = Rig()
    await rig.cluster.start(rig.life, 1)

    async def gate(request: Request) -> Fate | None:
        if request.verb == "replace" and request.moment == "before":
            rig.kubernetes.store(rig.kubernetes.find("StatefulSet")[0])
        return None

    rig.kubernetes.gate = gate
    with pytest.raises(ClusterUnavailable, match="keeps changing"):
        await rig.cluster.stop(rig.generation, 2)


async def test_many_workloads_are_listed_page_by_page():
    rig = Rig()
    rig.kubernetes.page_size = 2
    lives = [life() for _ in range(5)]
    for each in lives:
        await rig.cluster.start(each, 1)
    assert {w.generation async for w in rig.cluster.workloads()} == {each.generation for each in lives}


async def test_who_waits_from_before_a_life_is_made_learns_its_address_and_its_volume():
    rig = Rig()

    async def gate(request: Request) -> Fate | None:
        if request.verb == "page":  # the waiter has looked for volume and Service, and found none
            rig.kubernetes.gate = passing
            await rig.cluster.start(rig.life, 1)
            await rig.kubernetes.settle()
        return None

    rig.kubernetes.gate = gate
    async with asyncio.timeout(5):
        status = await rig.cluster.wait_ready(rig.generation)
    assert status.ready
    assert status == await rig.cluster.status(rig.generation)
    assert status.address and status.volume
