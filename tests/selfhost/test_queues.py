"""Queue functions get their messages as from Azure's host: tried again, put away, never two at once."""

import asyncio
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueClient

from selfhost.errors import FunctionFailed
from selfhost.queues import Polling, Queues
from selfhost.runtime import Runtime
from selfhost.triggers import QueueTrigger
from shared.adapters.looks_queue import QueueLooks, connect
from tests import azurite
from tests.azurite import count, emptied, texts, until
from tests.samples import ALICE

FAST = Polling(longest=0.1)


class Calls:
    """A runtime with one queue function, which does as it is told and keeps what it was given."""

    def __init__(self, queue: str) -> None:
        self.queues = [QueueTrigger("take", "message", queue)]
        self.got: list[tuple[str, int]] = []
        self.failures: dict[str, int] = {}
        self.error: Exception = FunctionFailed("take")
        self.open = asyncio.Event()
        self.open.set()
        self.running = 0
        self.most = 0
        self.done: list[str] = []

    async def call_queue(self, name: str, body: str, id: str, dequeue_count: int) -> None:
        self.got.append((body, dequeue_count))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.open.wait()
        finally:
            self.running -= 1
        if self.failures.get(body, 0) > 0:
            self.failures[body] -= 1
            raise self.error
        self.done.append(body)


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
async def poison(service: str, queue: QueueClient) -> AsyncIterator[QueueClient]:
    async with connect(service, f"{queue.queue_name}-poison", azurite.CREDENTIAL, patience=10) as poison:
        yield poison


@pytest.fixture
def calls(queue: QueueClient) -> Calls:
    return Calls(queue.queue_name)


Bring = Callable[..., Queues]


@pytest.fixture
async def bring(service: str) -> AsyncIterator[Bring]:
    """`bring(runtime)` has the queues of that runtime looked into."""
    started: list[Queues] = []

    def bring(runtime: Any, url: str = service, polling: Polling = FAST) -> Queues:
        queues = Queues(cast(Runtime, runtime), url, polling, credential=azurite.CREDENTIAL)
        started.append(queues)
        queues.start()
        return queues

    yield bring
    for queues in started:
        await queues.stop(patience=0)


async def put(queue: QueueClient, *bodies: str) -> None:
    for body in bodies:
        await queue.send_message(b64encode(body.encode()).decode())


# What becomes of a message


@pytest.mark.slow
async def test_a_message_is_given_to_its_function_and_deleted(queue: QueueClient, calls: Calls, bring: Bring) -> None:
    await put(queue, "what é says 🎈")
    bring(calls)
    await emptied(queue)
    assert calls.got == [("what é says 🎈", 1)]


@pytest.mark.slow
async def test_a_queue_that_is_missing_is_made(queue: QueueClient, calls: Calls, bring: Bring) -> None:
    await queue.delete_queue()
    bring(calls)

    async def posted() -> bool:
        looks = await QueueLooks.open(queue.url.rpartition("/")[0], queue.queue_name, credential=azurite.CREDENTIAL)
        await looks.post(ALICE, "database")
        await looks.close()
        return bool(calls.got)

    await until(posted)


@pytest.mark.slow
@pytest.mark.parametrize("error", [FunctionFailed("take"), RuntimeError("a bug in the runtime")])
async def test_what_failed_twice_is_given_a_third_time(
    queue: QueueClient, poison: QueueClient, calls: Calls, bring: Bring, error: Exception
) -> None:
    calls.failures, calls.error = {"again": 2}, error
    await put(queue, "again")
    bring(calls)
    await emptied(queue)
    assert calls.got == [("again", 1), ("again", 2), ("again", 3)]
    assert calls.done == ["again"]
    assert await texts(poison) == []


@pytest.mark.slow
async def test_what_fails_five_times_is_put_away_as_it_is_and_holds_up_nobody(
    queue: QueueClient, poison: QueueClient, calls: Calls, bring: Bring, caplog: pytest.LogCaptureFixture
) -> None:
    calls.failures = {"never": 99, "nor this": 99}
    await put(queue, "never", "one", "nor this", "two")
    bring(calls)
    await emptied(queue)
    assert [n for body, n in calls.got if body == "never"] == [1, 2, 3, 4, 5]
    assert sorted(calls.done) == ["one", "two"]
    assert sorted(await texts(poison)) == sorted(b64encode(body.encode()).decode() for body in calls.failures)
    told = [record.getMessage() for record in caplog.records if record.name == "selfhost.queues"]
    assert len(told) == 2
    assert all(f"failed 5 times: see {poison.queue_name}" in line for line in told)


