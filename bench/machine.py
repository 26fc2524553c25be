"""What the measurements ran on, and who else was at work meanwhile."""

import os
import platform
import re
import resource
import sqlite3
import ssl
import statistics
import tempfile
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def describe(folder: Path) -> list[str]:
    """Sentences on processor, versions, and what an fsync takes in `folder`."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found[1].strip() if found else platform.machine()
    return [
        f"{os.cpu_count()} cores ({model}), shared by server, load generator and everybody else; "
        f"Linux {platform.release()}",
        f"CPython {platform.python_version()}, {ssl.OPENSSL_VERSION}, SQLite {sqlite3.sqlite_version}",
        f"fdatasync of 4 KiB: {fsync(folder):.2f} ms (median of 200) when the run began",
    ]


def fsync(folder: Path) -> float:
    """Milliseconds that one takes."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for page in range(200):
            os.pwrite(file.fileno(), b"x" * 4096, page * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def pace() -> float:
    """Milliseconds for a fixed piece of Python: virtual machines are slowed down by what they cannot see."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        sum(number & 7 for number in range(200_000))
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def bare_disk(folder: Path, rate: float, seconds: float) -> float:
    """p99 in ms of what arrives at `rate` a second and is on this disk with the next fdatasync, nothing else done.

    Each write is of four pages, as a beat is in SQLite's log; what arrives meanwhile shares the next one.
    """
    late: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        began, done, place = time.perf_counter(), 0, 0
        while (now := time.perf_counter() - began) < seconds:
            arrived = int(now * rate)
            if arrived == done:
                time.sleep((done + 1) / rate - now)  # noqa: TID251
                continue
            os.pwrite(file.fileno(), bytes(16384 * (arrived - done)), place)
            os.fdatasync(file.fileno())
            place = (place + 16384 * (arrived - done)) % (32 << 20)
            end = time.perf_counter() - began
            late += [end - number / rate for number in range(done + 1, arrived + 1)]
            done = arrived
    return sorted(late)[int(len(late) * 0.99)] * 1000


def cpu(pid: int) -> float:
    """Seconds of processor time that a process and its children have taken."""
    return sum(_cpu(each) for each in _family(pid))


def waited(pid: int) -> float:
    """Seconds that a process's first thread was ready to run and had no core: others, or we, had them all."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def memory(pid: int) -> float:
    """What a process and its children hold resident, in MB (10^6 bytes)."""
    return sum(_memory(each) for each in _family(pid))


def _family(pid: int) -> list[int]:
    children = (task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    return [pid, *(int(child) for each in children for child in each)]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _memory(pid: int) -> float:
    found = re.search(r"^VmRSS:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024 / 1e6


class Others:
    """How many cores processes that are not ours have taken since this was made."""

    def __init__(self) -> None:
        self._began, self._busy, self._ours = time.monotonic(), _busy(), _ours()

    def cores(self) -> float:
        """To be asked when the processes we started have ended."""
        seconds = time.monotonic() - self._began
        return max(0.0, (_busy() - self._busy - (_ours() - self._ours)) / seconds)


def _busy() -> float:
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, stolen = map(int, fields[:8])
    return (user + nice + system + interrupts + soft + stolen) / TICK


def _ours() -> float:
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
