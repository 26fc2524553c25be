"""The server that `playground run` starts: a process of its own, and what its log says."""

import asyncio
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from selfhost.errors import CannotStart
from selfhost.lock import Lock
from selfhost.setup import Files
from selfhost.steps import short, step

LISTENING = re.compile(r"listening on (\S+)")
OPEN = re.compile(r"open to all on (\S+)")
REASON = "sqlflow_playground: "  # begins the server's last line, where it knows why it does not start
IN_USE = "the port is in use"
OTHER_PORT = "; end who has it, or take another: make run ARGS='--port=50054 --open-port=50055'"
COMPLAINT = re.compile(r"\S+ \S+ (?:WARNING|ERROR|CRITICAL) (\S+): (.+)")
PROBE = "playground.probe"
END = 15  # lines of a log that are shown
WARNINGS = 5  # of them that are shown
NEWS = 0.5  # seconds between two looks into the log
MOMENT = 1.0  # seconds in which a server that was cut off is seen to have ended


class Child:
    """A server that was started. It is in no terminal's group: Ctrl-C is ours to pass on."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path):
        self.process = process
        self.open_url = ""  # where who was invited enrolls
        self._log = log

    @classmethod
    async def start(cls, files: Files, ports: tuple[int, int], environment: Mapping[str, str], lock: Lock) -> "Child":
        """Start it on its port and its open one, holding the folder's lock as long as it lives. Raises OSError."""
        certificate, key = files.pair("server")
        program = Path(sys.executable).with_name("sqlflow_playground")
        options = [f"--port={ports[0]}", f"--open_port={ports[1]}", f"--ca_crt={files.ca}"]
        options += [f"--server_key={key}", f"--server_crt={certificate}"]
        with open(files.log, "wb") as log:  # noqa: ASYNC230
            process = await asyncio.create_subprocess_exec(
                program, *options, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=log, start_new_session=True, pass_fds=[lock.descriptor],
            )  # fmt: skip
        lock.add(process.pid)
        return cls(process, files.log)

    async def listens(self) -> None:
        """Returns once it listens. Raises CannotStart with the end of its log if it ends instead."""
        with step(f"server, logging to {short(self._log)}"):
            assert self.process.stdout
            async for line in self.process.stdout:
                if found := OPEN.match(line.decode()):
                    self.open_url = found[1]
                if LISTENING.match(line.decode()):
                    return
            code = await self.process.wait()
            said = self._said()
            if not said:
                where = short(self._log.parent)
                raise CannotStart(f"the server ended with {code} and no word: see that there is room for {where}")
            if said[-1].startswith(REASON):
                why = said[-1].removeprefix(REASON)
                raise CannotStart(f"the server did not start: {why}{OTHER_PORT if IN_USE in why else ''}")
            raise CannotStart(f"the server did not start; {_end(said)}")

    async def explain(self, problem: CannotStart) -> CannotStart:
        """The problem that somebody had with it, and what its log says of that; or its death, which explains it."""
        try:
            async with asyncio.timeout(MOMENT):  # its end may come a moment after that of its connections
                code = await self.process.wait()
        except TimeoutError:
            warned = dict.fromkeys(text for _, text in complaints_in(self._said()))
            new = [text for text in warned if (text.partition(": ")[2] or text) not in str(problem)][-WARNINGS:]
            return CannotStart("\n    ".join([str(problem), *(["its server warned:", *new] if new else [])]))
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return CannotStart(f"{problem}: the server {how}; {_end(self._said())}")

    async def tell_what_the_probe_finds(self) -> None:
        """Print the probe's warnings as they come, for as long as this is not cancelled."""
        read = 0
        while True:
            with open(self._log, "rb") as log:  # noqa: ASYNC230
                log.seek(read)
                lines, end, _ = log.read().rpartition(b"\n")
            read += len(lines) + len(end)
            for logger, text in complaints_in(lines.decode(errors="replace").splitlines()):
                if logger == PROBE:
                    print(f"  warning: {text}", flush=True)
            await asyncio.sleep(NEWS)

    async def stop(self) -> None:
        """Ask it to end, if it has not, and wait for it."""
        if self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    def _said(self) -> list[str]:
        return self._log.read_text(errors="replace").strip().splitlines()


def complaints_in(log: list[str]) -> list[tuple[str, str]]:
    """Logger and text of the warnings and errors in a log's lines."""
    return [(found[1], found[2]) for line in log if (found := COMPLAINT.match(line))]


def _end(said: list[str]) -> str:
    return "\n    ".join(["its log ends", *said[-END:]])
