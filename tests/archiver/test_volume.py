"""The program with a volume: what it stores and fetches, refuses, leaves behind, and tells."""

import hashlib
import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver import commands, volume
from archiver.errors import Refused
from archiver.files import Part
from archiver.sealed import HEADER, Counted, Outcome, seal, size_of, unseal
from archiver.settings import Settings
from tests.archiver.program import CONTEXT, KEY, MIB, Pod

pytestmark = pytest.mark.slow  # most run the program, a process each

DUMP = os.urandom(3 * MIB + 17)
OTHER_KEY = "A" * 43 + "="


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    pod = Pod(tmp_path)
    pod.dump.write_bytes(DUMP)
    return pod


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# Storing and fetching


def test_what_was_stored_is_fetched(pod: Pod) -> None:
    stored = pod.store().outcome
    data = pod.file.read_bytes()
    assert stored == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert DUMP[:32] not in data
    assert pod.fetch(stored).outcome == stored
    assert pod.back.read_bytes() == DUMP


def test_nothing_else_is_left_behind(pod: Pod) -> None:
    pod.fetch(pod.store(ARCHIVE_DONE=str(pod.done)).outcome)
    assert names(pod.folder) == ["back", "done", "dump", "result", "volume"]
    assert names(pod.file.parent) == ["k3x-7.archive"]


def test_the_outcome_is_one_line_for_kubelet_and_for_the_log(pod: Pod) -> None:
    ended = pod.store()
    assert ended.told == ended.printed + "\n"
    assert ended.told.count("\n") == 1


def test_a_dump_that_was_there_is_replaced(pod: Pod) -> None:
    pod.back.write_bytes(b"an earlier try's")
    pod.fetch(pod.store().outcome)
    assert pod.back.read_bytes() == DUMP


def test_an_empty_dump_is_not_stored(pod: Pod) -> None:
    pod.dump.write_bytes(b"")
    ended = pod.store()
    assert (ended.code, ended.told) == (1, "Refused: the dump is empty\n")
    assert not pod.file.exists()


def test_a_dump_that_is_missing_is_told(pod: Pod) -> None:
    pod.dump.unlink()
    ended = pod.store()
    assert (ended.code, ended.told) == (1, f"{pod.dump}: No such file or directory\n")


# Being started again


def test_a_second_start_tells_the_same_outcome_and_stores_nothing(pod: Pod) -> None:
    first = pod.store(ARCHIVE_DONE=str(pod.done))
    before = pod.file.stat()
    pod.result.unlink()
    pod.dump.unlink()
    again = pod.store(ARCHIVE_DONE=str(pod.done))
    assert (again.code, again.told) == (0, first.told)
    assert os.path.samestat(before, pod.file.stat())


def test_what_was_stored_is_on_the_disk_before_it_is_told(pod: Pod) -> None:
    ended = pod.store(ARCHIVE_DONE=str(pod.done), ARCHIVE_RESULT=str(pod.folder / "missing" / "result"))
    assert ended.code == 1
    assert "the outcome cannot be told" in ended.printed
    assert pod.store(ARCHIVE_DONE=str(pod.done)).told == pod.done.read_text()


def test_a_file_that_holds_no_outcome_is_not_taken_for_one(pod: Pod) -> None:
    pod.done.write_text("{}")
    ended = pod.store(ARCHIVE_DONE=str(pod.done))
    assert (ended.code, ended.told) == (1, f"Refused: {pod.done} is there and holds no outcome\n")


@pytest.mark.parametrize("settings", [{}, {"ARCHIVE_KEEP_DAYS": "7"}])
def test_what_a_try_in_another_pod_stored_stays_and_is_told(pod: Pod, settings: dict[str, str]) -> None:
    first, before = pod.store(**settings), pod.file.stat()
    pod.dump.write_bytes(b"a later dump")
    again = pod.store(ARCHIVE_DONE=str(pod.done), **settings)
    assert again.outcome == first.outcome
    assert os.path.samestat(before, pod.file.stat())
    assert pod.done.read_text() == first.told
    pod.fetch(again.outcome)
    assert pod.back.read_bytes() == DUMP
    assert names(pod.file.parent) == ["k3x-7.archive"]


