"""One server a folder: who runs there holds a lock, and the process ids of those who do stand in it.

`playground run` takes it and hands it on to its server, so that it lasts as long as either lives.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO

from selfhost.errors import CannotStart

PATIENCE = 40.0  # seconds: a server finishes what is in flight before it goes
NAME = "run.lock"


class Lock:
    """A folder's lock that this process holds. Whoever inherits `descriptor` holds it, too."""

    def __init__(self, file: IO[str]):
        self._file = file
        self.descriptor = file.fileno()
        self.add(os.getpid())

    def add(self, pid: int) -> None:
        """Write down another process that holds it from now on."""
        self._file.write(f"{pid}\n")
        self._file.flush()


@contextmanager
def held(folder: Path) -> Iterator[Lock]:
    """Hold the folder's lock. Raises CannotStart if another process does."""
    file = _taken(folder)
    if file is None:
        who = next(iter(holders(folder)), 0)
        name, end = (f"process {who}", f" or kill {who}") if who else ("another process", "")
        raise CannotStart(f"{folder} is in use by {name}: end that first (Ctrl-C where it runs{end})")
    with file:
        yield Lock(file)


@asynccontextmanager
async def taken_over(folder: Path) -> AsyncIterator[list[int]]:
    """Hold the lock of a folder that is there, once those who do have stopped: gives whom it asked to, in that order.

    A server is asked only when nobody is left to do it: a second signal would end it at once.
    Raises CannotStart if they do not stop.
    """
    asked: list[int] = []
    file = None
    for _ in range(int(PATIENCE * 10)):
        if file := _taken(folder):
            break
        found = holders(folder)
        if found and found[0] not in asked and _asked_to_stop(found[0], folder / NAME):
            asked.append(found[0])
        await asyncio.sleep(0.1)
    if file is None:
        who = f"process {asked[-1]}" if asked else f"who holds {folder / NAME} is not known and"
        raise CannotStart(f"{who} does not stop" + (f"; kill -9 {asked[-1]} ends it" if asked else ""))
    with file:
        yield asked


def holders(folder: Path) -> list[int]:
    """Those who wrote that they run here, and do: who began it first. Empty for a moment, while it begins."""
    path = folder / NAME
    try:
        said = [int(line) for line in path.read_text().splitlines() if line.isdecimal()]
    except FileNotFoundError:
        return []
    return [pid for pid in said if pid > 0 and _has_open(pid, path)]  # 0 would be our own group


def _taken(folder: Path) -> IO[str] | None:
    """The folder's lock, if nobody else holds it."""
    path = folder / NAME
    while True:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(os.fstat(file.fileno()), path):
                file.truncate(0)
                return file
            file.close()  # whoever held it has removed it with the folder
        except BlockingIOError:
            file.close()
            return None


def _asked_to_stop(pid: int, path: Path) -> bool:
    """Send SIGTERM to a process that has the file open; False if there is none any more."""
    try:
        process = os.pidfd_open(pid)  # names it for good: a pid may be another's in a moment
    except ProcessLookupError:
        return False
    try:
        if not _has_open(pid, path):
            return False
        signal.pidfd_send_signal(process, signal.SIGTERM)
        return True
    except ProcessLookupError:
        return False
    except PermissionError as error:
        raise CannotStart(f"process {pid} runs there as another user, who must stop it") from error
    finally:
        os.close(process)


def _has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open; True where the system does not let us look."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return any(_refers_to(entry, path) for entry in entries)
    except PermissionError:
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False


def _refers_to(entry: "os.DirEntry[str]", path: Path) -> bool:
    try:
        return _is(entry.stat(), path)
    except OSError:  # closed meanwhile
        return False


def _is(found: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(found, path.stat())
    except FileNotFoundError:
        return False
