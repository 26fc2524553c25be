"""Files that are either whole or as they were, whatever dies in between, and at no moment anybody else's to read."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write(file: Path, content: bytes, mode: int) -> None:
    """Put it in the place of what is there; it is on the disk when this returns. One at a time. Raises OSError."""
    part = file.with_suffix(".part")
    try:
        remove(part)  # whoever made it is dead
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            os.fchmod(descriptor, mode)  # a umask can only have taken away
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(part, file)
        sync(file.parent)
    except OSError as error:
        with suppress(OSError):
            remove(part)
        raise OSError(error.errno, error.strerror, str(file)) from error  # writing does not say to which file


def remove(file: Path) -> None:
    """Whether it is there or not. Raises OSError."""
    with suppress(FileNotFoundError):
        os.unlink(file)


def read(file: Path) -> bytes | None:
    """None where there is none. Raises OSError."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, waiting for it; the system frees it when this process dies. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync(folder: Path) -> None:
    """What was renamed or made in it is on the disk when this returns. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