@pytest.mark.parametrize("size", [HEADER, 2 * MIB, -1])
def test_what_such_a_try_stored_is_replaced_if_it_is_damaged(pod: Pod, size: int) -> None:
    pod.store()
    pod.file.write_bytes(pod.file.read_bytes()[:size])
    pod.dump.write_bytes(b"a later dump")
    pod.fetch(pod.store().outcome)
    assert pod.back.read_bytes() == b"a later dump"


def test_whoever_is_slower_leaves_the_file_that_is_there_and_tells_that(tmp_path: Path) -> None:
    file = tmp_path / "volume" / "x.archive"

    def sealing(plain: bytes) -> Counted:
        return Counted(seal(io.BytesIO(plain), bytes(32), CONTEXT))

    def slowly() -> Iterator[bytes]:
        yield from sealing(b"slow")
        fast = tmp_path / "fast.archive"
        outcomes.append(volume.put(fast, sealing(b"fast"), bytes(32), CONTEXT))
        fast.rename(file)

    outcomes: list[Outcome] = []
    told = volume.put(file, Counted(slowly()), bytes(32), CONTEXT)
    assert [told] == outcomes
    assert b"".join(unseal(volume.get(file), bytes(32), CONTEXT)) == b"fast"
    assert names(file.parent) == ["x.archive"]


def test_a_dump_that_changed_while_it_was_read_is_stored_nowhere(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "size_of", lambda plain: size_of(plain) + 1)
    with pytest.raises(Refused, match="the dump changed while it was read"):
        commands.store(Settings.read("store", pod.settings))
    assert names(pod.file.parent) == []


def test_a_name_that_was_only_claimed_is_taken(pod: Pod) -> None:
    pod.file.parent.mkdir()
    pod.file.touch()
    pod.fetch(pod.store().outcome)
    assert pod.back.read_bytes() == DUMP


def test_what_killed_processes_left_is_no_obstacle(pod: Pod) -> None:
    pod.file.parent.mkdir()
    parts = [Path(f"{path}.part") for path in (pod.file, pod.done, pod.back)]
    for part in parts:
        part.write_bytes(b"half of it")
    pod.fetch(pod.store(ARCHIVE_DONE=str(pod.done)).outcome)
    assert pod.back.read_bytes() == DUMP
    assert not any(part.exists() for part in parts)


@pytest.mark.parametrize("other", [{"ARCHIVE_KEY": OTHER_KEY}, {"ARCHIVE_CONTEXT": "default/bob k3x-7"}])
def test_anothers_archive_is_not_overwritten(pod: Pod, other: dict[str, str]) -> None:
    pod.store(**other)
    before = pod.file.read_bytes()
    ended = pod.store()
    assert ended.code == 1
    assert ended.told.startswith(f"Refused: {pod.file} is there and not ours")
    assert pod.file.read_bytes() == before
    assert names(pod.file.parent) == ["k3x-7.archive"]


def test_two_that_make_one_file_never_write_into_one_another(tmp_path: Path) -> None:
    with Part(tmp_path / "file") as slow:
        slow.write(b"slow")
        with Part(tmp_path / "file") as fast:
            fast.write(b"fast")
            with pytest.raises(FileExistsError, match="another process makes this file too"):
                slow.keep()
            fast.keep()
    assert (tmp_path / "file").read_bytes() == b"fast"
    assert names(tmp_path) == ["file"]


