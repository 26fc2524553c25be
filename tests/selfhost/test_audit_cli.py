"""`playground audit`: all that was written down, each once, and a file to which it is only ever added."""

import asyncio
import json
import os
import resource
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from selfhost.audit_cli import events
from selfhost.audit_file import AuditFile, Broken
from selfhost.cli import app
from shared.adapters.sqlite import SqliteStore
from shared.domain.leases import Event, Owner
from shared.domain.policy import CLOCK_SKEW, MINUTE
from shared.domain.refusals import KEPT
from shared.ports.clock import SystemClock
from tests.doubles.memory import MemoryStore

ALICE, NIGHT = Owner("default", "alice"), Owner("-audit", "2027-01-15")
BEGUN = Event(ALICE, "database", "g" * 20, 1, -7200.0, "", "pending", "asked for", "create_db",
              by="spiffe://x/tenant/default/user/alice", serial="ab", trace="cd")  # fmt: skip
ENDED = Event(ALICE, "database", "g" * 20, 2, -3000.0, "running", "deleting", "[red]asked[/red]", "user alice")
REFUSED = Event(NIGHT, "create_db", "f00", 0, -900.0, "", "refused", "not-found, 3 x", "", by="spiffe://x/eve")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PLAYGROUND_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "leases.db"
    monkeypatch.setenv("PLAYGROUND_STORE", f"sqlite:///{path}")
    before = dict(os.environ)
    write(path, *([since_now(event)] for event in (BEGUN, ENDED, REFUSED)))
    yield path
    for name in os.environ.keys() - before.keys():
        del os.environ[name]  # commands put their settings there


def since_now(event: Event) -> Event:
    """With its instant counted from now, however long ago this file was read."""
    return replace(event, at=SystemClock().now() + event.at)


def write(path: Path, *batches: Sequence[Event]) -> None:
    async def add() -> None:
        store = await SqliteStore.open(path)
        for batch in batches:
            await store.add(batch)
        await store.close()

    asyncio.run(add())


def audit(*arguments: str, columns: int = 250) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": str(columns)})


def told(*arguments: str) -> list[dict[str, str]]:
    done = audit("--json", *arguments)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_all_of_a_day_is_shown_oldest_first():
    found = told()
    assert [each["outcome"] for each in found] == ["pending", "deleting", "refused"]
    assert (found[0]["owner"], found[0]["caller"], found[0]["serial"], found[0]["trace_id"]) == (
        "default/alice", BEGUN.by, "ab", "cd")  # fmt: skip
    assert found[1]["caller"] == "user alice" and found[2]["owner"] == ""


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        (["--since", "1h"], ["deleting", "refused"]),
        (["--since", "40s"], None),
        (["--since", "40m"], ["refused"]),
        (["--owner", "alice"], ["pending", "deleting"]),
        (["--owner", "default/alice"], ["pending", "deleting"]),
        (["--owner", "bob"], []),
        (["--caller", "eve"], ["refused"]),
        (["--caller", "ab"], ["pending"]),
        (["--since", "2020-01-01T00:00:00Z", "--owner", "alice"], ["pending", "deleting"]),
        (["--since", "2020-01-01T00:00:00"], None),
        (["--since", "yesterday"], None),
    ],
)
def test_some_of_it_can_be_chosen(arguments: list[str], outcomes: list[str] | None):
    if outcomes is None:
        done = audit(*arguments)
        assert done.exit_code == 2 and "an instant with its zone" in done.output
    else:
        assert [each["outcome"] for each in told(*arguments)] == outcomes


def test_on_a_terminal_nothing_is_cut_off_and_what_was_written_steers_nothing(store: Path):
    write(store, [since_now(replace(REFUSED, at=-60.0, step=1, by="spiffe://x/\x1b[2J"))])
    done = audit(columns=40)
    assert done.exit_code == 0, done.output
    shown = done.stdout.splitlines()
    assert [line[22:] for line in shown[::2]] == [
        "default/alice  database pending: asked for", "default/alice  database deleting: [red]asked[/red]",
        "-  create_db refused: not-found, 3 x", "-  create_db refused: not-found, 3 x",
    ]  # fmt: skip
    assert [line.strip() for line in shown[1::2]] == [
        f"by {BEGUN.by} serial ab trace_id cd", "by user alice", "by spiffe://x/eve", r"by spiffe://x/\x1b[2J",
    ]  # fmt: skip
    assert "nothing was written down" in audit("--owner", "nobody").stdout


