"""A message of the queue `looks` goes through the app itself: the function, the domain, the store."""

import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from azure.storage.queue.aio import QueueClient

from selfhost.queues import Polling, Queues
from selfhost.runtime import Runtime
from shared.adapters.looks_queue import QueueLooks, connect
from shared.adapters.sealing import new_key
from shared.domain.control import Control
from shared.domain.leases import Lease
from shared.domain.policy import Policy
from shared.ports.clock import SystemClock
from shared.wiring.control import control
from tests import azurite
from tests.contract.leases import event_of
from tests.doubles.memory import MemoryStore
from tests.samples import ALICE, a_lease

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with azurite.running() as url:
        yield url


@pytest.fixture
async def queue(service: str) -> AsyncIterator[QueueClient]:
    async with connect(service, azurite.a_name(), azurite.CREDENTIAL, patience=10) as queue:
        await queue.create_queue()
        yield queue


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    """The store of the app's control plane, which has no cluster: no look here needs one."""
    store, clock, nothing = MemoryStore(), SystemClock(), cast(Any, None)
    control.set(Control(store, nothing, nothing, nothing, clock, Policy()))
    yield store
    await control.close()


@pytest.fixture
async def lease(store: MemoryStore) -> Lease:
    """One that is due, and was heard a moment ago: a look at it raises its step and puts it off."""
    now = SystemClock().now()
    lease = a_lease(now=now, due_at=now)
    return await store.create(lease, event_of(lease))


@pytest.fixture
async def app(
    one_app: None, service: str, queue: QueueClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Runtime]:
    """This project's app, its queue function brought what is in `queue`."""
    monkeypatch.setenv("PLAYGROUND_FUNCTIONS", "look_at_lease")
    monkeypatch.setenv("PLAYGROUND_SEAL_KEYS", new_key())
    runtime = Runtime()
    await runtime.start(ROOT)
    assert [trigger.name for trigger in runtime.queues] == ["look_at_lease"]
    runtime.queues = [replace(trigger, queue=queue.queue_name) for trigger in runtime.queues]
    polling = replace(Polling.of(ROOT), retry_after=0, longest=0.1)
    queues = Queues(runtime, service, polling, credential=azurite.CREDENTIAL)
    queues.start()
    yield runtime
    await queues.stop(patience=10)
    runtime.stop()


async def posted(service: str, queue: QueueClient) -> None:
    looks = await QueueLooks.open(service, queue.queue_name, credential=azurite.CREDENTIAL)
    await looks.post(ALICE, "database")
    await looks.close()


async def put_away(service: str, queue: QueueClient) -> list[str]:
    async with connect(service, f"{queue.queue_name}-poison", azurite.CREDENTIAL, patience=10) as poison:
        return await azurite.texts(poison)


async def test_a_posted_lease_is_looked_at(
    app: Runtime, service: str, queue: QueueClient, store: MemoryStore, lease: Lease
) -> None:
    await posted(service, queue)
    await azurite.emptied(queue)
    looked = store.peek(lease.owner, lease.id)
    assert looked is not None
    assert looked.step == lease.step + 1
    assert looked.due_at > lease.due_at


async def test_a_look_that_the_store_failed_twice_is_done_the_third_time(
    app: Runtime, service: str, queue: QueueClient, store: MemoryStore, lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        store.fail_next("get", "before")
    await posted(service, queue)
    await azurite.emptied(queue)
    looked = store.peek(lease.owner, lease.id)
    assert looked is not None
    assert looked.step == lease.step + 1
    assert sum("function look_at_lease failed" in line for line in caplog.messages) == 2


@pytest.mark.parametrize(
    "body",
    ["look at alice, please", '{"tenant": "default", "user": "alice", "id": "database"}'],
    ids=["malformed", "of an older format"],
)
async def test_what_names_no_lease_is_poison_after_five_tries(
    app: Runtime, service: str, queue: QueueClient, lease: Lease, store: MemoryStore, body: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    message = b64encode(body.encode()).decode()
    await queue.send_message(message)
    await posted(service, queue)
    await azurite.emptied(queue)
    assert await put_away(service, queue) == [message]
    assert sum("ValueError: the message names no lease" in line for line in caplog.messages) == 5
    looked = store.peek(lease.owner, lease.id)
    assert looked is not None
    assert looked.step == lease.step + 1  # it held up nobody


async def test_a_look_at_what_is_gone_is_done(
    app: Runtime, service: str, queue: QueueClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await posted(service, queue)
    await azurite.emptied(queue)
    assert [line for line in caplog.messages if "failed" in line or "poison" in line] == []