def test_whoever_gives_up_leaves_the_others_part(tmp_path: Path) -> None:
    with Part(tmp_path / "file") as slow:
        with Part(tmp_path / "file") as fast:
            slow.__exit__()
            assert names(tmp_path) == ["file.part"]
            fast.keep()
    assert names(tmp_path) == ["file"]


# What is refused


@pytest.mark.parametrize("at", [0, 8, 10, HEADER - 1, HEADER, 2 * MIB, -1])
def test_a_byte_that_was_changed_on_the_volume_is_found(pod: Pod, at: int) -> None:
    stored = pod.store().outcome
    data = bytearray(pod.file.read_bytes())
    data[at] ^= 0x80
    pod.file.write_bytes(data)
    ended = pod.fetch(stored)
    assert ended.code == 1
    assert ended.told.partition(":")[0] in ("NotAnArchive", "NewerVersion", "NotOpened", "Changed", "Torn")
    assert not pod.back.exists()
    assert not Path(f"{pod.back}.part").exists()


def test_another_archive_of_the_same_key_is_not_taken_for_the_one_that_was_stored(pod: Pod) -> None:
    stored = pod.store().outcome
    pod.file.unlink()
    pod.store()
    ended = pod.fetch(stored)
    assert ended.code == 1
    assert ended.told.startswith("Differs: another archive was to be found")
    assert names(pod.folder) == ["dump", "result", "volume"]


def test_a_size_that_differs_is_told(pod: Pod) -> None:
    stored = pod.store().outcome
    assert pod.fetch({**stored, "size": 1}).told.startswith("Differs: ")


def test_nobody_elses_archive_is_opened(pod: Pod) -> None:
    stored = pod.store().outcome
    ended = pod.fetch(stored, ARCHIVE_CONTEXT="default/bob k3x-7")
    assert ended.told == "NotOpened: it was made with another key or for another context\n"
    assert not pod.back.exists()


def test_a_failed_fetch_leaves_what_was_there(pod: Pod) -> None:
    stored = pod.store().outcome
    pod.back.write_bytes(b"before")
    assert pod.fetch(stored, ARCHIVE_CONTEXT="default/bob k3x-7").code == 1
    assert pod.back.read_bytes() == b"before"


def test_an_archive_that_is_missing_is_told(pod: Pod) -> None:
    ended = pod.fetch({"sha256": "0" * 64, "size": 1})
    assert (ended.code, ended.told) == (1, f"Missing: there is no {pod.file}\n")
    assert not pod.back.exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ARCHIVE_KEY": ""}, "ARCHIVE_KEY is not set"),
        ({"ARCHIVE_KEY": "AAAA"}, "ARCHIVE_KEY is not base64 of 32 bytes"),
        ({"ARCHIVE_KEY": "ä"}, "ARCHIVE_KEY is not base64 of 32 bytes"),
        ({"ARCHIVE_CONTEXT": ""}, "ARCHIVE_CONTEXT is not set"),
        ({"ARCHIVE_CONTEXT": "\udcff"}, "ARCHIVE_CONTEXT is not text"),
        ({"ARCHIVE_DUMP": ""}, "ARCHIVE_DUMP is not set"),
        ({"ARCHIVE_FILE": ""}, "one of ARCHIVE_URL and ARCHIVE_FILE must be set, and not both"),
        ({"ARCHIVE_URL": "https://a.invalid/b/c?d"}, "one of ARCHIVE_URL and ARCHIVE_FILE must be set, and not both"),
        ({"ARCHIVE_FILE": "", "ARCHIVE_URL": "file:///etc"}, "ARCHIVE_URL is not the URL of a blob"),
        ({"ARCHIVE_FILE": "", "ARCHIVE_URL": "https://a.invalid/b?d"}, "ARCHIVE_URL is not the URL of a blob"),
        ({"ARCHIVE_FILE": "", "ARCHIVE_URL": "https://["}, "ARCHIVE_URL is not the URL of a blob"),
        ({"ARCHIVE_KEEP_DAYS": "0"}, "ARCHIVE_KEEP_DAYS is not a number of days"),
        ({"ARCHIVE_KEEP_DAYS": "-1"}, "ARCHIVE_KEEP_DAYS is not a number of days"),
    ],
)
def test_a_setting_that_is_wrong_is_named(pod: Pod, settings: dict[str, str], said: str) -> None:
    ended = pod.store(**settings)
    assert (ended.code, ended.told) == (1, f"WrongSettings: {said}\n")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ARCHIVE_SHA256": ""}, "ARCHIVE_SHA256 is not set"),
        ({"ARCHIVE_SHA256": "A" * 64}, "ARCHIVE_SHA256 is not 64 hexadecimal digits"),
        ({"ARCHIVE_SIZE": ""}, "ARCHIVE_SIZE is not set"),
        ({"ARCHIVE_SIZE": "1e3"}, "ARCHIVE_SIZE is not a number of bytes"),
        ({"ARCHIVE_KEEP_DAYS": "7"}, "ARCHIVE_KEEP_DAYS is for storing on a volume"),
    ],
)
def test_so_it_is_when_fetching(pod: Pod, settings: dict[str, str], said: str) -> None:
    ended = pod.run("fetch", **(pod.wanted({"sha256": "0" * 64, "size": 1}) | settings))
    assert (ended.code, ended.told) == (1, f"WrongSettings: {said}\n")