@pytest.mark.slow
async def test_between_two_tries_passes_what_host_json_says(
    queue: QueueClient, calls: Calls, bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, told = QueueClient.update_message, list[Any]()

    async def at_once(self: QueueClient, message: Any, *, visibility_timeout: int) -> Any:
        told.append(visibility_timeout)
        return await update(self, message, visibility_timeout=0)

    monkeypatch.setattr(QueueClient, "update_message", at_once)
    calls.failures = {"again": 2}
    await put(queue, "again")
    bring(calls, polling=replace(FAST, retry_after=5))
    await emptied(queue)
    assert told == [5, 5]


@pytest.mark.slow
async def test_what_is_not_base64_is_put_away_at_once(
    queue: QueueClient, poison: QueueClient, calls: Calls, bring: Bring
) -> None:
    await queue.send_message('{"ow": "ne"} & <more>')
    bring(calls)
    await emptied(queue)
    assert await texts(poison) == ['{"ow": "ne"} & <more>']
    assert calls.got == []


@pytest.mark.slow
async def test_bytes_that_are_no_text_reach_the_function_as_in_azure(
    queue: QueueClient, calls: Calls, bring: Bring
) -> None:
    await queue.send_message(b64encode(b"a\xffb").decode())
    await queue.send_message("")
    bring(calls)
    await emptied(queue)
    assert calls.got == [("a\ufffdb", 1), ("", 1)]


@pytest.mark.slow
async def test_what_five_processes_died_of_is_put_away_untried(
    queue: QueueClient, poison: QueueClient, calls: Calls, bring: Bring
) -> None:
    await put(queue, "deadly")
    for _ in range(5):
        message = await queue.receive_message(visibility_timeout=60)
        assert message is not None
        await queue.update_message(message, visibility_timeout=0)
    bring(calls)
    await emptied(queue)
    assert len(await texts(poison)) == 1
    assert calls.got == []


@pytest.mark.slow
async def test_a_message_is_hidden_while_its_function_runs(queue: QueueClient, calls: Calls, bring: Bring) -> None:
    calls.open.clear()
    await put(queue, "long")
    bring(calls)
    bring(calls)
    await until(lambda: calls.got)
    assert await queue.receive_message() is None
    assert await count(queue) == 1
    calls.open.set()
    await emptied(queue)
    assert calls.got == [("long", 1)]


@pytest.mark.slow
async def test_many_messages_run_at_once_but_not_all(queue: QueueClient, calls: Calls, bring: Bring) -> None:
    calls.open.clear()
    await put(queue, *(f"message {n}" for n in range(40)))
    bring(calls, polling=replace(FAST, batch=4, threshold=2))
    await until(lambda: calls.running == 4)
    calls.open.set()
    await emptied(queue)
    assert sorted(calls.done) == sorted(f"message {n}" for n in range(40))
    assert 4 <= calls.most <= 6


# The end, and outages


@pytest.mark.slow
async def test_the_end_waits_for_what_is_under_way_and_fetches_no_more(
    queue: QueueClient, calls: Calls, bring: Bring
) -> None:
    calls.open.clear()
    await put(queue, "first")
    queues = bring(calls, polling=replace(FAST, threshold=0))
    await until(lambda: calls.got)
    stopping = asyncio.create_task(queues.stop(patience=30))
    await asyncio.sleep(0)
    await put(queue, "second")
    calls.open.set()
    await stopping
    assert calls.done == ["first"]
    assert await count(queue) == 1


@pytest.mark.slow
async def test_what_is_cut_off_at_the_end_stays_in_the_queue(queue: QueueClient, calls: Calls, bring: Bring) -> None:
    calls.open.clear()
    await put(queue, "endless")
    queues = bring(calls)
    await until(lambda: calls.got)
    await queues.stop(patience=0)
    assert calls.running == 0
    assert calls.done == []
    assert await count(queue) == 1


@pytest.mark.slow
async def test_a_service_that_was_down_is_found_when_it_is_there(
    bring: Bring, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    calls = Calls("looks")
    bring(calls, f"http://127.0.0.1:{port}/{azurite.ACCOUNT}")
    await until(lambda: caplog.messages)
    assert caplog.messages[0].startswith("queue looks cannot be read: ServiceRequestError")
    with azurite.running(port) as url:
        async with connect(url, "looks", azurite.CREDENTIAL, patience=10) as queue:
            with suppress(ResourceExistsError):  # the poller may have made it
                await queue.create_queue()
            await put(queue, "late")
            await emptied(queue)
    assert calls.done == ["late"]
    assert caplog.messages[1] == "queue looks can be read again"
