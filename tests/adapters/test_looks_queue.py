"""What posting through a queue promises beyond the contract: what is sent, and what an outage costs."""

import asyncio
import json
import logging
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest
from azure.storage.queue.aio import QueueClient

from shared.adapters import looks_queue
from shared.adapters.looks_queue import KEPT, QueueLooks, connect
from shared.domain.leases import Owner
from shared.edge.messages import parse
from tests import azurite
from tests.samples import ALICE
from tests.virtual import VirtualLoop

# The service's side of an outage


class Service:
    """Stands in for the queue service: takes requests, and answers when and what it is told."""

    def __init__(self) -> None:
        self.requests = 0
        self.status = 201
        self.open = asyncio.Event()
        self.open.set()
        self._arrived = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                async with self._arrived:
                    self.requests += 1
                    self._arrived.notify_all()
                await self.open.wait()
                body = SENT if self.status == 201 else BUSY
                writer.write(b"HTTP/1.1 %d X\r\nContent-Type: application/xml\r\n" % self.status)
                writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def asked(self, times: int) -> None:
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.requests >= times)


SENT = (
    b"<?xml version='1.0' encoding='utf-8'?><QueueMessagesList><QueueMessage><MessageId>1</MessageId>"
    b"<InsertionTime>Fri, 09 Oct 2026 21:04:30 GMT</InsertionTime><PopReceipt>r</PopReceipt>"
    b"<ExpirationTime>Fri, 16 Oct 2026 21:04:30 GMT</ExpirationTime>"
    b"<TimeNextVisible>Fri, 09 Oct 2026 23:29:20 GMT</TimeNextVisible></QueueMessage></QueueMessagesList>"
)
BUSY = b"<?xml version='1.0'?><Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>"


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def looks(service: Service) -> AsyncIterator[QueueLooks]:
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{azurite.ACCOUNT}"
    opened = await QueueLooks.open(url, "looks", credential=azurite.CREDENTIAL)
    yield opened
    await opened.close()
    service.open.set()
    server.close()
    await server.wait_closed()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def settled(looks: QueueLooks) -> None:
    """Wait until nothing is under way."""
    while looks._sending:
        await asyncio.wait(looks._sending)


async def test_an_outage_is_logged_once_and_its_end_says_what_it_cost(
    service: Service, looks: QueueLooks, caplog: pytest.LogCaptureFixture
) -> None:
    service.status = 503
    for n in range(20):
        await looks.post(ALICE, f"database {n}")
    await settled(looks)
    assert warnings(caplog) == ["looks cannot be posted to the queue looks: ServerBusy"]
    service.status = 201
    await looks.post(ALICE, "database")
    await settled(looks)
    assert warnings(caplog)[1:] == ["looks are posted again; 20 were lost, the reaper finds them"]


async def test_a_look_that_failed_to_be_posted_is_not_posted_again(service: Service, looks: QueueLooks) -> None:
    service.status = 503
    await looks.post(ALICE, "database")
    await settled(looks)
    assert service.requests == 1


async def test_what_no_message_can_say_is_a_bug_and_logged(looks: QueueLooks, caplog: pytest.LogCaptureFixture) -> None:
    await looks.post(Owner("default", "\ud800"), "database")
    await settled(looks)
    (record,) = caplog.records
    assert "could not be posted" in record.getMessage()
    assert record.exc_info


