"""All of a process's writes to its SQLite file: one thread, one transaction for whatever has queued up.

An fsync costs the same for one write as for a hundred, so while one transaction commits, the next
batch gathers. A caller hears of its write after COMMIT returned, and never before; what concerns
one write alone (a conflict) undoes that one alone and leaves the rest of its batch.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from shared.adapters.sqlite_file import LeaseFile
from shared.domain.errors import StoreUnavailable
from shared.ports.clock import Clock

PURGED = 16  # expired tombstones removed by one transaction at most


class Transaction:
    """A transaction that is open: where it writes, its time, and the etags it hands out."""

    def __init__(self, connection: sqlite3.Connection, now: float):
        self.execute = connection.execute
        self.now = now
        self._before = self._last = connection.execute("SELECT last FROM etags").fetchone()[0]

    def etag(self) -> int:
        """An etag that nothing in this file ever had."""
        self._last += 1
        return int(self._last)

    def finish(self) -> None:
        """Forget some expired tombstones, remember the etags."""
        self.execute(
            "DELETE FROM leases WHERE rowid IN (SELECT rowid FROM leases WHERE gone_at <= ? LIMIT ?)",
            (self.now, PURGED),
        )
        if self._last != self._before:
            self.execute("UPDATE etags SET last = ?", (self._last,))


type Job = Callable[[Transaction], Any]
type Outcome = tuple[Any, Exception | None]

OF_ONE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


class Writer:
    """Writes in groups. Belongs to the event loop that runs when it is made."""

    def __init__(self, file: LeaseFile, clock: Clock, patience: float):
        self._file, self._clock, self._patience = file, clock, patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="leases-write")
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[Job, bool, asyncio.Future[Any]]] = []
        self._pump: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def write[T](self, job: Callable[[Transaction], T], *, single: bool = False) -> T:
        """What `job` returned, once that is durable, or what it raised, and then it wrote nothing.

        A `single` job executes one statement, and nothing after that can fail: SQLite itself undoes
        a statement that fails, so that it needs no savepoint, which would be two statements more.
        Raises StoreUnavailable if the commit failed or took longer than `patience` seconds: nothing
        is known of the write then, and it may yet come. Cancelling does not undo it either.
        """
        if self._closed:
            raise StoreUnavailable(f"{self._file.path}: it was closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append((job, single, future))
        if self._pump is None:
            self._pump = self._loop.create_task(self._commit_queue())
        try:
            async with asyncio.timeout(self._patience):
                return await future
        except TimeoutError as error:
            detail = f"{self._file.path}: a commit took longer than {self._patience:g} s"
            raise StoreUnavailable(detail, retry_after=5) from error

    async def close(self) -> None:
        """Finish what is queued and close the file. Nothing can be written afterwards."""
        self._closed = True
        if self._pump is not None:
            await asyncio.shield(self._pump)
        await self._loop.run_in_executor(self._thread, self._checkpoint)
        self._thread.shutdown(wait=False)

    async def _commit_queue(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                jobs = [(job, single) for job, single, _ in batch]
                try:
                    outcomes = await self._loop.run_in_executor(self._thread, self._outcomes, jobs)
                except RuntimeError:  # the interpreter is ending and the thread takes no more work
                    outcomes = [(None, StoreUnavailable(f"{self._file.path}: it was closed"))] * len(jobs)
                for (_, _, future), (result, error) in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue  # nobody waits for it any more
                    if error is None:
                        future.set_result(result)
                    else:
                        future.set_exception(error)
        finally:
            self._pump = None

    def _outcomes(self, jobs: list[tuple[Job, bool]]) -> list[Outcome]:
        """In the thread: commit the jobs. Whatever goes wrong is an outcome and reaches every caller."""
        try:
            with self._file.explained():
                return self._commit(jobs)
        except Exception as error:
            with suppress(sqlite3.Error):
                self._disconnect()
            self._connection = None  # the next batch begins with a new one
            detail = error.detail if isinstance(error, StoreUnavailable) else f"{self._file.path}: {error!r}"
            return [(None, _caused(StoreUnavailable(detail, retry_after=5), error)) for _ in jobs]

    def _commit(self, jobs: list[tuple[Job, bool]]) -> list[Outcome]:
        with self._file.locked():
            if self._connection is None:
                self._connection = self._file.connect()
            execute = self._connection.execute
            execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._connection, self._clock.now())
            outcomes: list[Outcome] = []
            for job, single in jobs:
                if not single:
                    execute("SAVEPOINT job")
                try:
                    outcomes.append((job(transaction), None))
                except Exception as error:
                    if isinstance(error, sqlite3.Error) and not isinstance(error, OF_ONE):
                        raise  # the file's trouble: SQLite may have undone the whole transaction by now
                    if not single:
                        execute("ROLLBACK TO job")
                    outcomes.append((None, error))
                if not single:
                    execute("RELEASE job")
            transaction.finish()
            execute("COMMIT")
            return outcomes

    def _checkpoint(self) -> None:
        """Leave everything in the file itself, unless another process is at it, and close it."""
        try:
            with suppress(sqlite3.Error, OSError), self._file.locked(wait=False):
                if self._connection is not None:
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()  # which rolls back what is open
            self._connection = None


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
