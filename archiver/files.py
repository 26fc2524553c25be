"""Files that are there whole or not at all, whenever the machine goes down."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


class Part:
    """A file on its way to be `target`: `write`, then `keep`, or it is removed when its `with` ends.

    Whoever makes the same file at the same time takes its name away, so that two never write into one. What
    an earlier process left there when it was killed goes the same way. All of it raises OSError.
    """

    def __init__(self, target: Path):
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._kept = False

    def __enter__(self) -> "Part":
        self.path.unlink(missing_ok=True)
        # Its group may read it: another container of the pod may run as another user.
        self._file: BinaryIO = open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb")
        self._opened = os.fstat(self._file.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()
        if not self._kept and self._ours():
            with suppress(OSError):
                self.path.unlink()

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def sync(self) -> None:
        """Have on the disk what was written so far."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def flush(self) -> None:
        """As other files have it."""
        self._file.flush()

    def keep(self, mtime: float | None = None) -> None:
        """Be the target, durably; what was there before is replaced. Its time is `mtime` if that is said."""
        if mtime is not None:
            self.flush()
            os.utime(self._file.fileno(), (mtime, mtime))
        self.sync()
        if not self._ours():
            raise FileExistsError(errno.EEXIST, "another process makes this file too", str(self.path))
        os.replace(self.path, self.target)
        self._kept = True
        sync_folder(self.target.parent)

    def _ours(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), self._opened)
        except OSError:
            return False


def sync_folder(folder: Path) -> None:
    """Make the names in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make it, and those it is in, durably."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)
