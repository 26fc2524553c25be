"""Requests to the API server, evenly spread: what a burst of them costs us nobody else has to wait for."""

import asyncio


class Pacing:
    """Lets go on whoever asks, at most `rate` a second, in the order in which they came."""

    def __init__(self, rate: float):
        self._gap = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._gap
        if mine > now:
            await asyncio.sleep(mine - now)
