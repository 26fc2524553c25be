"""One server a folder: who runs there holds a lock, and its process id stands in it."""

import asyncio
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfhost.errors import CannotStart

PATIENCE = 40.0  # seconds: a server finishes what is in flight before it goes


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises CannotStart if another process does."""
    with open(folder / "run.lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"{folder} is in use by process {_pid(folder)}: stop that first (Ctrl-C)") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


async def stop_whoever_runs(folder: Path) -> int:
    """Ask the process that holds the lock to stop and wait until it has; its id, or 0 if there is none.

    Raises CannotStart if it does not stop.
    """
    if not (folder / "run.lock").exists():
        return 0
    with open(folder / "run.lock", "a+") as file:  # noqa: ASYNC230
        asked = 0
        for _ in range(int(PATIENCE * 10)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return asked
            except BlockingIOError:
                if not asked:
                    asked = _pid(folder)
                    os.kill(asked, signal.SIGTERM)
                await asyncio.sleep(0.1)
    raise CannotStart(f"process {asked} does not stop")


def _pid(folder: Path) -> int:
    return int((folder / "run.lock").read_text() or 0)