@pytest.mark.parametrize("arguments", [(), ("steal",), ("store", "fetch")])
def test_what_to_do_must_be_said(pod: Pod, arguments: tuple[str, ...]) -> None:
    ended = pod.run(*arguments)
    assert (ended.code, ended.told) == (1, "WrongSettings: usage: python -m archiver pack|store|fetch|unpack\n")


# What old archives there are


def test_archives_whose_time_is_over_go_before_the_new_one_comes(pod: Pod) -> None:
    folder = pod.file.parent
    folder.mkdir()
    days = {"over.archive": -0.01, "kept.archive": 0.01, "old.txt": -8.0, "k3x-7.archive": -8.0}
    days |= {"old.archive.part": -1.01, "new.archive.part": -0.99, "old.part": -8.0}
    for name, left in days.items():
        (folder / name).touch()
        os.utime(folder / name, (0, time.time() + left * 86400))
    (folder / "folder.archive").mkdir()
    os.utime(folder / "folder.archive", (0, 0))
    pod.dump.write_bytes(b"")
    assert pod.store(ARCHIVE_KEEP_DAYS="7").code == 1
    left = ["folder.archive", "k3x-7.archive", "kept.archive", "new.archive.part", "old.part", "old.txt"]
    assert names(folder) == left


def test_an_archives_time_is_what_its_own_setting_said(pod: Pod) -> None:
    began = time.time()
    pod.store(ARCHIVE_KEEP_DAYS="7")
    assert began <= pod.file.stat().st_mtime - 7 * 86400 <= time.time()
    other = pod.file.with_name("other.archive")
    assert pod.store(ARCHIVE_KEEP_DAYS="1", ARCHIVE_FILE=str(other)).code == 0
    assert names(pod.file.parent) == ["k3x-7.archive", "other.archive"]


def test_what_is_found_stored_is_kept_for_as_long_as_what_is_stored_now(pod: Pod) -> None:
    pod.store(ARCHIVE_KEEP_DAYS="7")
    os.utime(pod.file, (0, 0))
    began = time.time()
    assert pod.store(ARCHIVE_KEEP_DAYS="7").code == 0
    until = pod.file.stat().st_mtime
    assert began <= until - 7 * 86400 <= time.time()
    assert pod.store(ARCHIVE_KEEP_DAYS="1").code == pod.store().code == 0
    assert pod.file.stat().st_mtime == until


def test_without_a_number_of_days_a_files_time_is_when_it_was_made(pod: Pod) -> None:
    pod.store()
    assert pod.file.stat().st_mtime <= time.time()


