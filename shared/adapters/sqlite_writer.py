"""All of a process's writes to its SQLite file: one transaction for whatever has queued up.

An fsync costs the same for one write as for a hundred, so while one transaction commits, the next
batch gathers. It is committed in a process of its own (`sqlite_commits`); a caller hears of its write
after COMMIT returned there, and never before.
"""

import asyncio
import logging
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate

from shared.adapters.sqlite_commits import LENGTH, Outcome, message
from shared.adapters.sqlite_file import LeaseFile
from shared.adapters.sqlite_writes import Transaction
from shared.domain.errors import StoreUnavailable
from shared.ports.clock import Clock

log = logging.getLogger("playground.store")

# Seconds from one transaction's begin to the next one's, while more than one write comes at once: fewer and larger ones
# take two thirds of the processor time at 2,000 beats a second.
PACE = 0.002
ROOT = Path(__file__).parents[2]
# -S: nothing of site-packages is needed, and looking for it is half of the start. -P: nor of the working directory.
PROGRAM = (sys.executable, "-S", "-P", "-m", "shared.adapters.sqlite_commits")


@dataclass(frozen=True, slots=True)
class _Write:
    """A function of `sqlite_writes`, what it takes after the transaction, and who waits for what it returns."""

    write: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: asyncio.Future[Any]


class Writer:
    """Writes in groups. Belongs to the event loop that runs when it is made."""

    def __init__(self, file: LeaseFile, clock: Clock, patience: float):
        self._file, self._clock, self._patience = file, clock, patience
        self._loop = asyncio.get_running_loop()
        self._queue: list[_Write] = []
        self._pump: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._closed = False

    async def write[**P, T](
        self, write: Callable[Concatenate[Transaction, P], T], *arguments: P.args, **_: P.kwargs
    ) -> T:
        """What a function of `sqlite_writes` returned, once that is durable, or what it raised: then it wrote nothing.

        Raises StoreUnavailable if the commit failed or took longer than `patience` seconds: nothing
        is known of the write then, and it may yet come. Cancelling does not undo it either.
        """
        if self._closed:
            raise StoreUnavailable(f"{self._file.path}: it was closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Write(write, arguments, future))
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
        if self._process is not None:
            await self._end(self._process)

    async def _commit_queue(self) -> None:
        try:
            while self._queue:
                began = self._loop.time()
                batch, self._queue = self._queue, []
                for write, (result, error) in zip(batch, await self._outcomes(batch), strict=True):
                    if write.future.done():
                        continue  # nobody waits for it any more
                    if error is None:
                        write.future.set_result(result)
                    else:
                        write.future.set_exception(error)
                if len(batch) > 1:
                    await asyncio.sleep(max(0.0, began + PACE - self._loop.time()))
        finally:
            self._pump = None

    async def _outcomes(self, batch: Sequence[_Write]) -> list[Outcome]:
        try:
            return await self._committed([(write.write, write.arguments) for write in batch])
        except (OSError, EOFError) as error:
            why = f"ended or cannot be started ({error})"
        except Exception:  # whoever waits is told all the same
            log.exception("what the process that commits answered cannot be read")
            why = "answered what cannot be read"
        unavailable = StoreUnavailable(f"{self._file.path}: the process that commits {why}", retry_after=5)
        return [(None, unavailable)] * len(batch)

    async def _committed(self, writes: list[Any]) -> list[Outcome]:
        """Whatever it raises, the next one begins with a new process."""
        process = self._process
        if process is None or process.returncode is not None:
            path, environment = os.fspath(self._file.path), {**os.environ, "PYTHONPATH": str(ROOT)}
            # A session of its own: Ctrl-C in the server's terminal is the server's to hear.
            process = self._process = await asyncio.create_subprocess_exec(
                *PROGRAM, path, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True
            )
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(message((self._clock.now(), writes)))
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            outcomes: list[Outcome] = pickle.loads(await process.stdout.readexactly(length))
            return outcomes
        except BaseException:  # what it would answer now is no answer to the next batch
            self._process = None
            process.kill()
            raise

    async def _end(self, process: Process) -> None:
        """Let it finish, but not for longer than anybody waits for the disk."""
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
