"""One server a folder: who comes second is told, and who takes it down waits for both, launcher and server."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from selfhost import lock
from selfhost.errors import CannotStart
from selfhost.lock import held, holders, taken_over

# Holds the folder's lock; told to stop, it ends when it is given a line.
ALONE = """
import signal, sys
from pathlib import Path
from selfhost.lock import held
def stop(number, frame):
    print("asked", flush=True)
    sys.stdin.readline()
    sys.exit()
signal.signal(signal.SIGTERM, stop)
with held(Path(sys.argv[1])):
    print("holds", flush=True)
    signal.pause()
"""
# As `playground run` does it: with a server in a session of its own that has the lock, too.
WITH_SERVER = """
import signal, subprocess, sys
from pathlib import Path
from selfhost.lock import held
with held(Path(sys.argv[1])) as lock:
    server = subprocess.Popen(
        [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"],
        stdout=subprocess.PIPE, pass_fds=[lock.descriptor], start_new_session=True,
    )
    lock.add(server.pid)
    server.stdout.readline()
    def stop(number, frame):
        server.terminate()
        sys.exit(server.wait())
    signal.signal(signal.SIGTERM, stop)
    print(server.pid, flush=True)
    signal.pause()
"""
INNOCENT = "import signal; print(flush=True); signal.pause()"

type Process = "subprocess.Popen[str]"
type Start = Callable[..., tuple[Process, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(program)` starts it with this test's folder and gives the process and its first line."""
    started: list[Process] = []

    def start(program: str) -> tuple[Process, str]:
        argv = [sys.executable, "-c", program, str(tmp_path)]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, line_of(process)

    yield start
    for pid in holders(tmp_path):
        os.kill(pid, signal.SIGKILL)
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: Process) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[list[int]]":
    """What `taken_over` saw each time it looked who holds the lock."""
    seen: asyncio.Queue[list[int]] = asyncio.Queue()

    def watched(folder: Path) -> list[int]:
        seen.put_nowait(holders(folder))
        return holders(folder)

    monkeypatch.setattr(lock, "holders", watched)
    return seen


@pytest.fixture
def anonymous(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """The lock is held by somebody of whom the file says this; it is given back on a second call."""
    with open(tmp_path / lock.NAME, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def say(text: str) -> None:
            file.write(text)
            file.flush()
            if not text:
                fcntl.flock(file, fcntl.LOCK_UN)

        yield say


async def take(folder: Path) -> list[int]:
    async with asyncio.timeout(30), taken_over(folder) as asked:
        return asked


def test_a_second_run_in_a_folder_names_the_first(start: Start, tmp_path: Path):
    first, _ = start(ALONE)
    with pytest.raises(CannotStart, match=rf"{tmp_path} is in use by process {first.pid}: end that first"):
        with held(tmp_path):
            pass
    assert holders(tmp_path) == [first.pid], "and leaves it alone"


async def test_where_nobody_runs_nobody_is_asked(tmp_path: Path):
    with held(tmp_path):
        assert holders(tmp_path) == [os.getpid()]
    assert holders(tmp_path) == [], "what a process wrote counts as long as it has the file open"
    assert await take(tmp_path) == []


async def test_down_waits_until_the_first_has_ended(start: Start, tmp_path: Path):
    first, _ = start(ALONE)
    taking = asyncio.create_task(take(tmp_path))
    assert await asyncio.to_thread(line_of, first) == "asked"
    assert not taking.done() and first.poll() is None
    assert first.stdin
    first.stdin.write("\n")
    first.stdin.flush()
    assert await taking == [first.pid]
    assert first.wait(10) == 0


async def test_a_launcher_that_lives_stops_its_server_itself(start: Start, tmp_path: Path):
    launcher, server = start(WITH_SERVER)
    assert holders(tmp_path) == [launcher.pid, int(server)]
    assert await take(tmp_path) == [launcher.pid], "a second signal would end the server at once"
    assert launcher.wait(10) == 256 - signal.SIGTERM, "it was there to see the end of its server"


async def test_a_server_whose_launcher_was_killed_is_stopped_by_down(start: Start, tmp_path: Path):
    launcher, server = start(WITH_SERVER)
    launcher.kill()
    launcher.wait(10)
    with pytest.raises(CannotStart, match=f"in use by process {server}: .* or kill {server}"):
        with held(tmp_path):
            pass
    assert await take(tmp_path) == [int(server)]
    assert holders(tmp_path) == []


@pytest.mark.parametrize("text", ["", "0\n", "-1\n", "x\n"])
async def test_a_lock_that_does_not_say_whose_it_is_is_waited_for(
    tmp_path: Path, anonymous: Callable[[str], None], looked: "asyncio.Queue[list[int]]", text: str,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(signal, "pidfd_send_signal", None)  # calling it would fail
    if text:
        anonymous(text)
    taking = asyncio.create_task(take(tmp_path))
    assert [await looked.get() for _ in range(3)] == [[], [], []]
    with pytest.raises(CannotStart, match="in use by another process"):
        with held(tmp_path):
            pass
    anonymous("")
    assert await taking == []


async def test_a_process_that_has_got_the_number_of_a_dead_one_is_left_alone(
    start: Start, tmp_path: Path, anonymous: Callable[[str], None], looked: "asyncio.Queue[list[int]]"
):
    innocent, _ = start(INNOCENT)
    anonymous(f"{innocent.pid}\n")
    taking = asyncio.create_task(take(tmp_path))
    assert [await looked.get() for _ in range(3)] == [[], [], []]
    anonymous("")
    assert await taking == []
    assert innocent.poll() is None


async def test_who_does_not_stop_is_named(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    first, _ = start(ALONE)
    with pytest.raises(CannotStart, match=f"process {first.pid} does not stop; kill -9 {first.pid} ends it"):
        await take(tmp_path)


def test_a_lock_that_was_removed_with_its_folder_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    flock = fcntl.flock

    def late(file: object, how: int) -> None:
        """Before we have it, `down` had it and removed it."""
        monkeypatch.undo()
        (tmp_path / lock.NAME).unlink()
        flock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", late)
    with held(tmp_path):
        assert holders(tmp_path) == [os.getpid()]
