"""The format of an archive: a header, then the packed folder in chunks, each sealed on its own (as in STREAM).

    header  "pgarchiv", one byte 1 (the version), 7 random bytes, 16 bytes that prove key and context
    chunk   1 MiB of it, the last one shorter or as long, each under AES-256-GCM, 16 bytes longer than it was

The nonce of chunk n is the header's random bytes, n in 4 bytes (big endian), and one byte: 1 in the last chunk, 0 in
all others, 2 in the header's proof, which seals nothing. With each goes, unsealed, what it is bound to: the header up
to the proof, and the context. So no chunk opens at another place, in another archive, or for another context, and
nothing can be cut off or added without being seen. What has n bytes makes an archive of `size_of(n)`.

A key is meant for one archive, or a few million: beyond that the random bytes might repeat.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archiver.errors import Changed, NewerVersion, NotAnArchive, NotOpened, Torn

MAGIC = b"pgarchiv"
VERSION = 1
RANDOM = 7  # bytes
TAG = 16  # bytes that AES-GCM adds
BOUND = len(MAGIC) + 1 + RANDOM
HEADER = BOUND + TAG
CHUNK = 1 << 20
MORE, LAST, PROOF = 0, 1, 2


@dataclass(frozen=True)
class Outcome:
    """Checksum (hex) and size (bytes) of an archive, as it is stored."""

    sha256: str
    size: int


class Counted:
    """Bytes on their way to somewhere, and what they came to so far."""

    def __init__(self, pieces: Iterable[bytes]):
        self._pieces = pieces
        self._sha256 = hashlib.sha256()
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._sha256.update(piece)
            self._size += len(piece)
            yield piece

    def outcome(self) -> Outcome:
        return Outcome(self._sha256.hexdigest(), self._size)


def size_of(plain: int) -> int:
    """How large the archive of so many bytes is."""
    chunks = max(1, -(-plain // CHUNK))
    return HEADER + plain + chunks * TAG


def seal(plain: BinaryIO, key: bytes, context: str) -> Iterator[bytes]:
    """The archive of what `plain` holds, in pieces."""
    bound = MAGIC + bytes([VERSION]) + secrets.token_bytes(RANDOM)
    aead, data = AESGCM(key), bound + context.encode()
    yield bound + aead.encrypt(_nonce(bound, 0, PROOF), b"", data)
    chunk = plain.read(CHUNK)
    for number in count():
        following = plain.read(CHUNK) if len(chunk) == CHUNK else b""
        yield aead.encrypt(_nonce(bound, number, MORE if following else LAST), chunk, data)
        if not following:
            return
        chunk = following


def unseal(pieces: Iterable[bytes], key: bytes, context: str) -> Iterator[bytes]:
    """What was sealed, of an archive in pieces of any size. Each piece of it is genuine, but all of it only once the
    last was had. Raises Broken: NotAnArchive, NewerVersion, NotOpened, Torn, Changed.
    """
    chunks = _cut(pieces)
    head = next(chunks)
    check(head, key, context)
    bound = head[:BOUND]
    aead, data = AESGCM(key), bound + context.encode()
    chunk = next(chunks, b"")
    for number in count():
        following = next(chunks, b"")
        kind, other = (MORE, LAST) if following else (LAST, MORE)
        opened = _open(aead, _nonce(bound, number, kind), chunk, data)
        if opened is None:
            where = f"chunk {number + 1}"
            if _open(aead, _nonce(bound, number, other), chunk, data) is not None:
                raise Torn(f"it goes on after its end, {where}" if following else f"it ends too early, after {where}")
            if following:
                raise Changed(f"{where} is not what was sealed there")
            raise Torn(f"it ends within {where}, or the end is not what was sealed")
        yield opened
        if not following:
            return
        chunk = following


def check(head: bytes, key: bytes, context: str) -> None:
    """Whether an archive that begins so was made with this key for this context. Raises Broken as `unseal` does."""
    if not head or not head.startswith(MAGIC[: len(head)]):
        raise NotAnArchive("it does not begin as an archive does")
    if len(head) > len(MAGIC) and head[len(MAGIC)] != VERSION:
        version = head[len(MAGIC)]
        raise NewerVersion(f"it is of version {version}; this program opens version {VERSION} and no other")
    if len(head) < HEADER:
        raise Torn("it ends within its header")
    bound = head[:BOUND]
    if _open(AESGCM(key), _nonce(bound, 0, PROOF), head[BOUND:HEADER], bound + context.encode()) is None:
        raise NotOpened("it was made with another key or for another context")


def _nonce(bound: bytes, number: int, kind: int) -> bytes:
    return bound[-RANDOM:] + number.to_bytes(4, "big") + bytes([kind])


def _open(aead: AESGCM, nonce: bytes, chunk: bytes, data: bytes) -> bytes | None:
    """None where it is not what was sealed so."""
    try:
        return aead.decrypt(nonce, chunk, data) if len(chunk) >= TAG else None
    except InvalidTag:
        return None


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes as a header, even an empty one, and sealed chunks."""
    buffer, wanted = bytearray(), HEADER
    for piece in pieces:
        buffer += piece
        while len(buffer) >= wanted:
            yield bytes(buffer[:wanted])
            del buffer[:wanted]
            wanted = CHUNK + TAG
    if buffer or wanted == HEADER:
        yield bytes(buffer)
