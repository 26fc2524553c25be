"""The process that commits: `python -m shared.adapters.sqlite_commits FILE`.

It reads batches of writes from its input, commits each in one transaction and answers with one
outcome a write. What concerns one write alone (a conflict) undoes that one alone. It is no thread of
the server: each statement gives up the interpreter and waits to have it back, and beside a busy
event loop ten of those are 8 to 20 ms. It ends when its input does, so with the server at the latest.
"""

import os
import pickle
import signal
import sqlite3
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_writes import Transaction
from shared.domain.errors import StoreUnavailable

type Write = tuple[Callable[..., Any], tuple[Any, ...]]  # of sqlite_writes, and what it takes after the transaction
type Outcome = tuple[Any, Exception | None]

LENGTH = struct.Struct("<I")  # in front of every message, in bytes
OF_ONE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


class Commits:
    """Transactions on one connection, made anew after a fault of the file."""

    def __init__(self, file: LeaseFile):
        self._file = file
        self._connection: sqlite3.Connection | None = None

    def outcomes(self, now: float, writes: Sequence[Write]) -> list[Outcome]:
        """Commit the writes. Whatever goes wrong is an outcome; a fault of the file is the outcome of all."""
        try:
            with self._file.explained():
                return self._commit(now, writes)
        except Exception as error:
            with suppress(sqlite3.Error):
                self._disconnect()
            self._connection = None  # the next batch begins with a new one
            detail = error.detail if isinstance(error, StoreUnavailable) else f"{self._file.path}: {error!r}"
            return [(None, StoreUnavailable(detail, retry_after=5))] * len(writes)

    def close(self) -> None:
        """Leave everything in the file itself, unless another process is at it, and close it."""
        try:
            with suppress(sqlite3.Error, OSError), self._file.locked(wait=False):
                if self._connection is not None:
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._disconnect()

    def _commit(self, now: float, writes: Sequence[Write]) -> list[Outcome]:
        with self._file.locked():
            if self._connection is None:
                self._connection = self._file.connect()
            execute = self._connection.execute
            execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._connection, now)
            outcomes: list[Outcome] = []
            for write, arguments in writes:
                execute("SAVEPOINT write")
                try:
                    outcomes.append((write(transaction, *arguments), None))
                except Exception as error:
                    if isinstance(error, sqlite3.Error) and not isinstance(error, OF_ONE):
                        raise  # the file's trouble: SQLite may have undone the whole transaction by now
                    execute("ROLLBACK TO write")
                    outcomes.append((None, error))
                execute("RELEASE write")
            execute("COMMIT")
            return outcomes

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()  # which rolls back what is open
            self._connection = None


def message(content: object) -> bytes:
    """What goes over the pipe, either way: the content's length and its pickle. Both ends are ours."""
    pickled = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(pickled)) + pickled


def serve(commits: Commits, input: BinaryIO, output: BinaryIO) -> None:
    """Answer batches until the input ends, be it in the middle of one."""
    while len(head := input.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        if len(pickled := input.read(length)) < length:
            break
        output.write(message(commits.outcomes(*pickle.loads(pickled))))
        output.flush()


def main() -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):  # meant for the server: what it has in flight is written first
        signal.signal(stop, signal.SIG_IGN)
    commits = Commits(LeaseFile(os.fsdecode(sys.argv[1])))
    try:
        with suppress(BrokenPipeError):  # the server is gone
            serve(commits, sys.stdin.buffer, sys.stdout.buffer)
    finally:
        commits.close()


if __name__ == "__main__":
    main()
