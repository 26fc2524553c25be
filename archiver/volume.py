"""Archives as files on a mounted volume."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from archiver.errors import Broken, Missing, Refused
from archiver.files import Part, make_folder
from archiver.sealed import CHUNK, HEADER, check

DAY = 86400


def put(file: Path, sealed: Iterable[bytes], key: bytes, context: str) -> None:
    """Store an archive, durably and under its name only when it is whole.

    What an earlier try with the same key and context stored there is replaced, as a blob would be. Raises
    Refused where anything else is, OSError.
    """
    make_folder(file.parent)
    with Part(file) as part:
        for piece in sealed:
            part.write(piece)
        part.sync()
        _claim(file, key, context)
        part.keep()


def get(file: Path) -> Iterator[bytes]:
    """An archive in pieces. Raises Missing, OSError."""
    try:
        opened = open(file, "rb")
    except FileNotFoundError:
        raise Missing(f"there is no {file}") from None
    with opened:
        while piece := opened.read(CHUNK):
            yield piece


def clear(file: Path, days: int) -> None:
    """Remove archives in the folder of `file`, itself never, that are older. Where that fails it is said, no more."""
    before = time.time() - days * DAY
    try:
        with os.scandir(file.parent) as entries:
            for entry in entries:
                if entry.name.endswith(".archive") and entry.name != file.name:
                    _remove_older(entry, before)
    except OSError as error:
        print(f"old archives remain: {error}", file=sys.stderr)


def _remove_older(entry: "os.DirEntry[str]", before: float) -> None:
    try:
        if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < before:
            os.unlink(entry.path)
    except FileNotFoundError:
        pass  # another pod was faster
    except OSError as error:
        print(f"an old archive remains: {error}", file=sys.stderr)


def _claim(file: Path, key: bytes, context: str) -> None:
    """Have the name, as an empty file where it was free: a link, which is never over another's, not every volume
    has. Raises Refused if something is there that this key and context do not open.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
    except FileExistsError:
        with open(file, "rb") as there:
            head = there.read(HEADER)
        try:
            if head:  # or it was claimed by one that ended before more happened
                check(head, key, context)
        except Broken as error:
            raise Refused(f"{file} is there and not ours: {error}") from None
