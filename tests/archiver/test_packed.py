"""Packing a data directory and unpacking it: what is in it and what is left out, what is refused, and other ends."""

import gzip
import io
import os
import shutil
import socket
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver import packed
from archiver.errors import Broken, Changed, NotAnArchive, Refused, Torn
from archiver.packed import Packed, pack, unpack
from archiver.settings import FolderSettings
from tests.archiver.program import MIB, Ended, Pod

RANDOM = os.urandom(3 * MIB)
DEEP = "/".join(["a folder"] * 30)
FILES = {
    "ibdata1": RANDOM,
    "mysql/user.frm": b"frm",
    "mysql/empty": b"",
    "with space/a b\nc.ibd": b"odd",
    "ünïcode/表.ibd": b"text",
    f"{DEEP}/deep.ibd": b"deep",
    "@0024/not \udcff text": b"bytes",
    "mysql/mysqld.pid": b"no process",
    "mysql/lost+found": b"a file",
}
MODES = {"ibdata1": 0o660, "mysql": 0o700, "mysql/user.frm": 0o640, "nothing in it": 0o750, "ünïcode": 0o500}


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    """With a data directory, and a folder `back` for another."""
    (tmp_path / "data").mkdir()
    for name, content in FILES.items():
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "data" / "nothing in it").mkdir()
    for name, mode in MODES.items():
        (tmp_path / "data" / name).chmod(mode)
    (tmp_path / "back").mkdir()
    unset = {"ARCHIVE_KEY": "", "ARCHIVE_CONTEXT": "", "ARCHIVE_FILE": ""}
    return Pod(tmp_path, {**unset, "ARCHIVE_FOLDER": str(tmp_path / "data")})


@pytest.fixture
def data(pod: Pod) -> Path:
    return pod.folder / "data"


@pytest.fixture
def here(pod: Pod) -> FolderSettings:
    """To run in this process."""
    return FolderSettings(pod.folder / "data", pod.dump)


