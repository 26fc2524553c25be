"""Archives as files on a mounted volume. A file's time is when it may go: nobody else's setting makes that earlier."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from archiver.errors import Broken, Missing, Refused
from archiver.files import Part, make_folder
from archiver.sealed import CHUNK, HEADER, Counted, Outcome, check, unseal

DAY = 86400
PARTS = DAY  # seconds after which nobody writes on


def put(file: Path, sealed: Counted, key: bytes, context: str, days: int = 0) -> Outcome:
    """Store an archive, durably and under its name only when it is whole, to be kept for so many days if not 0.

    Where another try with the same key and context was faster, its archive stays, and is told. Raises Refused
    where anything else is, OSError.
    """
    make_folder(file.parent)
    with Part(file) as part:
        for piece in sealed:
            part.write(piece)
        part.sync()
        if not _claim(file) and (faster := stored(file, key, context, days)):
            return faster
        part.keep(_until(days) if days else None)
    return sealed.outcome()


def stored(file: Path, key: bytes, context: str, days: int = 0) -> Outcome | None:
    """The whole archive that an earlier try with the same key and context stored; it is kept for so many days more.

    Whoever made it may have told it, so it is never replaced. None where there is nothing, a name that was only
    claimed, or what was such an archive and is damaged. Raises Refused where anything else is, OSError.
    """
    try:
        with open(file, "rb") as there:
            head = there.read(HEADER)
            if not head:
                return None
            try:
                check(head, key, context)
            except Broken as error:
                raise Refused(f"{file} is there and not ours: {error}") from None
            there.seek(0)
            archive = Counted(iter(lambda: there.read(CHUNK), b""))
            for _ in unseal(archive, key, context):
                pass
            if days and os.fstat(there.fileno()).st_mtime < _until(days):
                os.utime(there.fileno(), (_until(days), _until(days)))
                os.fsync(there.fileno())
    except (FileNotFoundError, Broken):
        return None
    return archive.outcome()


def get(file: Path) -> Iterator[bytes]:
    """An archive in pieces. Raises Missing, OSError."""
    try:
        opened = open(file, "rb")
    except FileNotFoundError:
        raise Missing(f"there is no {file}") from None
    with opened:
        while piece := opened.read(CHUNK):
            yield piece


def clear(file: Path) -> None:
    """Remove archives in the folder of `file`, itself never, whose time has come, and what was left half-made.

    Where that fails it is said, no more.
    """
    now = time.time()
    try:
        with os.scandir(file.parent) as entries:
            for entry in entries:
                if entry.name.endswith(".archive") and entry.name != file.name:
                    _remove_older(entry, now)
                elif entry.name.endswith(".archive.part"):
                    _remove_older(entry, now - PARTS)
    except FileNotFoundError:
        pass  # nothing was ever stored there
    except OSError as error:
        print(f"old archives remain: {error}", file=sys.stderr)


def _until(days: int) -> float:
    return time.time() + days * DAY


def _remove_older(entry: "os.DirEntry[str]", before: float) -> None:
    try:
        if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < before:
            os.unlink(entry.path)
    except FileNotFoundError:
        pass  # another pod was faster
    except OSError as error:
        print(f"an old archive remains: {error}", file=sys.stderr)


def _claim(file: Path) -> bool:
    """Have the name, as an empty file, if it is free: a link, which is never over another's, not every volume has."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
    except FileExistsError:
        return False
    return True