def test_where_there_is_no_store_it_says_so_and_makes_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PLAYGROUND_STORE", f"sqlite:///{tmp_path}/none.db")
    done = audit()
    assert done.exit_code == 1 and "there is no" in done.output
    assert not (tmp_path / "none.db").exists()


async def test_each_event_comes_once_however_many_are_of_one_instant():
    store = MemoryStore()
    written = [replace(BEGUN, step=n, at=float(n // 700)) for n in range(3000)]
    for first in range(0, 3000, 500):
        await store.add(written[first : first + 500])
    found = [event async for event in events(store, 0.0)]
    assert len(found) == 3000 and {event.id for event in found} == {event.id for event in written}


# The file


def test_what_is_new_is_added_to_a_file_and_nothing_twice(store: Path, tmp_path: Path):
    file = tmp_path / "audit.jsonl"
    assert "3 lines added" in audit("--append", str(file)).stdout
    assert "0 lines added" in audit("--append", str(file)).stdout
    late = replace(REFUSED, step=1, at=REFUSED.at - 300)  # by somebody whose clock is behind
    write(store, [since_now(late), since_now(replace(REFUSED, step=2, at=0.0))])
    assert "2 lines added" in audit("--append", str(file)).stdout
    assert "5 lines, none of them changed" in audit("--verify", str(file)).stdout
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["id"] for line in lines}) == 5


def test_refusals_that_waited_for_the_store_are_added_though_later_ones_are_there(store: Path, tmp_path: Path):
    file = tmp_path / "audit.jsonl"
    audit("--append", str(file))
    waited = REFUSED.at - KEPT * MINUTE - CLOCK_SKEW  # counted where a clock is behind, and written just now
    write(store, [since_now(replace(REFUSED, step=1, at=waited))])
    assert "1 lines added" in audit("--append", str(file)).stdout


@pytest.mark.parametrize("how", ["changed", "taken out", "put in", "cut", "swapped"])
def test_whatever_is_done_to_the_file_is_found(tmp_path: Path, how: str):
    file = tmp_path / "audit.jsonl"
    audit("--append", str(file))
    lines = file.read_text().splitlines(keepends=True)
    match how:
        case "changed":
            lines[1] = lines[1].replace("deleting", "running")
        case "taken out":
            del lines[1]
        case "put in":
            lines.insert(1, lines[1])
        case "cut":
            lines[-1] = lines[-1][:-20]
        case "swapped":
            lines[1], lines[2] = lines[2], lines[1]
    file.write_text("".join(lines))
    for arguments in (["--verify", str(file)], ["--append", str(file)]):
        done = audit(*arguments)
        assert done.exit_code == 1 and f"line {3 if how in ('cut', 'put in') else 2}" in done.output
    assert file.read_text() == "".join(lines), "nothing is added to what is not whole"


def test_two_who_add_at_once_break_no_chain(store: Path, tmp_path: Path):
    file = tmp_path / "audit.jsonl"
    audit("--append", str(file))
    write(store, [since_now(replace(REFUSED, step=1))])
    first = AuditFile(file)
    first.last()
    done = audit("--append", str(file))
    assert done.exit_code == 1 and "somebody else is adding to it just now" in done.output
    assert first.add({"id": "a", "seconds": 1.0})
    first.close()
    assert "1 lines added" in audit("--append", str(file)).stdout
    assert "5 lines, none of them changed" in audit("--verify", str(file)).stdout


def test_a_disk_that_is_full_leaves_no_part_of_a_line(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    audit("--append", str(path))
    file, before = AuditFile(path), path.read_bytes()
    file.last()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(OSError):
            file.add({"id": "a", "seconds": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert file.add({"id": "a", "seconds": 1.0})
    file.close()
    assert AuditFile(path).verify() == 4


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path):
    done = audit("--append", str(tmp_path / "missing" / "audit.jsonl"))
    assert done.exit_code == 1 and "Traceback" not in done.output and "missing" in done.output


def test_an_empty_file_is_whole(tmp_path: Path):
    assert AuditFile(tmp_path / "none").verify() == 0
    (tmp_path / "broken").write_text("{}\n")
    with pytest.raises(Broken):
        AuditFile(tmp_path / "broken").verify()
