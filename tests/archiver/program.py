"""The archiver as kubelet runs it: a process with settings, and what it tells."""

import base64
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
KEY = base64.b64encode(bytes(range(32))).decode()
CONTEXT = "default/alice k3x-7"
MIB = 1 << 20

# Runs the program with the limit of a file's size in its first argument, if that is not 0, and tells its memory's peak.
WRAPPED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    runpy.run_module("archiver", run_name="__main__", alter_sys=True)
finally:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""


@dataclass
class Ended:
    """How a run ended: its exit code, what kubelet is told, what was printed, the peak of its memory in bytes."""

    code: int
    told: str
    printed: str
    peak: int

    @property
    def outcome(self) -> dict[str, object]:
        assert self.code == 0, self.printed
        found: dict[str, object] = json.loads(self.told)
        return found


@dataclass
class Pod:
    """A folder with a dump, a volume, and settings for the runs in it."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dump, self.result, self.done = (self.folder / name for name in ("dump", "result", "done"))
        self.file = self.folder / "volume" / "k3x-7.archive"
        self.settings = {
            "ARCHIVE_KEY": KEY,
            "ARCHIVE_CONTEXT": CONTEXT,
            "ARCHIVE_FILE": str(self.file),
            "ARCHIVE_DUMP": str(self.dump),
            "ARCHIVE_RESULT": str(self.result),
        } | self.settings

    def begin(self, *arguments: str, limit: int = 0, **settings: str) -> "subprocess.Popen[str]":
        """A run under way; a setting that is "" is left out."""
        given = {name: value for name, value in (self.settings | settings).items() if value}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ARCHIVE_")}
        return subprocess.Popen(
            [sys.executable, "-c", WRAPPED, str(limit), *arguments],
            cwd=REPOSITORY,
            env=kept | given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: "subprocess.Popen[str]", number: signal.Signals | None = None) -> Ended:
        """Wait for its end, after a signal if there is one."""
        if number is not None:
            process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
        *lines, peak = printed.splitlines()
        told = self.result.read_text() if self.result.exists() else ""
        return Ended(process.returncode, told, "\n".join(lines), int(peak.split()[1]) * 1024)

    def run(self, *arguments: str, limit: int = 0, **settings: str) -> Ended:
        return self.end(self.begin(*arguments, limit=limit, **settings))

    def store(self, **settings: str) -> Ended:
        return self.run("store", **settings)

    def fetch(self, stored: dict[str, object], **settings: str) -> Ended:
        """To the file `back`."""
        return self.run("fetch", **self.wanted(stored), **settings)

    def wanted(self, stored: dict[str, object]) -> dict[str, str]:
        found = {"ARCHIVE_SHA256": str(stored["sha256"]), "ARCHIVE_SIZE": str(stored["size"])}
        return {**found, "ARCHIVE_DUMP": str(self.back)}

    @property
    def back(self) -> Path:
        return self.folder / "back"
