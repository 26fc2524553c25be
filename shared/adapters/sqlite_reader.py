"""All of a process's reads of its SQLite file: one thread, one hop to it for whatever has queued up.

A point read takes less than the way to the thread and back, so while one group is read, the next
gathers. A fault of one read is that read's alone.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shared.adapters.sqlite_file import LeaseFile
from shared.domain.errors import StoreUnavailable

GROUP = 64  # reads of one hop: nobody waits for more


@dataclass(frozen=True, slots=True)
class _Read:
    """A query, what is `made` of its rows, and who waits for that."""

    query: str
    parameters: tuple[Any, ...]
    made: Callable[[list[Any]], Any]
    future: asyncio.Future[Any]


class Reader:
    """Reads in groups. Belongs to the event loop that runs when it is made."""

    def __init__(self, file: LeaseFile, patience: float):
        self._file, self._patience = file, patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="leases-read")
        self._loop = asyncio.get_running_loop()
        self._queue: list[_Read] = []
        self._pump: asyncio.Task[None] | None = None
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    async def read[T](self, query: str, parameters: tuple[Any, ...], made: Callable[[list[Any]], T]) -> T:
        """What is `made` of the rows, in the thread as well: it parses JSON.

        Raises StoreUnavailable if the file cannot be read, or not within `patience` seconds.
        """
        if self._closed:
            raise StoreUnavailable(f"{self._file.path}: it was closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Read(query, parameters, made, future))
        if self._pump is None:
            self._pump = self._loop.create_task(self._read_queue())
        try:
            async with asyncio.timeout(self._patience):
                return await future
        except TimeoutError as error:
            detail = f"{self._file.path}: reading took longer than {self._patience:g} s"
            raise StoreUnavailable(detail, retry_after=5) from error

    async def close(self) -> None:
        """Answer what is queued and close the connection. Nothing can be read afterwards."""
        self._closed = True
        if self._pump is not None:
            await asyncio.shield(self._pump)
        await self._loop.run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    async def _read_queue(self) -> None:
        try:
            while self._queue:
                group, self._queue = self._queue[:GROUP], self._queue[GROUP:]
                reads = [read for read in group if not read.future.done()]  # the others gave up
                try:
                    outcomes = await self._loop.run_in_executor(self._thread, self._outcomes, reads)
                except RuntimeError:  # the interpreter is ending and the thread takes no more work
                    outcomes = [(None, StoreUnavailable(f"{self._file.path}: it was closed"))] * len(reads)
                for read, (result, error) in zip(reads, outcomes, strict=True):
                    if read.future.done():
                        continue
                    if error is None:
                        read.future.set_result(result)
                    else:
                        read.future.set_exception(error)
        finally:
            self._pump = None

    def _outcomes(self, reads: list[_Read]) -> list[tuple[Any, Exception | None]]:
        return [self._outcome(read) for read in reads]

    def _outcome(self, read: _Read) -> tuple[Any, Exception | None]:
        """In the thread. Whatever goes wrong is an outcome and reaches who asked."""
        try:
            with self._file.explained():
                try:
                    if self._connection is None:
                        self._connection = self._file.connect(reads=True)
                    return read.made(self._connection.execute(read.query, read.parameters).fetchall()), None
                except sqlite3.Error:
                    self._disconnect()  # the next one begins with a new connection
                    raise
        except Exception as error:
            return None, error

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
