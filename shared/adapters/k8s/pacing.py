"""Requests to the API server, evenly spread: what a burst of them costs us nobody else has to wait for."""

import asyncio


class Pacing:
    """Lets go on whoever asks, at most `rate` a second, in the order in which they came.

    Who costs as much as several, asks for a turn of that `weight`: the next one waits for so many.

    Who gives up waiting has had no turn: nobody behind waits for it.
    """

    def __init__(self, rate: float):
        self._gap = 1 / rate
        self._next = 0.0
        self._queue = asyncio.Lock()

    async def turn(self, weight: int = 1) -> None:
        async with self._queue:
            now = asyncio.get_running_loop().time()
            mine = max(now, self._next)
            if mine > now:
                await asyncio.sleep(mine - now)
            self._next = mine + weight * self._gap
