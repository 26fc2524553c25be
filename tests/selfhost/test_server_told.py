"""What the event loop cannot hand to anybody is told, but for what is no error."""

from typing import Any, cast

import pytest

from selfhost.server import UNDER_TLS, _loop, _told

CLOSED = "unable to perform operation on <TCPTransport closed=True reading=False 0x1>; the handler is closed"


class Loop:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context)


@pytest.mark.parametrize(
    ("message", "exception", "is_told"),
    [
        (UNDER_TLS, RuntimeError(CLOSED), False),
        (UNDER_TLS, RuntimeError("something else"), True),
        (UNDER_TLS, ValueError(CLOSED), True),
        ("Task exception was never retrieved", RuntimeError(CLOSED), True),
        ("Unclosed connection", None, True),
    ],
    ids=range(5),
)
def test_only_a_connection_closed_while_something_arrives_is_not_told(
    message: str, exception: Exception | None, is_told: bool
) -> None:
    loop = Loop()
    context = {"message": message} | ({"exception": exception} if exception else {})
    _told(cast(Any, loop), context)
    assert loop.told == ([context] if is_told else [])


def test_the_servers_loop_tells_it_so() -> None:
    loop = _loop()
    assert loop.get_exception_handler() is _told  # type: ignore[attr-defined]
    loop.close()
