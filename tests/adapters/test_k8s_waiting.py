"""What a wait leaves behind."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from shared.adapters.k8s import databases
from shared.adapters.k8s.waiting import Wait
from tests.adapters.rig import Rig
from tests.selfhost.clients import until


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
