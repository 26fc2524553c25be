"""Brings the messages of an Azure Storage queue to the queue functions of an app, as Azure's host does.

A message is hidden while its function runs and deleted when that returned. After a failure it is
tried again, after too many it goes to `<queue>-poison`; what is not base64 goes there at once. A
process that dies leaves its messages hidden, and they come again.
Source of the rules: QueueListener and QueueProcessor of Microsoft.Azure.WebJobs.Extensions.Storage.Queues.
"""

import asyncio
import json
import logging
import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from selfhost.errors import CannotStart, FunctionFailed
from selfhost.runtime import Runtime
from selfhost.triggers import QueueTrigger
from shared.adapters import looks_queue

_log = logging.getLogger(__name__)

HIDDEN = 600
"""Seconds a message is hidden for its function, as by Azure's host; longer than a function may run."""

SHORTEST = 0.1
"""Seconds to the next look into a queue that was found empty; doubled as long as it stays so."""

PATIENCE = 10.0
"""Seconds for a connection to the queue service, and as long again for its answer."""

LONGEST = 60.0
"""Seconds for fetching one batch, signing in included."""


@dataclass(frozen=True, slots=True)
class Polling:
    """`extensions.queues` of host.json.

    `batch` messages are fetched at once as soon as no more than `threshold` are under way; `tries`
    is how often a message may fail, `retry_after` how many seconds are between two tries, `longest`
    how many between two looks into an empty queue (Azure's default is 60, ours is 10).
    """

    batch: int = 16
    threshold: int = 8
    tries: int = 5
    retry_after: int = 0
    longest: float = 10.0

    @classmethod
    def of(cls, app_dir: Path) -> Self:
        """What the host.json of that folder says. Raises CannotStart for what cannot be served so."""
        path, default = app_dir / "host.json", cls()
        try:
            queues = json.loads(path.read_bytes()).get("extensions", {}).get("queues", {})
            if queues.get("messageEncoding", "base64").lower() != "base64":
                raise ValueError("messageEncoding must be base64")
            batch = _number(queues, "batchSize", default.batch, 1, 32)
            return cls(
                batch=batch,
                threshold=_number(queues, "newBatchThreshold", batch // 2, 0, 1000),
                tries=_number(queues, "maxDequeueCount", default.tries, 1, 1000),
                retry_after=int(_period(queues, "visibilityTimeout", default.retry_after)),
                longest=max(SHORTEST, _period(queues, "maxPollingInterval", default.longest)),
            )
        except (OSError, ValueError, AttributeError) as error:
            raise CannotStart(f"{path}: extensions.queues cannot be read: {error}") from error


class Queues:
    """One task for each queue function of a runtime that has started."""

    def __init__(
        self, runtime: Runtime, url: str, polling: Polling, *, credential: looks_queue.Credential | None = None
    ) -> None:
        """Of the queue service at `url`, with this process's own identity if no `credential` is given.

        Raises CannotStart if there is no such service.
        """
        try:
            self._credential = credential or looks_queue.identity(url)
            self._pollers = [_Poller(trigger, runtime, url, polling, self._credential) for trigger in runtime.queues]
        except ValueError as error:
            raise CannotStart(f"looks cannot be brought by a queue: {error}") from error
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look into the queues; one that is missing is made."""
        self._tasks = [asyncio.create_task(poller.run(), name=f"queue {poller.name}") for poller in self._pollers]

    async def stop(self, patience: float) -> None:
        """Fetch no more; give functions under way `patience` seconds, then cancel them."""
        for poller in self._pollers:
            poller.stopping.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for poller in self._pollers:
            await poller.close()
        await looks_queue.close(self._credential)


class _Poller:
    """Looks into one queue for one function."""

    def __init__(
        self, trigger: QueueTrigger, runtime: Runtime, url: str, polling: Polling, credential: looks_queue.Credential
    ) -> None:
        self.name = trigger.queue
        self.stopping = asyncio.Event()
        self._function = trigger.name
        self._runtime = runtime
        self._polling = polling
        self._queue = looks_queue.connect(url, trigger.queue, credential, PATIENCE)
        self._poison = looks_queue.connect(url, f"{trigger.queue}-poison", credential, PATIENCE)
        self._down = False

    async def run(self) -> None:
        """Until `stopping` is set, and then until the functions under way have returned."""
        pause, running = 0.0, set[asyncio.Task[None]]()
        async with asyncio.TaskGroup() as group:
            while not self.stopping.is_set():
                batch = await self._fetch()
                running |= {group.create_task(self._handle(message)) for message in batch}
                while len(running) > self._polling.threshold and not self.stopping.is_set():
                    _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                pause = 0.0 if batch else min(max(SHORTEST, 2 * pause), self._polling.longest)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self.stopping.wait()

    async def close(self) -> None:
        await self._queue.close()
        await self._poison.close()

    async def _fetch(self) -> list[QueueMessage]:
        """The next messages; none also while the queue cannot be read, which is logged once."""
        try:
            async with asyncio.timeout(LONGEST):
                batch = await self._receive()
        except (AzureError, TimeoutError) as error:
            if not self._down:
                _log.warning("queue %s cannot be read: %s", self.name, looks_queue.reason(error))
            self._down = True
        except Exception:  # a bug on the way to one batch must not end all looks
            _log.exception("queue %s cannot be read", self.name)
        else:
            if self._down:
                _log.warning("queue %s can be read again", self.name)
            self._down = False
            return batch
        return []

    async def _receive(self) -> list[QueueMessage]:
        pages = self._queue.receive_messages(messages_per_page=self._polling.batch, visibility_timeout=HIDDEN).by_page()
        try:
            return [message async for message in await anext(pages)]
        except StopAsyncIteration:
            return []
        except ResourceNotFoundError:
            await _make(self._queue)
            return []

    async def _handle(self, message: QueueMessage) -> None:
        """Call the function; delete what it did, have tried again what failed, put away what fails for good."""
        tries = message.dequeue_count or 1
        try:
            if tries > self._polling.tries:
                await self._put_away(message, f"was fetched {tries} times by processes that died")
            elif (body := _decoded(message.content)) is None:
                await self._put_away(message, "is not base64")
            elif await self._call(body, message.id or "", tries):
                await self._queue.delete_message(message)
            elif tries < self._polling.tries:
                await self._queue.update_message(message, visibility_timeout=self._polling.retry_after)
            else:
                await self._put_away(message, f"failed {tries} times")
        except AzureError as error:
            why = looks_queue.reason(error)
            _log.warning("message %s of queue %s comes again unless it is gone: %s", message.id, self.name, why)
        except Exception:  # a bug over one message must not end the looks of everybody else
            _log.exception("message %s of queue %s comes again", message.id, self.name)

    async def _call(self, body: str, id: str, tries: int) -> bool:
        """Whether the function returned; why it did not is logged."""
        try:
            await self._runtime.call_queue(self._function, body, id, tries)
        except FunctionFailed:  # logged where it failed
            return False
        except Exception:
            _log.exception("function %s could not be called", self._function)
            return False
        return True

    async def _put_away(self, message: QueueMessage, why: str) -> None:
        """Put the message, as it is, where somebody may look at it: first there, then away here."""
        try:
            await self._poison.send_message(message.content)
        except ResourceNotFoundError:
            await _make(self._poison)
            await self._poison.send_message(message.content)
        await self._queue.delete_message(message)
        _log.error("message %s of queue %s %s: see %s", message.id, self.name, why, self._poison.queue_name)


def _decoded(content: str | None) -> str | None:
    """The text of a message, None if it is not base64; bytes that are no UTF-8 show as in .NET."""
    try:
        return b64decode(content or "", validate=True).decode(errors="replace")
    except ValueError:
        return None


async def _make(queue: QueueClient) -> None:
    with suppress(ResourceExistsError):  # somebody else was first
        await queue.create_queue()


def _number(queues: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = queues.get(name, default)
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least} to {most}")
    return value


def _period(queues: Mapping[str, Any], name: str, default: float) -> float:
    """Seconds, from `hh:mm:ss` with an optional fraction."""
    if name not in queues:
        return default
    found = re.fullmatch(r"(\d\d):([0-5]\d):([0-5]\d(?:\.\d{1,7})?)", str(queues[name]))
    if found is None:
        raise ValueError(f"{name} must be a time such as 00:00:30")
    hours, minutes, seconds = map(float, found.groups())
    return hours * 3600 + minutes * 60 + seconds
