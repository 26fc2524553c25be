"""Steps with their progress and time, and programs run with their output in a log."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from .settings import Failed

LINE_EVERY = 15.0  # seconds between lines where there is no terminal to update one on


class Step:
    """A named piece of work: one updating line on a terminal, otherwise a line every 15 s and one at the end."""

    def __init__(self, title: str):
        self.title = title
        self.began = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.detail = ""

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def update(self, detail: str = "") -> None:
        self.detail = detail
        now = time.monotonic()
        if now - self.shown < (0.2 if self.terminal else LINE_EVERY):
            return
        self.shown = now
        text = f"  {self.title}: {detail + ', ' if detail else ''}{self.seconds():.0f} s"
        if self.terminal:
            width = shutil.get_terminal_size().columns
            print(f"\r{text[: width - 1]}\x1b[K", end="", flush=True)
        else:
            print(text, flush=True)

    def __enter__(self) -> "Step":
        if self.terminal:
            print(f"  {self.title} ...", end="", flush=True)
        return self

    def __exit__(self, kind, error, trace) -> None:
        start, end = ("\r", "\x1b[K") if self.terminal else ("", "")
        if kind is None:
            ending = f"{self.seconds():.1f} s"
        elif issubclass(kind, Exception):
            ending = f"failed after {self.seconds():.1f} s"
        else:
            ending = f"interrupted after {self.seconds():.1f} s"
        print(f"{start}  {self.title}: {ending}{end}", flush=True)


def tail(path: pathlib.Path, lines: int = 15) -> str:
    try:
        last = path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in last) or "    (empty)"


def sh(*args, **options) -> str:
    """Run to the end, give the output; Failed with the end of it otherwise."""
    argv = [str(a) for a in args]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    except OSError as error:
        raise Failed(f"{argv[0]}: {error.strerror}") from error
    if done.returncode:
        raise Failed(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


def logged(argv, log: pathlib.Path, step: Step, describe=None, **options) -> None:
    """Run with the output appended to log; describe(new lines) gives the progress to show.

    The program gets a process group of its own, which an interruption of this
    script ends too: nothing goes on building behind the user's back.
    """
    with open(log, "ab") as out, open(log, errors="replace") as seen:
        seen.seek(0, os.SEEK_END)
        try:
            process = subprocess.Popen(
                [str(a) for a in argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        except OSError as error:
            raise Failed(f"{step.title}: {argv[0]}: {error.strerror}") from error
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                step.update(describe(seen.readlines()) if describe else step.detail)
                if process.returncode is not None:
                    break
        except BaseException:
            end_group(process)
            raise
    if process.returncode:
        text = tail(log)
        raise Failed(f"{step.title} failed (exit {process.returncode}); the log {log} ends\n{text}", reason(text))


def end_group(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def reason(text: str) -> str:
    """What to do about a failed build, as far as its log tells."""
    low = text.lower()
    if "no space left" in low:
        return "the disk is full: free some space, then run the same command again"
    network = ("dial tcp", "connection refused", "no such host", "i/o timeout", "could not resolve", "403 forbidden")
    network += ("failed to fetch", "temporary failure", "connection to", "no matching distribution", "tls handshake")
    if any(word in low for word in network):
        return "a package registry was not reached: check GOPROXY, apt's sources and pip's index, then run it again"
    if "unable to locate package" in low or "can't select" in low or "no packages found" in low:
        return "apt does not know the package: run apt-get update"
    return "put right what the log says, then run the same command again; what was built stays built"
