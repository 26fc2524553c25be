"""Leases as tables on a terminal, and the durations that people write."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def duration(text: str) -> float:
    """Seconds of `3d`, `12h`, `1d12h30m`, `90s`. Raises ValueError."""
    if not re.fullmatch(r"([0-9]{1,6}[dhms])+", text):
        raise ValueError("write days, hours, minutes or seconds, such as 3d, 12h or 1d12h")
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])", text))


def listed(leases: Sequence[dict[str, Any]], now: datetime) -> Table:
    """One row a lease."""
    table = Table()
    for name in ("owner", "lease", "state", "since", "taken away", "held until", "reason"):
        table.add_column(name, overflow="fold")
    for lease in leases:
        hold = lease.get("hold", {})
        table.add_row(
            *map(
                printable,
                (
                    lease["owner"],
                    lease["id"],
                    lease["state"],
                    _ago(lease.get("since"), now),
                    _ahead(lease.get("expires_at"), now),
                    " ".join(filter(None, (_local(hold.get("until")), hold.get("note")))),
                    lease["reason"],
                ),
            )
        )
    return table


def shown(lease: dict[str, Any], now: datetime) -> Group:
    """All of one lease, and below it what became of it."""
    facts = Table(show_header=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    instants = {name: lease[name] for name in lease if name.endswith(("_at", "_until")) or name == "since"}
    for name, value in lease.items():
        if name in instants:
            distance = _ahead(value, now) if name in ("expires_at", "archived_until") else _ago(value, now)
            facts.add_row(name.replace("_", " "), printable(f"{_local(value)} ({distance})"))
        elif isinstance(value, dict):
            told = ", ".join(f"{key} {_local(each) if key in ('at', 'until') else each}" for key, each in value.items())
            facts.add_row(name, printable(told))
        elif name != "events":
            facts.add_row(name, printable(value))
    events = Table("at", "", "by", "why")
    for event in lease["events"]:
        change = event["after"] if event["before"] == event["after"] else f"{event['before']} → {event['after']}"
        events.add_row(*map(printable, (_local(event.get("at")), change, event["actor"], event["reason"])))
    return Group(facts, events)


def printable(value: object) -> Text:
    """As text and no markup, without what could steer a terminal."""
    return Text("".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value)))


def _local(instant: str | None) -> str:
    """In the time zone of whoever reads it."""
    return f"{datetime.fromisoformat(instant).astimezone():%Y-%m-%d %H:%M}" if instant else ""


def _ago(instant: str | None, now: datetime) -> str:
    return f"{_distance((now - datetime.fromisoformat(instant)).total_seconds())} ago" if instant else ""


def _ahead(instant: str | None, now: datetime) -> str:
    if instant is None:
        return "not foreseen"
    seconds = (datetime.fromisoformat(instant) - now).total_seconds()
    return f"in {_distance(seconds)}" if seconds > 0 else "now"


def _distance(seconds: float) -> str:
    """With the two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in UNITS.items():
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{int(left // size)} {unit}")
            left %= int(size)
    return " ".join(parts[:2])


def current() -> datetime:
    return datetime.now(UTC)
