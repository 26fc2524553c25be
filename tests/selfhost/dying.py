"""An operating system that fails, and a process that dies between two of its acts."""

import os
from collections.abc import Callable
from typing import Any


class Died(BaseException):
    """The process is no more: what would clean up after an error has no time to."""


class Dying:
    """`os`, until the act that is its `last`-th: before that one the process dies. `look` is called between acts."""

    def __init__(self, last: float, look: Callable[[], object] = lambda: None):
        self.acts = 0
        self._last, self._look = last, look

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if not callable(real):
            return real

        def act(*arguments: Any) -> Any:
            if name == "close":
                real(*arguments)  # the dead hold nothing open
            self.acts += 1
            if self.acts >= self._last:
                raise Died
            self._look()
            done = None if name == "close" else real(*arguments)
            self._look()
            return done

        return act


class Failing:
    """`os`, in which all acts of one name fail."""

    def __init__(self, name: str, error: int):
        self._name, self._error = name, error

    def __getattr__(self, name: str) -> Any:
        if name != self._name:
            return getattr(os, name)

        def fail(*_: object) -> None:
            raise OSError(self._error, os.strerror(self._error))

        return fail
