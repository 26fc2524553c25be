"""Looks through an Azure Storage queue: posted here, fired by Azure's host or by `selfhost.queues`."""

import asyncio
import logging
import re
import time
from base64 import b64encode

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from azure.identity.aio import DefaultAzureCredential
from azure.storage.queue.aio import QueueClient

from shared.domain.leases import Owner
from shared.edge import observing, tracing
from shared.edge.messages import encode
from shared.ports import metrics
from shared.ports.telemetry import SILENT

NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
type Credential = AsyncTokenCredential | AzureNamedKeyCredential

log = logging.getLogger("playground.look")

PATIENCE = 1.0  # seconds for a connection, and as long again for the answer
LONGEST = 30.0  # seconds for all of a post: the first one has to wait until this process has signed in
LAST = 2.0  # seconds that posts under way get when this process ends
SENDING = 256  # posts under way at most; beyond it the reaper finds what was dropped
KEPT = 600  # seconds a message stays in the queue: by then the reaper has long looked at that lease


class QueueLooks:
    """The port `Looks` on one queue, which `selfhost.queues` makes, or in Azure whoever deploys.

    A post is sent in the background, once: nobody waits for it, and one that is lost costs no more
    than the time to the reaper's next pass.
    """

    def __init__(self, queue: QueueClient, credential: Credential):
        self._queue, self._credential = queue, credential
        self._sending: set[asyncio.Task[None]] = set()
        self._lost = 0
        self._closed = False

    @classmethod
    async def open(cls, url: str, queue: str, *, credential: Credential | None = None) -> "QueueLooks":
        """Of the queue service at `url`; reaches for nothing yet. Raises ValueError for a wrong URL.

        Without `credential` the process's own identity is used, over https only; a key is for
        servers on this machine.
        """
        credential = credential or identity(url)
        return cls(connect(url, queue, credential, PATIENCE), credential)

    async def post(self, owner: Owner, id: str) -> None:
        if self._closed or len(self._sending) >= SENDING:
            self._lose("this process is ending" if self._closed else f"{SENDING} are under way already")
            return
        observing.telemetry.tell(metrics.POSTED, 1)
        task = asyncio.create_task(self._send(owner, id))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self) -> None:
        """Give posts under way two seconds. What is in the queue stays there."""
        self._closed = True
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=LAST)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._queue.close()
        await close(self._credential)

    async def _send(self, owner: Owner, id: str) -> None:
        try:
            async with asyncio.timeout(LONGEST):
                # As base64, which is what Azure's host expects of a message unless host.json says otherwise.
                message = b64encode(encode(owner, id, *_carried()).encode()).decode()
                await self._queue.send_message(message, time_to_live=KEPT)
        except (AzureError, TimeoutError) as error:
            self._lose(reason(error))
        except Exception:  # a bug here must not be silent, and there is nobody to raise it to
            log.exception("a look at %r of %r could not be posted", id, owner)
        else:
            if self._lost:
                log.warning("looks are posted again; %d were lost, the reaper finds them", self._lost)
            self._lost = 0

    def _lose(self, why: str) -> None:
        """Logged once: an outage loses a look with every beat."""
        if not self._lost:
            log.warning("looks cannot be posted to the queue %s: %s", self._queue.queue_name, why)
        self._lost += 1


def _carried() -> tuple[str, float]:
    """Which trace a look belongs to and when it was asked for, where anybody wants to know."""
    traceparent = "" if observing.telemetry is SILENT else tracing.traceparent()
    return traceparent, time.time()


def connect(url: str, queue: str, credential: Credential, patience: float) -> QueueClient:
    """A client of one queue, of raw text: it tries nothing again and logs no requests.

    `patience`: seconds for a connection, and as long again for an answer. Raises ValueError for a
    URL or a name that no queue can have.
    """
    if not NAME.fullmatch(queue):
        raise ValueError(f"{queue}: a queue's name is 3 to 63 characters of a-z, 0-9 and single '-' between them")
    return QueueClient(
        url, queue, credential,
        retry_total=0, connection_timeout=patience, read_timeout=patience, http_logging_level=logging.DEBUG,
    )  # fmt: skip


def identity(url: str) -> DefaultAzureCredential:
    """This process's own identity. Raises ValueError if `url` is not https."""
    if not url.startswith("https://"):
        raise ValueError(f"{url}: an identity's token goes over https only")
    return DefaultAzureCredential()


async def close(credential: Credential) -> None:
    """Close what a credential has open; a key has nothing."""
    if not isinstance(credential, AzureNamedKeyCredential):
        await credential.close()


def reason(error: Exception) -> str:
    """Why a request failed, on one line: the service's own code where it answered."""
    if isinstance(error, TimeoutError):
        return "it takes too long"
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or f"{type(error).__name__}: {str(error).partition('\n')[0]}")