async def test_requests_are_not_logged(service: Service, looks: QueueLooks, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await looks.post(ALICE, "database")
    await settled(looks)
    assert service.requests == 1
    assert caplog.records == []


async def test_a_service_that_hangs_holds_only_so_many_posts(
    service: Service, looks: QueueLooks, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks_queue, "SENDING", 3)
    service.open.clear()
    for n in range(10):
        await looks.post(ALICE, f"database {n}")
    await service.asked(3)
    assert len(looks._sending) == 3
    assert warnings(caplog) == ["looks cannot be posted to the queue looks: 3 are under way already"]
    service.open.set()
    await settled(looks)
    assert service.requests == 3
    assert warnings(caplog)[1:] == ["looks are posted again; 7 were lost, the reaper finds them"]


async def test_a_post_that_is_never_answered_is_given_up(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks_queue, "PATIENCE", 0.05)
    service.open.clear()
    async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{azurite.ACCOUNT}"
        looks = await QueueLooks.open(url, "looks", credential=azurite.CREDENTIAL)
        await looks.post(ALICE, "database")
        await settled(looks)
        await looks.close()
        service.open.set()
    (warning,) = warnings(caplog)
    assert warning.startswith("looks cannot be posted to the queue looks: ServiceResponseTimeoutError")


async def test_the_end_waits_for_posts_under_way(
    service: Service, looks: QueueLooks, caplog: pytest.LogCaptureFixture
) -> None:
    service.open.clear()
    await looks.post(ALICE, "database")
    closing = asyncio.create_task(looks.close())
    await service.asked(1)
    assert not closing.done()
    service.open.set()
    await closing
    assert warnings(caplog) == []


class SigningIn:
    """A queue's client that has to sign in first, which takes so many seconds."""

    queue_name = "looks"

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sent: list[str] = []

    async def send_message(self, content: str, *, time_to_live: int) -> None:
        await asyncio.sleep(self.seconds)
        self.sent.append(content)

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("seconds", "sent"), [(20, 1), (40, 0)])
def test_a_slow_sign_in_is_waited_for_but_not_for_ever(
    seconds: float, sent: int, caplog: pytest.LogCaptureFixture
) -> None:
    queue = SigningIn(seconds)

    async def main() -> None:
        looks = QueueLooks(cast(QueueClient, queue), azurite.CREDENTIAL)
        await looks.post(ALICE, "database")
        await settled(looks)
        await looks.close()

    loop = VirtualLoop()
    loop.run_until_complete(main())
    loop.close()
    assert len(queue.sent) == sent
    assert warnings(caplog) == ["looks cannot be posted to the queue looks: it takes too long"][sent:]


def test_the_end_waits_no_longer_than_two_seconds() -> None:
    queue, loop = SigningIn(20), VirtualLoop()

    async def main() -> None:
        looks = QueueLooks(cast(QueueClient, queue), azurite.CREDENTIAL)
        await looks.post(ALICE, "database")
        await looks.close()

    loop.run_until_complete(main())
    loop.close()
    assert loop.virtual == 2
    assert queue.sent == []


@pytest.mark.parametrize("name", ["", "ab", "Looks", "lo--oks", "-looks", "looks-", "loo_ks", "l" * 64, "looks\n"])
async def test_a_name_that_no_queue_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="queue's name"):
        await QueueLooks.open("https://account.queue.core.windows.net", name, credential=azurite.CREDENTIAL)


async def test_an_identity_never_goes_over_plain_http() -> None:
    with pytest.raises(ValueError, match="https only"):
        await QueueLooks.open("http://account.queue.core.windows.net", "looks")


async def test_opening_reaches_for_nothing() -> None:
    looks = await QueueLooks.open("https://account.invalid", "looks")
    await looks.close()


# A queue


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    with azurite.running() as url:
        yield url


@pytest.fixture
async def queue(azure: str) -> AsyncIterator[QueueClient]:
    async with connect(azure, azurite.a_name(), azurite.CREDENTIAL, patience=10) as queue:
        await queue.create_queue()
        yield queue


@pytest.mark.slow
async def test_a_message_is_what_azures_host_takes_and_lives_ten_minutes(azure: str, queue: QueueClient) -> None:
    looks = await QueueLooks.open(azure, queue.queue_name, credential=azurite.CREDENTIAL)
    await looks.post(Owner("default", "al ice"), "database")
    await looks.close()
    message = await queue.receive_message()
    assert message is not None
    assert message.inserted_on
    assert message.expires_on
    assert json.loads(b64decode(message.content)) == {"owner": "default/al%20ice", "lease": "database"}
    assert (message.expires_on - message.inserted_on).total_seconds() == KEPT == 600


@pytest.mark.slow
async def test_what_was_posted_outlives_who_posted_it(azure: str, queue: QueueClient) -> None:
    looks = await QueueLooks.open(azure, queue.queue_name, credential=azurite.CREDENTIAL)
    for n in range(50):
        await looks.post(ALICE, f"database {n}")
    await looks.close()
    found = [parse(b64decode(m.content)) async for m in queue.receive_messages(messages_per_page=32)]
    assert sorted(found, key=str) == sorted(((ALICE, f"database {n}") for n in range(50)), key=str)


@pytest.mark.slow
async def test_a_queue_that_is_missing_costs_looks_and_nothing_else(
    azure: str, caplog: pytest.LogCaptureFixture
) -> None:
    looks = await QueueLooks.open(azure, "missing", credential=azurite.CREDENTIAL)
    await looks.post(ALICE, "database")
    await looks.close()
    assert warnings(caplog) == ["looks cannot be posted to the queue missing: QueueNotFound"]
