"""When queues are looked into, as host.json and the settings say; nothing here needs a queue."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.exceptions import ServiceRequestError

from selfhost.errors import CannotStart
from selfhost.queues import Polling, Queues
from selfhost.runtime import Runtime
from selfhost.triggers import QueueTrigger
from shared.adapters import looks_queue
from tests import azurite
from tests.selfhost.conftest import APPS
from tests.virtual import VirtualLoop


def runtime(queue: str = "looks") -> Runtime:
    return cast(Runtime, SimpleNamespace(queues=[QueueTrigger("take", "message", queue)]))


class EmptyQueue:
    """A queue that notes when it is looked into and answers as it is told."""

    def __init__(self, *answers: Exception | float | None) -> None:
        """Each answer: nothing, an error, or nothing for so many seconds."""
        self.queue_name = "looks"
        self.at: list[float] = []
        self.asked: dict[str, Any] = {}
        self._answers = iter(answers)

    def receive_messages(self, **options: Any) -> "EmptyQueue":
        self.asked = options
        return self

    def by_page(self) -> "EmptyQueue":
        return self

    async def __anext__(self) -> None:
        self.at.append(asyncio.get_running_loop().time())
        answer = next(self._answers, None)
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        raise answer if isinstance(answer, Exception) else StopAsyncIteration

    async def close(self) -> None:
        """Nothing is open."""


def looked_into(queue: EmptyQueue, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have that queue looked into for so long; the pauses between."""
    monkeypatch.setattr(looks_queue, "connect", lambda *given, **options: queue)

    async def main() -> None:
        queues = Queues(runtime(), "https://h", Polling(), credential=azurite.CREDENTIAL)
        queues.start()
        await asyncio.sleep(seconds)
        await queues.stop(patience=0)

    loop = VirtualLoop()
    loop.run_until_complete(main())
    loop.close()
    return [round(after - before, 3) for before, after in zip(queue.at, queue.at[1:], strict=False)]


def test_an_empty_queue_is_looked_into_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = looked_into(EmptyQueue(), 60, monkeypatch)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10, 10]


def test_a_batch_is_hidden_for_as_long_as_by_azures_host(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = EmptyQueue()
    looked_into(queue, 1, monkeypatch)
    assert queue.asked == {"messages_per_page": 16, "visibility_timeout": 600}


def test_an_outage_is_logged_once_whatever_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    down = [ServiceRequestError("refused\nby whom")] * 4
    looked_into(EmptyQueue(*down, None, RuntimeError("a bug"), *down), 60, monkeypatch)
    assert caplog.messages == [
        "queue looks cannot be read: ServiceRequestError: refused",
        "queue looks can be read again",
        "queue looks cannot be read",
        "queue looks cannot be read: ServiceRequestError: refused",
        "queue looks can be read again",
    ]


def test_a_service_that_hangs_is_asked_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert looked_into(EmptyQueue(3600.0, 3600.0), 130, monkeypatch)[:2] == [60.1, 60.2]
    assert caplog.messages == ["queue looks cannot be read: it takes too long", "queue looks can be read again"]


# host.json


def hosted(folder: Path, queues: object) -> Polling:
    (folder / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"queues": queues}}))
    return Polling.of(folder)


def test_a_failed_look_of_this_app_is_tried_again_after_five_seconds() -> None:
    polling = Polling.of(Path(__file__).parents[2])
    assert (polling.tries, polling.retry_after) == (5, 5)


def test_without_a_word_in_host_json_the_hosts_own_defaults_hold(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    assert Polling.of(tmp_path) == Polling()


def test_what_host_json_says_holds(tmp_path: Path) -> None:
    told = {
        "batchSize": 32, "maxDequeueCount": 2, "visibilityTimeout": "00:01:30.5", "maxPollingInterval": "00:00:02",
        "messageEncoding": "Base64",
    }  # fmt: skip
    assert hosted(tmp_path, told) == Polling(batch=32, threshold=16, tries=2, retry_after=90, longest=2)
    assert hosted(tmp_path, {"newBatchThreshold": 0, "batchSize": 1}) == Polling(batch=1, threshold=0)
    assert hosted(tmp_path, {"maxPollingInterval": "00:00:00.01"}).longest == 0.1


@pytest.mark.parametrize(
    "queues",
    [
        [], {"batchSize": 33}, {"batchSize": 0}, {"batchSize": "16"}, {"maxDequeueCount": 0},
        {"visibilityTimeout": 5}, {"visibilityTimeout": "5"}, {"visibilityTimeout": "00:99:00"},
        {"messageEncoding": "none"}, {"messageEncoding": None},
    ],
)  # fmt: skip
def test_what_would_be_served_otherwise_than_told_does_not_start(tmp_path: Path, queues: object) -> None:
    with pytest.raises(CannotStart, match=r"host\.json: extensions\.queues cannot be read"):
        hosted(tmp_path, queues)


@pytest.mark.parametrize(
    ("url", "queue"), [("http://h/account", "looks"), ("https://h", "%LOOKS%"), ("https://h", "l" * 57)]
)
def test_a_queue_that_cannot_be_does_not_start(url: str, queue: str) -> None:
    with pytest.raises(CannotStart, match="looks cannot be brought by a queue"):
        Queues(runtime(queue), url, Polling())


# The command


async def started(looks: str) -> asyncio.subprocess.Process:
    """`sqlflow_playground` with the echo app, which has a queue function, and an identity that signs in nowhere."""
    run = "import sys; from selfhost.server import main; sys.exit(main())"
    options = ("--insecure-http", "--port=0", f"--app_dir={APPS / 'echo'}")
    mine = {"ECHO_SCHEDULE": "0 0 0 1 1 *", "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PLAYGROUND_", "AZURE_"))}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", run, *options, env={**others, **mine, "PLAYGROUND_LOOKS": looks},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
async def test_the_command_looks_into_the_queue_that_is_set_until_it_ends() -> None:
    server = await started("queue:https://127.0.0.1:1")
    assert server.stderr
    async with asyncio.timeout(60):
        while b"queue looks cannot be read: ClientAuthenticationError" not in (line := await server.stderr.readline()):
            assert line
        server.send_signal(signal.SIGTERM)
        await server.communicate()
    assert server.returncode == 0


@pytest.mark.slow
async def test_the_command_does_not_start_where_its_token_would_go_over_http() -> None:
    server = await started("queue:http://127.0.0.1:1/account")
    async with asyncio.timeout(60):
        out, err = await server.communicate()
    assert server.returncode == 2
    assert out == b""
    assert err.decode().endswith("an identity's token goes over https only\n")


@pytest.mark.slow
async def test_without_a_queue_the_command_looks_into_none() -> None:
    server = await started("inprocess")
    assert server.stdout
    async with asyncio.timeout(60):
        assert (await server.stdout.readline()).startswith(b"listening on ")
        server.send_signal(signal.SIGTERM)
        _, err = await server.communicate()
    assert server.returncode == 0
    assert b"selfhost.queues" not in err
