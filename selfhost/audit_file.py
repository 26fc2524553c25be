"""A file to which events are only ever added: a JSON object a line, each with the hash of the one before it.

Whoever changes, takes out or puts in a line has to write all that follow anew; keep the last hash elsewhere,
or send the file on, and that shows as well.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEGIN = "0" * 64
OVERLAP = 3600.0  # seconds of lines that are remembered by id, so that none is added twice


class Broken(Exception):
    """The file is not what was added to it; the text says where."""


@dataclass
class AuditFile:
    """One such file. Who adds to it holds its lock from `last` to `close`: two of them would break the chain."""

    path: Path
    _chain: str = BEGIN
    _ids: set[str] = field(default_factory=set)
    _descriptor: int = -1

    def last(self) -> tuple[float, str] | None:
        """When the last line's event was (seconds), and its hash; None where there is none. Raises Broken, OSError."""
        self._lock()
        newest, found = 0.0, None
        kept: list[tuple[float, str]] = []
        for line in self._lines():
            newest = max(newest, line["seconds"])
            kept.append((line["seconds"], line["id"]))
            found = newest, line["chain"]
        self._chain = found[1] if found else BEGIN
        self._ids = {id for at, id in kept if at >= newest - OVERLAP}
        return found

    def add(self, document: dict[str, Any]) -> bool:
        """Add an event, durably; False if it is there. Call `last` before. Raises OSError."""
        if document["id"] in self._ids:
            return False
        chain = _hash(self._chain, document)
        self._append((json.dumps({**document, "chain": chain}) + "\n").encode())
        self._chain = chain
        self._ids.add(document["id"])
        return True

    def close(self) -> None:
        """Let others add to it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)  # and with it the lock
            self._descriptor = -1

    def _lock(self) -> None:
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EAGAIN, "somebody else is adding to it just now", str(self.path)) from None

    def _append(self, line: bytes) -> None:
        """All of the line, or nothing: what is added behind a part of one would be found to be changed for ever."""
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def verify(self) -> int:
        """How many lines there are. Raises Broken for the first that is not what was added, OSError."""
        return sum(1 for _ in self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        chain = BEGIN
        with open(self.path, encoding="utf-8") as stream:
            for number, text in enumerate(stream, 1):
                try:
                    line = json.loads(text)
                    told = line.pop("chain")
                    fits = text.endswith("\n") and told == _hash(chain, line)
                except (ValueError, KeyError, TypeError, AttributeError):
                    fits = False
                if not fits:
                    raise Broken(f"{self.path}: line {number} is not what was added, or one before it is missing")
                chain = told
                yield line | {"chain": told}


def _hash(chain: str, document: dict[str, Any]) -> str:
    return hashlib.sha256(f"{chain} {json.dumps(document, sort_keys=True)}".encode()).hexdigest()
