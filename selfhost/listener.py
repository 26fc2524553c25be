"""Accepts clients: no more than there is room for, each with a bounded TLS handshake, in its source's turn.

asyncio's own server counts no handshakes and knows no limit, so accepting is done here and each
socket is handed to the loop afterwards. A handshake takes a millisecond of the loop, ten times what
a request does, so that few are begun at once, and very few in one round of the loop: those who are
in go on being served meanwhile.
"""

import asyncio
import errno
import logging
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from selfhost.errors import CannotStart
from selfhost.turns import Turns

_log = logging.getLogger(__name__)
PAUSE = 1.0
_RESET = struct.pack("ii", 1, 0)  # close with a RST: nothing is left of who is sent away
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """A listening socket.

    Whom it turned away: `refused` for want of room, `crowded_out` as too many of their source waited,
    `late` when they had waited for longer than a handshake may take, `bad_handshakes` in the handshake.
    """

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        room: Callable[[str], tuple[int, int]],
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
        turns: Turns,
    ) -> None:
        """`room(source)` says how many connections more may be open, of all and of it, not counting handshakes.

        `turns` are of those.
        """
        self._protocol = protocol
        self._room = room
        self._tls = tls
        self._handshake_timeout = handshake_timeout if tls else None
        self._patience = handshake_timeout
        self._turns = turns
        self._socket: socket.socket | None = None
        self.handshakes: set[asyncio.Task[None]] = set()  # under way, and waiting to be
        self._at_door: Counter[str] = Counter()  # the same, by source
        self.refused = self.late = self.bad_handshakes = 0

    @property
    def crowded_out(self) -> int:
        return self._turns.crowded_out

    @property
    def waiting(self) -> int:
        return self._turns.waiting

    async def start(self, host: str, port: int) -> int:
        """Bind and listen; returns the port. Raises CannotStart naming the option at fault."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise CannotStart(f"--host={host}: {error.strerror}") from error
        family, _, _, _, address = found[0]
        try:
            self._socket = socket.create_server(address, family=family, backlog=1024)
        except OSError as error:
            reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise CannotStart(f"--host={host} --port={port}: {reason}") from error
        self._socket.setblocking(False)
        loop.add_reader(self._socket.fileno(), self._accept)
        return int(self._socket.getsockname()[1])

    def stop(self) -> None:
        """Accept nobody any more, but who waits at the door; handshakes under way go on."""
        if self._socket is not None:
            self._accept()
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _accept(self) -> None:
        for _ in range(64):  # then let the loop serve those who are in
            if self._socket is None:
                return
            try:
                client, address = self._socket.accept()
            except OSError as error:  # nobody waits (BlockingIOError), or the one who did is gone
                if error.errno in _FULL:
                    self._pause(error)
                return
            source = source_of(address[0])
            of_all, of_source = self._room(source)
            if of_all <= len(self.handshakes) or of_source <= self._at_door[source]:
                self.refused += 1
                client.close()
                continue
            begun = self._turns.begin(client, source)
            if not begun and self._turns.crowded(source):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                continue
            task = asyncio.get_running_loop().create_task(self._admit(client, source, begun))
            self.handshakes.add(task)
            self._at_door[source] += 1
            task.add_done_callback(partial(self._admitted, source))

    async def _admit(self, client: socket.socket, source: str, begun: bool) -> None:
        client.setblocking(False)
        try:
            if not begun:
                async with asyncio.timeout(self._patience):
                    await self._turns.wait(client, source)
        except TimeoutError:
            self.late += 1
            client.close()
            return
        except asyncio.CancelledError:
            client.close()
            raise
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                client,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_timeout,
                ssl_shutdown_timeout=2 if self._tls else None,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self.bad_handshakes += 1
            _log.debug("no handshake with %s: %r", source, error)
            client.close()
        finally:
            self._turns.end(client)

    def _admitted(self, source: str, task: asyncio.Task[None]) -> None:
        self.handshakes.discard(task)
        self._at_door[source] -= 1
        if not self._at_door[source]:
            del self._at_door[source]

    def _pause(self, error: OSError) -> None:
        """Out of file descriptors or memory: the socket stays readable, so look away for a while."""
        _log.error("no client can be accepted for %.0f s: %s", PAUSE, error.strerror)
        loop = asyncio.get_running_loop()
        listening = self._socket
        assert listening is not None
        loop.remove_reader(listening.fileno())

        def resume() -> None:
            if self._socket is listening:
                loop.add_reader(listening.fileno(), self._accept)

        loop.call_later(PAUSE, resume)


def source_of(address: str) -> str:
    """Who takes turns: an IPv4 address, or the /64 that one host has of IPv6 and chooses from as it likes."""
    if ":" not in address:
        return address
    found = IPv6Address(address)
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
