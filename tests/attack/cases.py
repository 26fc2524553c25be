"""What is sent, and what must come back: the shape of the attack suite's tables."""

from collections.abc import Iterable
from dataclasses import dataclass

NOT_HTTP = "400 not-http"
INVALID = "400 invalid-request"
NOBODY = "403 not-invited"
NOTHING = "404 not-found"
WRONG_METHOD = "405 wrong-method"
STALE = "412 precondition-failed"
TOO_LARGE = "413 too-large"
HEAD_TOO_LARGE = "431 head-too-large"
HARMLESS = "200"  # odd, read in one way only, and of no effect


@dataclass(frozen=True, slots=True)
class Case:
    """`answer`: status and kind of problem; `opened`: sent to who asks for no certificate."""

    group: str
    name: str
    raw: bytes
    answer: str
    opened: bool = False


def request(target: str | bytes, *headers: str | bytes, method: str | bytes = "GET", body: bytes = b"") -> bytes:
    """A whole request of exactly these bytes; Content-Length stands there if there is a body."""
    lines = [_bytes(method) + b" " + _bytes(target) + b" HTTP/1.1", b"Host: h", *map(_bytes, headers)]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def post(target: str, *headers: str | bytes, body: bytes = b'{"user_id": "alice"}') -> bytes:
    return request(target, *headers, method="POST", body=body)


def table(group: str, rows: Iterable[tuple[str, bytes, str]], *, opened: bool = False) -> list[Case]:
    """Raises ValueError where two rows have one name, or send the same."""
    cases = [Case(group, name, raw, answer, opened) for name, raw, answer in rows]
    if len({case.name for case in cases}) < len(cases) or len({case.raw for case in cases}) < len(cases):
        raise ValueError(f"{group}: a case stands there twice")
    return cases


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
