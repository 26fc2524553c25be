"""Memory that thousands of connections have left behind."""

import ctypes
from contextlib import suppress

MANY = 1000  # connections


class Memory:
    """Sees how many connections there are, and gives memory back when most of many have gone.

    What TLS took for each of them (35 KB) is free then, but in pieces that glibc neither reuses well nor gives back:
    three times five thousand idle connections made 360 MB into 680, and with this they stay 360. It takes 5 ms
    for a thousand of them, so it is done when a crowd has gone, and not for those who come and go.
    """

    def __init__(self) -> None:
        self._most = 0

    def seen(self, connections: int) -> bool:
        """Whether memory was given back."""
        self._most = max(self._most, connections)
        if self._most < MANY or connections > self._most / 2:
            return False
        self._most = connections
        give_back()
        return True


def give_back() -> None:
    """Nothing happens where the C library is another one."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
