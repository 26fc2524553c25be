"""The event loop of a server on one machine: uvloop's, with one fault of it mended."""

import socket
from typing import Any

import uvloop


class Loop(uvloop.Loop):
    """A connection that is reset while it is made leaves no socket with a descriptor that is closed already.

    uvloop 0.23 takes the descriptor over and closes it, and then forgets to tell the socket (where the caller gives up
    it does tell). That closes the number once more when it is collected, and by then it may be somebody else's.
    """

    async def create_connection(self, *arguments: Any, sock: socket.socket | None = None, **named: Any) -> Any:
        try:
            return await super().create_connection(*arguments, sock=sock, **named)
        except OSError:
            if sock is not None:
                sock.detach()
            raise
