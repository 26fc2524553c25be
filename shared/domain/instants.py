"""Instants as people and JSON write them: ISO 8601 in UTC, to the second."""

from datetime import UTC, datetime


def utc(seconds: float) -> datetime:
    """The instant of so many seconds since the epoch, rounded down to a whole one."""
    return datetime.fromtimestamp(seconds // 1, UTC)


def utc_if_any(seconds: float | None) -> datetime | None:
    """The same; None for none, and for what no calendar has."""
    try:
        return None if seconds is None else utc(seconds)
    except (ValueError, OverflowError, OSError):
        return None


def iso(seconds: float) -> str:
    """As text, such as 2027-01-15T08:00:00Z."""
    return f"{utc(seconds):%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 instant that says its zone. Raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("it says no zone")
    return at.timestamp()
