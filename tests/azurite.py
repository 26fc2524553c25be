"""Azurite, Microsoft's emulator of Azure Storage, for tests: queues or blobs, in memory, on a port of its own.

`python -m tests.azurite` installs it with npm (365 MB) into the user's cache, as the first test that
needs it does; several at once wait for the one that is at it.
"""

import asyncio
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue.aio import QueueClient

ACCOUNT = "devstoreaccount1"
# Microsoft publishes this key for its emulators; it opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
CREDENTIAL = AzureNamedKeyCredential(ACCOUNT, KEY)

NODE = 20
_PACKAGE = Path(__file__).parent / "azurite" / "package.json"
_FLAGS = ("--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent")


def install(service: str = "queue") -> Path:
    """The program of one service, `queue` or `blob`, installed if it is missing. Raises RuntimeError saying what
    it takes.
    """
    version = json.loads(_PACKAGE.read_text())["dependencies"]["azurite"]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "playground"
    folder = cache / f"azurite-{version}"
    program = folder / "node_modules" / ".bin" / f"azurite-{service}"
    if program.exists():
        return program
    _check_node()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"azurite-{version}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="azurite-", ignore_cleanup_errors=True) as started:
                shutil.copy(_PACKAGE, started)
                options = ("--no-package-lock", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
                npm = subprocess.run(["npm", "install", "--prefix", started, *options], cwd=started)
                if npm.returncode:
                    raise RuntimeError(f"npm could not install azurite {version}: what it printed says why")
                Path(started).rename(folder)  # so that a folder of that name is always complete
    return program


def _check_node() -> None:
    found = "none" if not shutil.which("node") else subprocess.check_output(["node", "--version"], text=True).strip()
    major = re.match(r"v(\d+)", found)
    if not shutil.which("npm") or not major or int(major[1]) < NODE:
        raise RuntimeError(f"the queue's tests run Azurite: install Node.js {NODE} or newer with npm (found: {found})")


@contextmanager
def running(port: int = 0, service: str = "queue", host: str = "127.0.0.1") -> Iterator[str]:
    """Run it; the URL of its service, `queue` or `blob`. What was in it is gone when it ends."""
    command = [str(install(service)), f"--{service}Host", host, f"--{service}Port", str(port), *_FLAGS]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout
        limit = Timer(60, process.kill)
        limit.start()
        try:
            said = ""
            while not (found := re.search(r"successfully listens on (http://\S+)", said)):
                line = process.stdout.readline()
                assert line, f"azurite ended: {said}"
                said += line
            limit.cancel()
            yield f"{found[1]}/{ACCOUNT}"
        finally:
            limit.cancel()
            process.terminate()
            process.communicate()


def a_name() -> str:
    """A queue that no other test has."""
    return f"looks-{uuid.uuid4().hex[:12]}"


async def until(condition: Callable[[], object]) -> None:
    """Wait for what nobody tells us of; thirty seconds at most. An awaitable is awaited each time."""
    async with asyncio.timeout(30):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.02)


async def count(queue: QueueClient) -> int:
    """How many messages there are, hidden ones too."""
    return (await queue.get_queue_properties()).approximate_message_count or 0


async def emptied(queue: QueueClient) -> None:
    """Wait until there are no messages, hidden or not."""

    async def empty() -> bool:
        return await count(queue) == 0

    await until(empty)


async def texts(queue: QueueClient) -> list[str]:
    """What can be seen in a queue, as it was put there; nothing where there is no queue."""
    try:
        return [message.content for message in await queue.peek_messages(max_messages=32)]
    except ResourceNotFoundError:
        return []


if __name__ == "__main__":
    print(install())