@pytest.fixture
def there(pod: Pod) -> FolderSettings:
    return FolderSettings(pod.back, pod.dump)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of a sync, which takes as long as other programs write."""
    calls: list[str] = []
    monkeypatch.setattr(packed.os, "sync", lambda: calls.append("sync"))
    return calls


def unpacked(pod: Pod) -> Ended:
    return pod.run("unpack", ARCHIVE_FOLDER=str(pod.back))


def tree(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Mode and content of all that is in it; a folder has none."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def members(file: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(file, "r:gz") as tar:
        return tar.getmembers()


def names(file: Path) -> list[str]:
    return [member.name for member in members(file)]


# Packing and unpacking


def test_what_was_packed_is_unpacked(pod: Pod, data: Path) -> None:
    outcome = pod.run("pack").outcome
    assert outcome == {"files": len(FILES), "size": sum(map(len, FILES.values()))}
    assert unpacked(pod).outcome == outcome
    assert tree(pod.back) == tree(data)
    assert sorted(os.listdir(pod.folder)) == ["back", "data", "dump", "result"]


def test_the_same_folder_is_packed_the_same(pod: Pod, here: FolderSettings) -> None:
    pack(here)
    first = pod.dump.read_bytes()
    pod.dump.write_bytes(b"an earlier try's")
    Path(f"{pod.dump}.part").write_bytes(b"half of it")
    pack(here)
    assert pod.dump.read_bytes() == first


def test_headers_tell_mode_and_time_and_no_owner(pod: Pod, here: FolderSettings, data: Path) -> None:
    os.utime(data / "ibdata1", (0, 1234567890.5))
    pack(here)
    assert names(pod.dump) == sorted(names(pod.dump), key=lambda name: name.split("/"))
    for member in members(pod.dump):
        assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
        assert member.mode == stat.S_IMODE((data / member.name).stat().st_mode)
    assert next(member for member in members(pod.dump) if member.name == "ibdata1").mtime == 1234567890


def test_what_a_server_or_the_file_system_made_for_itself_is_left_out(
    pod: Pod, here: FolderSettings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(here)
    before = names(pod.dump)
    for folder in ("lost+found", ".run"):
        (data / folder).mkdir()
        (data / folder / "file").touch()
    for file in ("ibtmp1", "mysqld.pid", "a.pid"):
        (data / file).touch()
    os.mkfifo(data / "fifo")
    monkeypatch.chdir(data)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("mysqld.sock")
        pack(here)
    assert names(pod.dump) == before


def test_unpacking_leaves_nothing_of_what_was_there_but_the_file_systems(
    here: FolderSettings, there: FolderSettings, data: Path, unsynced: list[str]
) -> None:
    before = tree(data)
    (there.folder / "mysql" / "deep").mkdir(parents=True)
    for name in ("mysql/user.frm", "mysql/deep/x", "other", ".initializing", ".run"):
        (there.folder / name).write_bytes(b"before")
    (there.folder / "link").symlink_to(data)
    (there.folder / "lost+found").mkdir()
    (there.folder / "lost+found" / "found").touch()
    pack(here)
    unpack(there)
    assert unsynced == ["sync"]
    assert (there.folder / "lost+found" / "found").exists()
    shutil.rmtree(there.folder / "lost+found")
    assert tree(there.folder) == tree(data) == before


def test_an_unpacking_that_was_killed_begins_anew(pod: Pod, here: FolderSettings, data: Path) -> None:
    pack(here)
    whole = pod.dump.read_bytes()
    pod.dump.unlink()
    os.mkfifo(pod.dump)
    process = pod.begin("unpack", ARCHIVE_FOLDER=str(pod.back))
    with open(pod.dump, "wb") as pipe:
        pipe.write(whole[: 2 * MIB])  # ends when nearly all of it was read
        pipe.flush()
        process.kill()
        process.communicate()
    assert tree(pod.back) not in ({}, tree(data))
    pod.dump.unlink()
    pod.dump.write_bytes(whole)
    assert unpacked(pod).code == 0
    assert tree(pod.back) == tree(data)


def test_a_full_disk_is_told_and_half_a_packed_file_is_never_found(pod: Pod) -> None:
    ended = pod.run("pack", limit=2 * MIB)
    assert (ended.code, ended.told) == (1, "File too large\n")
    assert not pod.dump.exists()
    assert not Path(f"{pod.dump}.part").exists()


# What is not packed


def test_a_folder_without_a_database_is_not_packed(pod: Pod, data: Path) -> None:
    shutil.rmtree(data / "mysql")
    for make in (lambda: None, (data / "mysql").touch):
        make()
        ended = pod.run("pack")
        assert (ended.code, ended.told) == (1, "Refused: there is no database on the volume\n")
        assert not pod.dump.exists()


def test_a_first_start_that_was_cut_short_is_not_packed(here: FolderSettings, data: Path) -> None:
    (data / ".initializing").touch()
    with pytest.raises(Refused, match="a first start was cut short there"):
        pack(here)


@pytest.mark.parametrize("name", ["link", "mysql/link", "link.pid"])
def test_a_link_is_not_packed(pod: Pod, here: FolderSettings, data: Path, name: str) -> None:
    (data / name).symlink_to("ibdata1")
    with pytest.raises(Refused, match=f"'{name}' is neither a file nor a folder"):
        pack(here)
    assert not pod.dump.exists()


def test_a_device_is_not_packed(here: FolderSettings, data: Path) -> None:
    try:
        os.mknod(data / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(Refused, match="'null' is neither a file nor a folder"):
        pack(here)


def grow(file: Path) -> None:
    with open(file, "ab") as more:
        more.write(b"x")


def shrink(file: Path) -> None:
    os.truncate(file, 2 * MIB)


def rewrite(file: Path) -> None:
    with open(file, "r+b") as same:
        same.write(b"x")
    os.utime(file, (0, 0))


@pytest.mark.parametrize("change", [grow, shrink, rewrite])
def test_a_file_that_changes_while_it_is_read_is_not_packed(
    pod: Pod, here: FolderSettings, data: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    header = packed._header

    def changed(name: str, found: os.stat_result) -> tarfile.TarInfo:
        if name == "ibdata1":
            change(data / name)
        return header(name, found)

    monkeypatch.setattr(packed, "_header", changed)
    with pytest.raises(Refused, match="'ibdata1' changed while it was read"):
        pack(here)
    assert not pod.dump.exists()
    assert not Path(f"{pod.dump}.part").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ARCHIVE_FOLDER": ""}, "ARCHIVE_FOLDER is not set"),
        ({"ARCHIVE_DUMP": ""}, "ARCHIVE_DUMP is not set"),
        ({"ARCHIVE_FOLDER": "/a", "ARCHIVE_DUMP": "/a/b"}, "ARCHIVE_DUMP is in ARCHIVE_FOLDER"),
    ],
)
@pytest.mark.parametrize("command", ["pack", "unpack"])
def test_a_setting_that_is_wrong_is_named(pod: Pod, command: str, settings: dict[str, str], said: str) -> None:
    ended = pod.run(command, **settings)
    assert (ended.code, ended.told) == (1, f"WrongSettings: {said}\n")


def test_a_name_that_is_no_text_is_told(pod: Pod, data: Path) -> None:
    (data / "\udcff").symlink_to("ibdata1")
    assert pod.run("pack").told == "Refused: '\\udcff' is neither a file nor a folder\n"
    assert pod.run("unpack", ARCHIVE_DUMP=f"{pod.folder}/\udcff").told.endswith("\\udcff: No such file or directory\n")


# What is not unpacked


def tar(*wanted: tarfile.TarInfo, end: bytes | None = None) -> bytes:
    """Of these after a database, each file holding `content`; with another end if that is said."""
    made = io.BytesIO()
    with tarfile.open(mode="w", fileobj=made) as making:
        for each in (member("mysql", tarfile.DIRTYPE), *wanted):
            making.addfile(each, io.BytesIO(b"content"))
        at = making.offset
    whole = made.getvalue()
    return gzip.compress(whole if end is None else whole[:at] + end)


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, "mysql" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    made.size = len(b"content") if kind == tarfile.REGTYPE else 0
    return made


NAMES = ["../x", "/x", "mysql/../../x", "mysql//x", "./x", "mysql/.", "..", "//x", "lost+found/x", "lost+found"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_a_name_that_leads_elsewhere_is_refused(pod: Pod, there: FolderSettings, name: str, kind: bytes) -> None:
    pod.dump.write_bytes(tar(member(name, kind)))
    with pytest.raises(Refused, match="is not a name that was packed"):
        unpack(there)
    assert not Path("/x").exists()
    assert sorted(os.listdir(pod.folder)) == ["back", "data", "dump"]
    assert set(tree(pod.back)) == {"mysql"}


def test_so_is_one_with_a_nul(pod: Pod, there: FolderSettings) -> None:
    odd = member("x")
    odd.pax_headers = {"path": "mysql/x\0y"}
    pod.dump.write_bytes(tar(odd))
    with pytest.raises(Refused, match="is not a name that was packed"):
        unpack(there)


KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_neither_a_file_nor_a_folder_is_refused(pod: Pod, there: FolderSettings, kind: bytes) -> None:
    pod.dump.write_bytes(tar(member("evil", kind)))
    with pytest.raises(Refused, match="'evil' is neither a file nor a folder"):
        unpack(there)
    assert set(tree(pod.back)) == {"mysql"}


def test_a_name_that_comes_twice_is_not_written_twice(pod: Pod, there: FolderSettings) -> None:
    pod.dump.write_bytes(tar(member("x"), member("x")))
    with pytest.raises(FileExistsError):
        unpack(there)


def test_what_holds_no_database_is_refused(pod: Pod, there: FolderSettings, data: Path) -> None:
    with tarfile.open(pod.dump, "w:gz") as making:
        making.add(data / "ibdata1", "ibdata1")
    with pytest.raises(Refused, match="there is no database in what was packed"):
        unpack(there)


@pytest.mark.parametrize(
    "content", [b"", b"-- MariaDB dump", b"PK\3\4", gzip.compress(b"-- a dump", mtime=0), gzip.compress(b"", mtime=0)]
)
def test_what_is_no_packed_file_is_told_and_the_folder_is_left(pod: Pod, there: FolderSettings, content: bytes) -> None:
    (there.folder / "before").touch()
    pod.dump.write_bytes(content)
    with pytest.raises(NotAnArchive):
        unpack(there)
    assert set(tree(pod.back)) == {"before"}


def test_a_packed_file_that_is_missing_is_told_and_the_folder_is_left(pod: Pod) -> None:
    (pod.back / "before").touch()
    ended = unpacked(pod)
    assert (ended.code, ended.told) == (1, f"{pod.dump}: No such file or directory\n")
    assert set(tree(pod.back)) == {"before"}


@pytest.mark.parametrize("length", [1, 2, 9, 10, 100, MIB, 2 * MIB + 1, -9, -8, -4, -1])
def test_a_cut_is_seen_wherever_it_is(
    pod: Pod, here: FolderSettings, there: FolderSettings, length: int, unsynced: list[str]
) -> None:
    pack(here)
    pod.dump.write_bytes(pod.dump.read_bytes()[:length])
    with pytest.raises(Torn):
        unpack(there)
    assert not unsynced


@pytest.mark.parametrize("at", [0, 2, 20, MIB, -8, -1])
def test_a_byte_that_was_changed_is_seen(pod: Pod, here: FolderSettings, there: FolderSettings, at: int) -> None:
    pack(here)
    content = bytearray(pod.dump.read_bytes())
    content[at] ^= 0x80
    pod.dump.write_bytes(content)
    with pytest.raises(Broken):
        unpack(there)


@pytest.mark.parametrize("end", [b"", bytes(511), b"x" * 512, bytes(1024) + b"x"])
def test_a_tar_that_does_not_end_as_one_is_torn(pod: Pod, there: FolderSettings, end: bytes) -> None:
    pod.dump.write_bytes(tar(member("x"), end=end))
    with pytest.raises(Torn):
        unpack(there)


def test_a_tar_that_ends_within_a_file_is_torn(pod: Pod, there: FolderSettings) -> None:
    pod.dump.write_bytes(gzip.compress(gzip.decompress(tar(member("x")))[: 1024 + 3]))
    with pytest.raises(Torn):
        unpack(there)


def test_what_is_appended_is_seen(pod: Pod, there: FolderSettings) -> None:
    pod.dump.write_bytes(tar() + b"more")
    with pytest.raises(Changed):
        unpack(there)


# Memory


@pytest.mark.slow
def test_memory_stays_the_same_whatever_the_size(pod: Pod, data: Path) -> None:
    peaks = []
    for size in (MIB, 256 * MIB):
        with open(data / "large", "wb") as file:
            file.truncate(size)
        stored = pod.run("pack")
        fetched = unpacked(pod)
        assert fetched.outcome == stored.outcome
        assert (pod.back / "large").stat().st_size == size
        (pod.back / "large").unlink()
        peaks.append((stored.peak, fetched.peak))
    small, most = peaks
    assert most[0] - small[0] < 16 * MIB
    assert most[1] - small[1] < 16 * MIB


def test_nothing_is_kept_of_files_that_were_packed(here: FolderSettings) -> None:
    kept: list[int] = []

    class Watched(tarfile.TarFile):
        def addfile(self, *arguments: object) -> None:
            super().addfile(*arguments)  # type: ignore[arg-type]
            kept.append(len(self.members))  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed.tarfile, "open", Watched.open)
        assert pack(here) == Packed(len(FILES), sum(map(len, FILES.values())))
    assert len(kept) > len(FILES)
    assert max(kept) == 1
