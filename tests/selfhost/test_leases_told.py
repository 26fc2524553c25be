"""How leases look on a terminal, and how people write durations."""

import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from selfhost import leases_told as told

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
LEASE: dict[str, Any] = {
    "id": "database", "kind": "database", "owner": "alice", "state": "running", "reason": "heard from", "revision": 3,
    "generation": "a" * 20, "created_at": "2027-01-13T08:00:00Z", "since": "2027-01-15T07:59:00Z",
    "last_beat_at": "2027-01-15T08:00:00Z", "expires_at": "2027-01-15T19:00:00Z",
    "hold": {"until": "2027-01-16T08:00:00Z", "note": "over night"},
    "evidence": {"at": "2027-01-15T08:00:00Z", "connections": 1, "connected": 7, "statements": 90},
    "events": [
        {"at": "2027-01-13T08:00:00Z", "before": "", "after": "pending", "reason": "asked for", "actor": "create_db"},
        {"at": "2027-01-13T08:00:00Z", "before": "running", "after": "running", "reason": "held", "actor": "user al"},
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def text(renderable: Any) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("written", "seconds"), [("3d", 259200), ("12h", 43200), ("90m", 5400), ("5s", 5), ("1d12h", 129600), ("0d", 0)]
)
def test_a_duration_is_days_hours_minutes_and_seconds(written: str, seconds: float):
    assert told.duration(written) == seconds


@pytest.mark.parametrize("written", ["", "3", "d", "3 d", "-3d", "3w", "1.5d", "P3D", "3d!", "9" * 7 + "d", "٣d"])
def test_nothing_else_is_a_duration(written: str):
    with pytest.raises(ValueError, match="write days, hours, minutes or seconds"):
        told.duration(written)


def test_a_row_says_what_an_owner_wants_to_know():
    row = text(told.listed([LEASE], NOW)).splitlines()[3]
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells == ["alice", "database", "running", "1 m ago", "in 11 h", "2027-01-16 08:00 over night", "heard from"]


def test_one_lease_is_told_with_what_became_of_it():
    shown = text(told.shown(LEASE, NOW))
    for words in ("2027-01-13 08:00 (2 d ago)", "2027-01-15 19:00 (in 11 h)", "until 2027-01-16 08:00, note over night",
                  "statements 90", "pending", "running", "user al"):  # fmt: skip
        assert words in shown
    assert "running → running" not in shown and "{" not in shown


def test_what_is_not_told_is_left_open():
    bare = {name: LEASE[name] for name in ("id", "owner", "state", "reason")}
    assert "not foreseen" in text(told.listed([bare], NOW))


def test_what_others_wrote_is_neither_markup_nor_steers_the_terminal():
    lease = {**LEASE, "reason": "[red]\x1b[2Jquota\u202e", "hold": {"note": "[link]x"}}
    for shown in (text(told.listed([lease], NOW)), text(told.shown(lease, NOW))):
        assert "[red]\\x1b[2Jquota\\u202e" in shown and "[link]x" in shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (-5, "now"),
        (1, "in 1 s"),
        (61, "in 1 m 1 s"),
        (3600, "in 1 h"),
        (93600, "in 1 d 2 h"),
        (86460, "in 1 d 1 m"),
    ],
)
def test_the_two_largest_units_are_enough(seconds: float, said: str):
    at = (NOW + timedelta(seconds=seconds)).isoformat()
    assert said in text(told.listed([{**LEASE, "expires_at": at}], NOW))
