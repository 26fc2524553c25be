"""Accepts clients: no more than there is room for, each with a bounded TLS handshake.

asyncio's own server counts no handshakes and knows no limit, so accepting is done here and each
socket is handed to the loop afterwards.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable

from selfhost.errors import CannotStart

_log = logging.getLogger(__name__)
PAUSE = 1.0
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """A listening socket. `refused` and `bad_handshakes` count whom it turned away."""

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        room: Callable[[], int],
        tls: ssl.SSLContext | None,
        handshake_timeout: float,
    ) -> None:
        """`room()` says how many connections more may be open, not counting handshakes."""
        self._protocol = protocol
        self._room = room
        self._tls = tls
        self._handshake_timeout = handshake_timeout if tls else None
        self._socket: socket.socket | None = None
        self.handshakes: set[asyncio.Task[None]] = set()
        self.refused = 0
        self.bad_handshakes = 0

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
            if self._room() <= len(self.handshakes):
                self.refused += 1
                client.close()
                continue
            task = asyncio.get_running_loop().create_task(self._admit(client, address[0]))
            self.handshakes.add(task)
            task.add_done_callback(self.handshakes.discard)

    async def _admit(self, client: socket.socket, address: str) -> None:
        client.setblocking(False)
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
            _log.debug("no handshake with %s: %r", address, error)
            client.close()

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
