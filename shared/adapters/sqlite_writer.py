"""All of a process's writes to its SQLite file: one thread, one transaction for whatever has queued up.

An fsync costs the same for one write as for a hundred, so while one transaction commits, the next
batch gathers. A caller hears of its write after COMMIT returned, and never before; what concerns
one write alone (a conflict) undoes that one alone and leaves the rest of its batch.
"""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from shared.adapters.sqlite_file import LeaseFile
from shared.domain.errors import StoreUnavailable
from shared.ports.clock import Clock

# Seconds from one transaction's begin to the next one's, while more than one write comes at once: fewer and larger ones
# take two thirds of the processor time at 2,000 beats a second.
PACE = 0.002
FORGOTTEN = 16  # expired tombstones removed by one transaction at most


class Transaction:
    """A transaction that is open: where it writes, its time, and the etags it hands out."""

    def __init__(self, connection: sqlite3.Connection, now: float):
        self.execute = connection.execute
        self.now = now

    def etag(self) -> int:
        """An etag that nothing in this file ever had: a slot that is made anew must not bring an old one back."""
        return random.getrandbits(59)  # 18 digits, which SQLite holds

    def forget(self) -> None:
        """Remove some expired tombstones."""
        self.execute(
            "DELETE FROM leases WHERE rowid IN (SELECT rowid FROM leases WHERE gone_at <= ? LIMIT ?)",
            (self.now, FORGOTTEN),
        )


type Job = Callable[[Transaction, Sequence[Any]], Sequence[Any]]
type Waiting = list[tuple[Any, asyncio.Future[Any]]]
type Outcome = tuple[Sequence[Any], Exception | None]

OF_ONE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)


class Writer:
    """Writes in groups. Belongs to the event loop that runs when it is made."""

    def __init__(self, file: LeaseFile, clock: Clock, patience: float):
        self._file, self._clock, self._patience = file, clock, patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="leases-write")
        self._loop = asyncio.get_running_loop()
        self._queue: dict[Job, Waiting] = {}
        self._pump: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def write[T](self, job: Callable[[Transaction], T]) -> T:
        """What `job` returned, once that is durable, or what it raised, and then it wrote nothing.

        Raises StoreUnavailable if the commit failed or took longer than `patience` seconds: nothing
        is known of the write then, and it may yet come. Cancelling does not undo it either.
        """
        return await self.write_each(lambda transaction, _: [job(transaction)], None)

    async def write_each[I, T](self, job: Callable[[Transaction, Sequence[I]], Sequence[T]], item: I) -> T:
        """As `write`, but `job` is called once for the items of all who gave that function meanwhile.

        It returns one outcome an item; what it raises, all of them hear. Each statement gives up the
        interpreter and waits to have it back, beside a busy loop for milliseconds: the fewer the better.
        """
        if self._closed:
            raise StoreUnavailable(f"{self._file.path}: it was closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.setdefault(job, []).append((item, future))
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
                began = self._loop.time()
                batch, self._queue = self._queue, {}
                jobs = [(job, [item for item, _ in waiting]) for job, waiting in batch.items()]
                try:
                    outcomes = await self._loop.run_in_executor(self._thread, self._outcomes, jobs)
                except RuntimeError:  # the interpreter is ending and the thread takes no more work
                    outcomes = [((), StoreUnavailable(f"{self._file.path}: it was closed"))] * len(jobs)
                for waiting, outcome in zip(batch.values(), outcomes, strict=True):
                    _tell(waiting, *outcome)
                if sum(map(len, batch.values())) > 1:
                    await asyncio.sleep(max(0.0, began + PACE - self._loop.time()))
        finally:
            self._pump = None

    def _outcomes(self, jobs: list[tuple[Job, list[Any]]]) -> list[Outcome]:
        """In the thread: commit the jobs. Whatever goes wrong is an outcome and reaches every caller."""
        try:
            with self._file.explained():
                return self._commit(jobs)
        except Exception as error:
            with suppress(sqlite3.Error):
                self._disconnect()
            self._connection = None  # the next batch begins with a new one
            detail = error.detail if isinstance(error, StoreUnavailable) else f"{self._file.path}: {error!r}"
            return [((), _caused(StoreUnavailable(detail, retry_after=5), error)) for _ in jobs]

    def _commit(self, jobs: list[tuple[Job, list[Any]]]) -> list[Outcome]:
        with self._file.locked():
            if self._connection is None:
                self._connection = self._file.connect()
            execute = self._connection.execute
            execute("BEGIN IMMEDIATE")
            transaction = Transaction(self._connection, self._clock.now())
            outcomes: list[Outcome] = []
            several = len(jobs) > 1  # otherwise the transaction itself is what a fault undoes
            for job, items in jobs:
                if several:
                    execute("SAVEPOINT job")
                try:
                    outcomes.append((job(transaction, items), None))
                except Exception as error:
                    if isinstance(error, sqlite3.Error) and not isinstance(error, OF_ONE):
                        raise  # the file's trouble: SQLite may have undone the whole transaction by now
                    execute("ROLLBACK TO job" if several else "ROLLBACK")
                    outcomes.append(((), error))
                if several:
                    execute("RELEASE job")
            if self._connection.in_transaction:
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


def _tell(waiting: Waiting, results: Sequence[Any], error: Exception | None) -> None:
    for number, (_, future) in enumerate(waiting):
        if future.done():
            continue  # nobody waits for it any more
        if error is None:
            future.set_result(results[number])
        else:
            future.set_exception(error)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
