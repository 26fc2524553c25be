"""The load generator, a process of its own: raw HTTP/1.1 over TLS or plain TCP, and little else.

`python -m bench.load` reads a `Job` as JSON from stdin and writes an `Outcome` to stdout. In a
closed loop `clients` of them ask again as soon as they are answered; an open loop (`rate`) sends
at a constant rate whatever comes back and counts each latency from the instant at which the
request was to be sent, so that a server that stalls cannot hide it (coordinated omission).
"""

import asyncio
import json
import re
import resource
import ssl
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import cast

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
SLEPT = 0.001  # s at least: uvloop polls through anything shorter, and takes from the server one of its cores
PATIENCE = 20.0  # seconds for one answer; the notebook plugin has no more


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to send. `request` may hold %(user)s and %(now)s, both of a constant length.

    Requests name the users `first`, `first + 1`, … `first + users - 1`, then begin anew. `pairs` are
    certificate and key of the clients, taken in turn (none: plain TCP). Counted are `seconds` of
    load after `warm` seconds of it; `requests` ends it earlier (0: nothing does). `fresh`: each
    request over a connection of its own. An answer counts if it is a 200 that holds `expect`.
    """

    port: int
    request: str
    expect: str = ""
    first: int = 0
    users: int = 1
    clients: int = 1
    seconds: float = 2.5
    warm: float = 0.3
    requests: int = 0
    rate: float = 0.0
    fresh: bool = False
    ca: str = ""
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it. Latencies in ms; `cpu`: cores that the generator took; `sent` has the warm ones too."""

    rate: float
    p50: float
    p99: float
    worst: float
    cpu: float
    sent: int
    failures: dict[str, int] = field(default_factory=dict)


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class is none

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """Send it; the whole answer comes, or a ConnectionError."""
        self._received, self._answer = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        length = LENGTH.search(self._received, 0, head + 2) if head > 0 else None
        if length and len(self._received) >= head + 4 + int(length[1]) and self._answer and not self._answer.done():
            self._answer.set_result(self._received)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"closed before the answer: {exc}"))


class Load:
    """One run of a job."""

    def __init__(self, job: Job):
        self._job = job
        self._requests = self._numbered()
        self._contexts = [_context(job.ca, *pair) for pair in job.pairs]
        self._expect = job.expect.encode()
        self._latencies: list[float] = []
        self._failures: Counter[str] = Counter()
        self._sent = self._opened = 0

    async def run(self) -> Outcome:
        job, arrivals = self._job, self._open_loop if self._job.rate else self._closed_loop
        kept = [] if job.fresh else [await self._connect() for _ in range(job.clients)]
        self._begin = time.perf_counter() + job.warm
        self._end = self._begin + job.seconds
        before = _cpu()
        try:
            async with asyncio.timeout(job.warm + job.seconds + PATIENCE):
                await arrivals(kept)
        except TimeoutError:
            self._failures[f"not answered within {PATIENCE:.0f} s"] += 1
        over = time.perf_counter()
        latencies = sorted(self._latencies) or [float("nan")]
        return Outcome(
            rate=len(self._latencies) / (min(over, self._end) - self._begin),
            p50=latencies[len(latencies) // 2] * 1000,
            p99=latencies[int(len(latencies) * 0.99)] * 1000,
            worst=latencies[-1] * 1000,
            cpu=(_cpu() - before) / (over - self._begin + job.warm),
            sent=self._sent,
            failures=dict(self._failures),
        )

    async def _closed_loop(self, kept: list[Connection]) -> None:
        async def client(connection: Connection | None) -> None:
            while time.perf_counter() < self._end and not 0 < self._job.requests <= self._sent:
                await self._ask(time.perf_counter(), connection)

        await asyncio.gather(*(client(kept[number] if kept else None) for number in range(self._job.clients)))

    async def _open_loop(self, kept: list[Connection]) -> None:
        idle: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in kept:
            idle.put_nowait(connection)

        async def arrival(intended: float) -> None:
            connection = await idle.get() if kept else None
            await self._ask(intended, connection)
            if connection:
                idle.put_nowait(connection)

        began, number = time.perf_counter(), 0
        async with asyncio.TaskGroup() as group:
            while (intended := began + number / self._job.rate) < self._end:
                ahead = intended - time.perf_counter()
                if ahead > 0:
                    await asyncio.sleep(max(ahead, SLEPT))
                else:
                    group.create_task(arrival(intended))
                    number += 1

    async def _ask(self, intended: float, kept: Connection | None) -> None:
        """One request and its answer, counted; over a new connection unless there is one."""
        request = next(self._requests)
        try:
            connection = kept or await self._connect()
            answer = await connection.ask(request)
        except OSError as error:
            self._failures[str(error) or type(error).__name__] += 1
            await asyncio.sleep(0.01)
            return
        now = time.perf_counter()
        if not kept:
            connection.transport.close()
        if not answer.startswith(b"HTTP/1.1 200 ") or self._expect not in answer:
            self._failures[answer[:300].decode(errors="replace")] += 1
        elif self._begin <= intended and (now <= self._end or self._job.rate):  # an open loop counts all it sent
            self._latencies.append(now - intended)

    async def _connect(self) -> Connection:
        context = self._contexts[self._opened % len(self._contexts)] if self._contexts else None
        self._opened += 1
        name = "" if context else None
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            Connection, "127.0.0.1", self._job.port, ssl=context, server_hostname=name
        )
        return connection

    def _numbered(self) -> Iterator[bytes]:
        job = self._job
        dated = "%(now)s" in job.request
        while True:
            for user in range(job.first, job.first + job.users):
                self._sent += 1
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if dated else ""
                yield (job.request % {"user": f"user-{user:07d}", "now": now}).encode()


def _context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """As the notebook plugin has it: the server's certificate is demanded, its name is not looked at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(ca)
    context.load_cert_chain(certificate, key)
    return context


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    job = Job(**json.load(sys.stdin))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(Load(job).run())
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
