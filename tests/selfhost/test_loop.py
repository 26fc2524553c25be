"""What our loop mends of uvloop's."""

import asyncio
import socket
import ssl
import struct

from selfhost.loop import Loop

RESET = struct.pack("ii", 1, 0)  # what SO_LINGER takes to have close() send one


def test_a_connection_that_is_reset_while_it_is_made_leaves_no_socket_with_a_closed_descriptor():
    async def story() -> socket.socket:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        theirs.close()
        try:
            await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=ours, ssl=ssl.create_default_context(), server_hostname="localhost"
            )
        except OSError:
            return ours
        raise AssertionError("it was made")

    with asyncio.Runner(loop_factory=Loop) as runner:
        ours = runner.run(story())
        assert ours.fileno() == -1
