"""What a wait waits for, and what it leaves behind."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from shared.adapters.k8s import databases
from shared.adapters.k8s.waiting import Wait
from tests.adapters.rig import Rig
from tests.selfhost.clients import until


async def test_who_waits_is_told_only_when_the_address_leads_to_the_server():
    rig = Rig()
    rig.kubernetes.controllers.unled = True
    await rig.cluster.start(rig.life, 1)
    waiting = asyncio.create_task(rig.cluster.wait_ready(rig.generation))
    await rig.kubernetes.settle()
    await until(lambda: any((r.verb, r.kind) == ("watch", "EndpointSlice") for r in rig.kubernetes.requests))
    assert not waiting.done()
    rig.kubernetes.controllers.unled = False
    await rig.kubernetes.settle()
    assert (await waiting).ready


async def test_a_spare_to_which_no_address_leads_is_waited_for():
    rig = Rig()
    await rig.ready(1)
    rig.kubernetes.controllers.unled = True
    [leading] = rig.kubernetes.find("EndpointSlice")
    rig.kubernetes.remove(leading)
    assert not (await rig.cluster.status(rig.generation)).ready
    waiting = asyncio.create_task(rig.cluster.wait_ready(rig.generation))
    await until(lambda: any((r.verb, r.kind) == ("watch", "EndpointSlice") for r in rig.kubernetes.requests))
    rig.kubernetes.controllers.unled = False
    await rig.kubernetes.settle()
    assert (await waiting).ready


async def test_a_wait_that_is_over_is_gone_without_a_collection(monkeypatch: pytest.MonkeyPatch):
    rig, made = Rig(), list[weakref.ref[Wait]]()

    class Seen(Wait):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            made.append(weakref.ref(self))

    monkeypatch.setattr(databases, "Wait", Seen)
    gc.disable()
    try:
        await rig.cluster.start(rig.life, 1)
        waiting = asyncio.create_task(rig.cluster.wait_ready(rig.generation))
        await until(lambda: made)
        await rig.kubernetes.settle()
        assert (await waiting).ready
        del waiting
        await asyncio.sleep(0)
        assert [wait() for wait in made] == [None]
    finally:
        gc.enable()
