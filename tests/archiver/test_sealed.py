"""The format: what was sealed is opened again, and nothing else is."""

import io
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver import sealed
from archiver.errors import Broken, Changed, NewerVersion, NotAnArchive, NotOpened, Torn
from archiver.sealed import HEADER, TAG, VERSION, Counted, Outcome, seal, size_of, unseal

KEY, OTHER = bytes(range(32)), bytes(32)
CONTEXT = "default/alice k3x-7"
SMALL = 64  # bytes of a chunk here, so that every byte of several chunks can be tried
WHOLE = sealed.CHUNK


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "CHUNK", SMALL)
        yield


def archive(plain: bytes, key: bytes = KEY, context: str = CONTEXT) -> bytes:
    return b"".join(seal(io.BytesIO(plain), key, context))


def opened(data: bytes, key: bytes = KEY, context: str = CONTEXT, piece: int = 1 << 20) -> bytes:
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    return b"".join(unseal(pieces, key, context))


def chunks(data: bytes) -> list[bytes]:
    """The header, and each chunk."""
    size = SMALL + TAG
    return [data[:HEADER], *(data[at : at + size] for at in range(HEADER, len(data), size))]


PLAIN = os.urandom(SMALL * 3 + 10)
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sealed, "CHUNK", SMALL)
    ARCHIVE = archive(PLAIN)

sizes = st.builds(lambda n, by: max(0, n * SMALL + by), st.integers(0, 5), st.integers(-2, 2))


@given(size=sizes, piece=st.integers(1, 300))
def test_what_was_sealed_is_opened_whatever_its_size_and_the_size_of_the_pieces(size: int, piece: int) -> None:
    plain = os.urandom(size)
    data = archive(plain)
    assert len(data) == size_of(size)
    assert opened(data, piece=piece) == plain


@pytest.mark.parametrize("size", [0, 1, WHOLE - 1, WHOLE, WHOLE + 1, 3 * WHOLE])
def test_so_it_is_with_chunks_of_a_mebibyte(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "CHUNK", WHOLE)
    plain = os.urandom(size)
    data = archive(plain)
    assert len(data) == size_of(size) == HEADER + size + TAG * max(1, -(-size // WHOLE))
    assert opened(data, piece=4 << 20) == plain


def test_what_version_1_made_is_opened_for_ever() -> None:
    data = bytes.fromhex(
        "70676172636869760101020304050607e047ce02f08fa3479d5868183081f6500f"
        "a13570ea9c7fbbfd8a486fc24bf613ba2c6b258210f48509502433c03a1a1b78"
    )
    assert opened(data, bytes(range(32)), "default/alice k3x-7") == b"what a dump holds"


def test_no_archive_is_like_another_and_none_shows_what_is_in_it() -> None:
    assert archive(PLAIN) != archive(PLAIN)
    assert PLAIN[:8] not in ARCHIVE


def test_a_byte_that_is_changed_is_seen_wherever_it_is() -> None:
    for at in range(len(ARCHIVE)):
        changed = bytearray(ARCHIVE)
        changed[at] ^= 1
        with pytest.raises(Broken):
            opened(bytes(changed))


def test_a_cut_is_seen_wherever_it_is() -> None:
    with pytest.raises(NotAnArchive):
        opened(b"")
    for length in range(1, len(ARCHIVE)):
        with pytest.raises(Torn):
            opened(ARCHIVE[:length])


@pytest.mark.parametrize("size", [SMALL * 3 + 10, SMALL * 3, 0])
@pytest.mark.parametrize("more", [1, TAG, SMALL + TAG, 1000])
def test_what_is_appended_is_seen(size: int, more: int) -> None:
    with pytest.raises((Torn, Changed)):
        opened(archive(PLAIN[:size]) + bytes(more))


def test_what_is_appended_to_a_whole_chunk_is_told_as_that() -> None:
    with pytest.raises(Torn, match="goes on after its end, chunk 3"):
        opened(archive(PLAIN[: SMALL * 3]) + b"x")


def test_an_end_between_two_chunks_is_told_as_that() -> None:
    with pytest.raises(Torn, match="ends too early, after chunk 2"):
        opened(b"".join(chunks(ARCHIVE)[:3]))


def test_chunks_that_were_swapped_repeated_or_left_out_are_seen() -> None:
    head, one, two, three, last = chunks(ARCHIVE)
    orders = [[two, one, three, last], [one, one, two, three, last], [one, three, last], [one, last, two, three]]
    for order in orders:
        with pytest.raises(Changed):
            opened(head + b"".join(order))


def test_a_chunk_of_another_archive_with_the_same_key_and_context_is_seen() -> None:
    ours, other = chunks(ARCHIVE), chunks(archive(PLAIN))
    with pytest.raises(Changed, match="chunk 2"):
        opened(b"".join([*ours[:2], other[2], *ours[3:]]))


def test_a_header_of_another_archive_opens_no_chunk() -> None:
    with pytest.raises(Changed, match="chunk 1"):
        opened(archive(PLAIN)[:HEADER] + ARCHIVE[HEADER:])


@pytest.mark.parametrize(("key", "context"), [(OTHER, CONTEXT), (KEY, "default/bob k3x-7"), (KEY, CONTEXT + " ")])
def test_another_key_or_context_is_told_before_anything_is_opened(key: bytes, context: str) -> None:
    pieces = unseal(iter([ARCHIVE]), key, context)
    with pytest.raises(NotOpened, match="another key or for another context"):
        next(pieces)


@pytest.mark.parametrize("data", [b"x", b"-- MariaDB dump 10.19", bytes(1000), b"pgarchi_" + bytes(100)])
def test_what_is_no_archive_is_told_as_that(data: bytes) -> None:
    with pytest.raises(NotAnArchive):
        opened(data)


def test_another_version_is_told_as_that() -> None:
    with pytest.raises(NewerVersion, match="version 2"):
        opened(ARCHIVE[:8] + bytes([VERSION + 1]) + ARCHIVE[9:])


def test_what_is_opened_first_is_genuine_though_the_end_is_torn() -> None:
    pieces = unseal(iter([ARCHIVE[:-1]]), KEY, CONTEXT)
    assert [next(pieces) for _ in range(3)] == [PLAIN[at : at + SMALL] for at in range(0, SMALL * 3, SMALL)]
    with pytest.raises(Torn):
        next(pieces)


def test_checksum_and_size_are_of_what_passed() -> None:
    counted = Counted([b"some", b"", b" bytes"])
    assert b"".join(counted) == b"some bytes"
    assert counted.outcome() == Outcome("0d22cdcc10e6d049dbe1af5123d50873fdfc1a4f58306e58cb6241be9472014d", 10)