def test_nothing_is_removed_unless_it_is_said_after_how_many_days(pod: Pod) -> None:
    pod.file.parent.mkdir()
    old = pod.file.parent / "old.archive"
    old.touch()
    os.utime(old, (0, 0))
    assert pod.store().code == 0
    assert old.exists()


def test_an_archive_is_stored_though_an_old_one_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.archive").touch()
    os.utime(tmp_path / "old.archive", (0, 0))

    def refused(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(volume.os, "unlink", refused)
    volume.clear(tmp_path / "new.archive")
    assert "an old archive remains" in capsys.readouterr().err


def test_somebody_elses_file_under_the_name_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "x.archive").write_text("a text")
    with pytest.raises(Refused, match="not ours: it does not begin as an archive does"):
        volume.put(tmp_path / "x.archive", Counted([b"sealed"]), bytes(32), CONTEXT)
    assert (tmp_path / "x.archive").read_text() == "a text"


# Ends


def test_a_full_disk_is_told_and_half_an_archive_is_never_found(pod: Pod) -> None:
    ended = pod.run("store", limit=2 * MIB, ARCHIVE_DONE=str(pod.done))
    assert (ended.code, ended.told) == (1, "File too large\n")
    assert names(pod.file.parent) == []
    assert not pod.done.exists()


def test_a_full_disk_is_told_when_fetching_too(pod: Pod) -> None:
    stored = pod.store().outcome
    ended = pod.run("fetch", limit=2 * MIB, **pod.wanted(stored))
    assert (ended.code, ended.told) == (1, "File too large\n")
    assert names(pod.folder) == ["dump", "result", "volume"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_nothing_half_is_left(pod: Pod, number: signal.Signals) -> None:
    stored = pod.store().outcome
    data = pod.file.read_bytes()
    pod.file.unlink()
    os.mkfifo(pod.file)
    process = pod.begin("fetch", **pod.wanted(stored))
    with open(pod.file, "wb") as pipe:  # when this is open it is at work
        pipe.write(data[: 2 * MIB])
        pipe.flush()
        assert Path(f"{pod.back}.part").exists()
        ended = pod.end(process, number)
    assert (ended.code, ended.told) == (1, f"ended by {number.name} before it was done\n")
    assert names(pod.folder) == ["dump", "result", "volume"]


# Secrets and memory


def test_the_key_is_in_nothing_that_is_told(pod: Pod) -> None:
    wrong = pod.store(ARCHIVE_CONTEXT=CONTEXT, ARCHIVE_DUMP=str(pod.folder / KEY.replace("/", "_")))
    runs = [pod.store(), pod.store(ARCHIVE_KEY=OTHER_KEY), wrong, pod.run("fetch")]
    for ended in runs:
        assert KEY not in ended.told + ended.printed
        assert OTHER_KEY not in ended.told + ended.printed


def test_a_failure_is_told_in_300_characters(pod: Pod) -> None:
    ended = pod.store(ARCHIVE_DUMP="/" + "/".join(["missing folder"] * 30) + "\n\n")
    assert ended.code == 1
    assert len(ended.told) == 301
    assert ended.told.count("\n") == 1


@pytest.mark.slow
def test_memory_stays_the_same_whatever_the_size(pod: Pod) -> None:
    peaks = []
    for size in (MIB, 256 * MIB):
        with open(pod.dump, "wb") as dump:
            dump.truncate(size)
        stored = pod.store()
        again = pod.store()  # finds it and opens it
        fetched = pod.fetch(stored.outcome)
        assert fetched.outcome == again.outcome == stored.outcome
        assert pod.back.stat().st_size == size
        peaks.append((stored.peak, again.peak, fetched.peak))
        pod.file.unlink()
    small, large = peaks
    assert all(most - least < 16 * MIB for least, most in zip(small, large, strict=True))
