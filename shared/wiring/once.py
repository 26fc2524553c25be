"""A thing of which a process has one, made when it is first needed."""

import asyncio
from collections.abc import Awaitable, Callable


class Once[T]:
    """Makes its value on first use; a failing make is tried again at the next use."""

    def __init__(self, make: Callable[[], Awaitable[T]], close: Callable[[T], Awaitable[None]] | None = None):
        self._make, self._close = make, close
        self._value: T | None = None
        self._lock: asyncio.Lock | None = None

    async def get(self) -> T:
        if self._value is None:
            self._lock = self._lock or asyncio.Lock()
            async with self._lock:
                if self._value is None:
                    self._value = await self._make()
        return self._value

    def set(self, value: T) -> None:
        """Use this value instead: for tests."""
        self._value = value

    async def close(self) -> None:
        value, self._value, self._lock = self._value, None, None
        if value is not None and self._close is not None:
            await self._close(value)
