"""`pack` and `unpack`: a data directory that no server is at, as one file, a gzipped tar, and back.

What only a running server needs, and what the file system made, is left out. Names are relative to the folder, owners
are not kept: what is unpacked belongs to whoever unpacks it. Memory stays the same whatever the size.
"""

import gzip
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from archiver.errors import Changed, NotAnArchive, Refused, Torn
from archiver.files import Part
from archiver.settings import FolderSettings

CHUNK = 1 << 20
DATABASE = "mysql"  # the folder that every database has
INITIALIZING = ".initializing"
FILE_SYSTEMS = "lost+found"
LEFT_OUT = (FILE_SYSTEMS, ".run", "ibtmp1")  # and *.pid; all of it in the folder itself, no deeper
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Packed:
    """How many files there are, and the bytes in them."""

    files: int
    size: int


def pack(settings: FolderSettings) -> Packed:
    """Make the packed file, anew if it is there. Raises Refused, OSError."""
    folder = settings.folder
    if not _is_folder(folder / DATABASE):
        raise Refused("there is no database on the volume")
    if os.path.lexists(folder / INITIALIZING):
        raise Refused("a first start was cut short there")
    settings.dump.unlink(missing_ok=True)  # there may be no room for two
    files = size = 0
    with Part(settings.dump) as part:
        with gzip.GzipFile("", "wb", 1, part, mtime=0) as zipped, _tar_to(zipped) as tar:
            for name, found in _walk(folder):
                if stat.S_ISDIR(found.st_mode):
                    tar.addfile(_header(name, found))
                else:
                    files += 1
                    size += _add(tar, folder, name)
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
        part.keep()
    return Packed(files, size)


def unpack(settings: FolderSettings) -> Packed:
    """Have in the folder what was packed and nothing else, durably. Raises Refused, Broken, OSError.

    A folder where this ended before it was done holds anything; the next time it begins anew.
    """
    with open(settings.dump, "rb") as packed, _tar_from(packed) as tar:
        _clear(settings.folder)
        outcome = _extract(tar, settings.folder)
    if not _is_folder(settings.folder / DATABASE):
        raise Refused("there is no database in what was packed")
    os.sync()
    return outcome


# Packing


def _walk(folder: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """What is packed, each folder before what is in it. Raises Refused for what cannot be."""
    with os.scandir(folder / below) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        if not below and name in LEFT_OUT:
            continue
        path = f"{below}/{name}" if below else name
        found = os.lstat(folder / path)
        if stat.S_ISDIR(found.st_mode):
            yield path, found
            yield from _walk(folder, path)
        elif stat.S_ISREG(found.st_mode):
            if below or not name.endswith(".pid"):
                yield path, found
        elif not stat.S_ISSOCK(found.st_mode) and not stat.S_ISFIFO(found.st_mode):
            raise Refused(f"{path!r} is neither a file nor a folder")


def _add(tar: tarfile.TarFile, folder: Path, name: str) -> int:
    """A file's size."""
    with open(os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        tar.addfile(_header(name, before), _Whole(file, name))
        after = os.fstat(file.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise _changed(name)
        return before.st_size


def _header(name: str, found: os.stat_result) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.mode, header.mtime = found.st_mode & 0o777, int(found.st_mtime)
    if stat.S_ISDIR(found.st_mode):
        header.type = tarfile.DIRTYPE
    else:
        header.size = found.st_size
    return header


def _changed(name: str) -> Refused:
    return Refused(f"{name!r} changed while it was read")


class _Whole:
    """A file that is asked for the bytes that it had when it was opened, no more. Raises Refused if it has fewer."""

    def __init__(self, file: BinaryIO, name: str):
        self._file = file
        self._name = name

    def read(self, size: int = CHUNK) -> bytes:
        data = b""
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise _changed(self._name)
            data = data + more if data else more
        return data


def _tar_to(zipped: gzip.GzipFile) -> tarfile.TarFile:
    return tarfile.open(
        mode="w|",
        fileobj=zipped,
        bufsize=CHUNK,
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
    )


# Unpacking


@contextmanager
def _tar_from(packed: BufferedReader) -> Iterator[tarfile.TarFile]:
    """What was packed, as a tar at its beginning. Raises Broken, also for what comes to light within its `with`."""
    head = packed.peek(len(GZIP))[: len(GZIP)]
    if not head or not GZIP.startswith(head):
        raise NotAnArchive("it is no gzip file")
    if head != GZIP:
        raise Torn("it ends within its header")
    with _Unzipped(fileobj=packed) as plain:
        try:
            tar = tarfile.open(mode="r|", fileobj=plain, bufsize=CHUNK, tarinfo=_Strict, encoding="utf-8")
        except tarfile.TarError:
            raise NotAnArchive("what is in the gzip file is no tar") from None
        with tar:
            try:
                yield tar
            except tarfile.TarError as error:
                raise Torn(f"the tar ends too early, or goes on as none: {error}") from None


class _Unzipped(gzip.GzipFile):
    """What it holds; what is wrong with it as an error of ours."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except EOFError:
            raise Torn("it ends too early") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Changed(f"it is not what was packed: {error}") from None


class _Strict(tarfile.TarInfo):
    """A tar ends with an empty block; the library takes anything that is no header for its end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Strict":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from None


def _clear(folder: Path) -> None:
    with os.scandir(folder) as entries:
        there = [entry for entry in entries if entry.name != FILE_SYSTEMS]
    for entry in there:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _extract(tar: tarfile.TarFile, folder: Path) -> Packed:
    """All of it, to the very end, where the checksum is."""
    files = size = 0
    modes: list[tuple[Path, int]] = []  # of folders: one that nothing may be written to has files all the same
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]
        path = folder / _safe(member.name)
        if member.type == tarfile.DIRTYPE:
            path.mkdir(0o700)
            modes.append((path, member.mode & 0o777))
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse():
            files += 1
            size += _write(tar, member, path)
        else:
            raise Refused(f"{member.name!r} is neither a file nor a folder")
    _end(tar)
    for path, mode in reversed(modes):
        path.chmod(mode)
    return Packed(files, size)


def _safe(name: str) -> str:
    """A name that leads to a place in the folder. Raises Refused."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in name or parts[0] == FILE_SYSTEMS:
        raise Refused(f"{name!r} is not a name that was packed")
    return name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> int:
    """A file's size."""
    content = tar.extractfile(member)
    assert content is not None  # it is a file
    size = 0
    with content, open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        while piece := content.read(CHUNK):
            file.write(piece)
            size += len(piece)
        os.fchmod(file.fileno(), member.mode & 0o777)
    if size != member.size:
        raise Torn(f"the tar ends within {member.name!r}")
    return size


def _end(tar: tarfile.TarFile) -> None:
    """What comes after a tar's end is empty; and only who reads it all knows that the gzip file is whole."""
    assert tar.fileobj is not None
    while rest := tar.fileobj.read(CHUNK):
        if any(rest):
            raise Torn("the tar goes on after its end")


def _is_folder(path: Path) -> bool:
    """Whether it is one, and no link to one; what cannot be seen is not taken for missing. Raises OSError."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
