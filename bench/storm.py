"""Who means ill, a process of its own: `python -m bench.storm` reads a `Storm` as JSON from a line of stdin.

It says "ready" once its connections are there, begins at the next line, ends at the end of stdin,
and then writes what became of it: a JSON object of counts, and in `seconds` how long a burst took.
"""

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

import uvloop

from bench.load import Connection
from bench.servers import Broken, stop

CONNECTING = 16  # at once, while there is peace
KERNEL = 1 / 300  # seconds from one request of a kernel to its next, at least
DRIP = 0.5  # seconds between two bytes
BEAT = b"GET /api/heart_beat?user_id=nobody HTTP/1.1\r\nHost: h\r\n\r\n"
SLOW = (
    b"GET /api/heart_beat?user_id=nobody HTTP/1.1\r\nHost: h\r\nX: ",
    b"POST /api/create_db HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n",
)
HEADS = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 700) for n in range(92)) + b"\r\n"


@dataclass(frozen=True, kw_only=True)
class Storm:
    """`kind` is a name of `KINDS`; `source` the address that it comes from, `pair` its certificate and key."""

    kind: str
    port: int
    clients: int
    ca: str
    pair: tuple[str, str]
    source: str = "127.0.0.2"
    first: int = 0


class Attackers:
    def __init__(self, storm: Storm):
        self._storm = storm
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.load_verify_locations(storm.ca)
        self._context.load_cert_chain(*storm.pair)
        self._kept: list[Connection] = []
        self._counts: Counter[str] = Counter()
        self.seconds = 0.0

    async def prepare(self) -> None:
        if self._storm.kind in ("burst", "idle"):
            taking_turns = asyncio.Semaphore(CONNECTING)

            async def connect() -> None:
                async with taking_turns:
                    self._kept.append(await self._connect())
                    await self._kept[-1].ask(BEAT)

            await asyncio.gather(*(connect() for _ in range(self._storm.clients)))

    async def run(self) -> dict[str, float]:
        """Until it is cancelled; then what became of it."""
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                for number in range(self._storm.clients):
                    group.create_task(KINDS[self._storm.kind](self, number))
        return {**self._counts, "seconds": self.seconds}

    async def burst(self, number: int) -> None:
        """A create_db of a user of its own, sent when all the others are."""
        body = b'{"user_id": "user-%07d"}' % (self._storm.first + number)
        head = b"POST /api/create_db HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
        began = time.perf_counter()
        try:
            answer = await self._kept[number].ask(head + body)
            self._counts[answer[9:12].decode()] += 1
        except OSError:
            self._counts["closed"] += 1
        self.seconds = max(self.seconds, time.perf_counter() - began)

    async def idle(self, number: int) -> None:
        """Nothing, on a connection that has asked once."""
        await self._kept[number].lost.wait()
        self._counts["closed"] += 1

    async def handshakes(self, _: int) -> None:
        """A new connection for every request, as fast as they are answered."""
        while True:
            await self._once(BEAT)

    async def kernels(self, _: int) -> None:
        """The notebook plugin's loop where it is answered anything but 200."""
        while True:
            until = time.perf_counter() + KERNEL
            await self._once(BEAT)
            await asyncio.sleep(max(0.001, until - time.perf_counter()))

    async def heads(self, _: int) -> None:
        """64 KiB of headers on a new connection each."""
        while True:
            await self._once(HEADS)

    async def slow(self, number: int) -> None:
        """A head, or a body, byte by byte, and again where that was cut off."""
        while True:
            try:
                connection = await self._connect()
                connection.transport.write(SLOW[number % 2])
                while not connection.lost.is_set():
                    await asyncio.sleep(DRIP)
                    connection.transport.write(b"a")
            except OSError:
                await asyncio.sleep(DRIP)
            self._counts["cut off"] += 1

    async def _once(self, request: bytes) -> None:
        try:
            connection = await self._connect()
            answer = await connection.ask(request)
            self._counts[answer[9:12].decode()] += 1
            connection.transport.close()
        except OSError as error:
            self._counts[type(error).__name__] += 1
            await asyncio.sleep(0.001)

    async def _connect(self) -> "Kept":
        storm = self._storm
        _, connection = await asyncio.get_running_loop().create_connection(
            Kept, "127.0.0.1", storm.port, ssl=self._context, server_hostname="", local_addr=(storm.source, 0)
        )
        return connection


class Kept(Connection):
    """A connection that knows of its end."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


KINDS: dict[str, Callable[[Attackers, int], Awaitable[None]]] = {
    "burst": Attackers.burst, "handshakes": Attackers.handshakes, "kernels": Attackers.kernels,
    "slow": Attackers.slow, "idle": Attackers.idle, "heads": Attackers.heads,
}  # fmt: skip


@dataclass
class Raging:
    """A storm that is ready, and what became of it once it is over."""

    process: asyncio.subprocess.Process
    counts: dict[str, float]

    def begin(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"\n")


@asynccontextmanager
async def raging(storm: Storm) -> AsyncIterator[Raging]:
    """A storm that is ready to begin, and ends with this context. Raises Broken if it cannot be made."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.storm", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(asdict(storm)).encode() + b"\n")
        if await process.stdout.readline() != b"ready\n":
            raise Broken(f"a storm of {storm.kind} could not be made")
        made = Raging(process, {})
        yield made
        process.stdin.close()
        made.counts = json.loads(await process.stdout.read())
    finally:
        await stop(process)


async def _main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    storm = Storm(**json.loads(await reader.readline()))
    attackers = Attackers(storm)
    await attackers.prepare()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # closed while something arrives
    print("ready", flush=True)
    if not await reader.readline():
        return
    running = asyncio.create_task(attackers.run())
    await reader.read()
    running.cancel()
    print(json.dumps(await running), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main())
