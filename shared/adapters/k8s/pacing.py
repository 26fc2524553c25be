"""Requests to the API server, spread in time: what a burst of them costs us nobody else has to wait for."""

import asyncio


class Pacing:
    """A token bucket, as client-go has one: `rate` turns a second, and `burst` more at once after a rest.

    Turns are had in the order in which they were asked for. Who costs as much as several asks for a
    turn of that `weight`: the next one waits for it. Who gives up waiting has had no turn.
    """

    def __init__(self, rate: float, burst: int = 0):
        self._gap = 1 / rate
        self._rest = burst / rate
        self._next = float("-inf")
        self._queue = asyncio.Lock()

    async def turn(self, weight: int = 1) -> None:
        async with self._queue:
            now = asyncio.get_running_loop().time()
            mine = max(self._next, now - self._rest)
            if mine > now:
                await asyncio.sleep(mine - now)
            self._next = mine + weight * self._gap
