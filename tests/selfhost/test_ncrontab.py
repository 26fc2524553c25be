"""Schedules: their next tick is the one that they have in Azure."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfhost import ncrontab


def after(expression: str, when: str) -> str:
    start = datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
    return datetime.fromtimestamp(ncrontab.next_after(expression, start), UTC).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("expression", "when", "then"),
    [
        # the examples of Azure's documentation
        ("0 5 * * * *", "2026-01-01 00:05:00", "2026-01-01 01:05:00"),
        ("0 0 * * * 6", "2026-01-01 00:00:00", "2026-01-03 00:00:00"),
        ("5,8,10 * * * * *", "2026-01-01 00:00:08", "2026-01-01 00:00:10"),
        ("0 5-7 * * * *", "2026-01-01 00:05:00", "2026-01-01 00:06:00"),
        ("0 */5 * * * *", "2026-01-01 00:00:01", "2026-01-01 00:05:00"),
        ("0 30 9 * * 1-5", "2026-01-02 10:00:00", "2026-01-05 09:30:00"),
        ("0 30 9 * Jan Mon", "2026-01-27 00:00:00", "2027-01-04 09:30:00"),
        # the next tick comes after now, never at it; a fraction of a second is cut off
        ("0 * * * * *", "2026-01-01 00:01:00", "2026-01-01 00:02:00"),
        ("0 * * * * *", "2026-01-01 00:00:59.5", "2026-01-01 00:01:00"),
        ("0 * * * * *", "2026-01-01 00:01:00.5", "2026-01-01 00:02:00"),
        # day and day-of-week must both match
        ("0 0 0 13 * Fri", "2026-04-01 00:00:00", "2026-11-13 00:00:00"),
        ("0 0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00:00"),
        ("0 0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00:00"),
        # written otherwise
        ("0 0 0 * february SUNDAY", "2026-01-01 00:00:00", "2026-02-01 00:00:00"),
        ("0 0 0 1 ju *", "2026-01-01 00:00:00", "2026-06-01 00:00:00"),
        ("0 7-5 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:05:00"),
        ("0 0 0 * * Fri-Mon", "2026-01-04 00:00:00", "2026-01-05 00:00:00"),
        ("0 55/2 * * * *", "2026-01-01 00:55:00", "2026-01-01 00:57:00"),
        ("0 1-9/4 * * * *", "2026-01-01 00:02:00", "2026-01-01 00:05:00"),
        ("0 0,*/40,5 * * * *", "2026-01-01 00:05:00", "2026-01-01 00:40:00"),
        ("  0   05  00 * *  * ", "2026-01-01 00:00:00", "2026-01-01 00:05:00"),
        ("0 0 0 */10 * *", "2026-01-01 00:00:00", "2026-01-11 00:00:00"),
    ],
)
def test_a_schedule_means_what_it_means_in_azure(expression: str, when: str, then: str) -> None:
    assert after(expression, when) == then


@pytest.mark.parametrize("expression", ["*/5 * * * *", "99 * * * * *", "0 0 0 30 2 *"])
def test_a_schedule_that_is_none_has_no_next_tick(expression: str) -> None:
    with pytest.raises(ValueError, match=r"^its? "):
        ncrontab.next_after(expression, 0)


def test_a_setting_stands_for_a_schedule() -> None:
    assert ncrontab.resolve("%REAP%", {"REAP": "0 * * * * *"}) == "0 * * * * *"
    assert ncrontab.resolve("0 * * * * *", {}) == "0 * * * * *"
    with pytest.raises(ValueError, match="the setting REAP is not set"):
        ncrontab.resolve("%REAP%", {})


RANGES = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """Six fields, each a list of values, ranges (either way round) and steps."""
    fields = []
    for low, high in RANGES:
        value = st.integers(low, min(high, 28) if low else high).map(str)  # a day that every month has
        span = st.tuples(value, value).map("-".join)
        step = st.tuples(st.one_of(st.just("*"), value, span), st.integers(1, 9).map(str)).map("/".join)
        part = st.one_of(st.just("*"), st.just("*"), value, span, step)
        fields.append(",".join(draw(st.lists(part, min_size=1, max_size=3))))
    return " ".join(fields)


def numbers(text: str, low: int, high: int) -> set[int]:
    """A field as NCrontab's CrontabField.Accumulate fills its bits."""
    found: set[int] = set()
    for part in text.split(","):
        base, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if base == "*" else base).partition("-")
        end = int(last) if last else high if step else int(first)
        start, end = sorted((int(first), end))
        found |= set(range(start, end + 1, int(step or 1)))
    return found


@pytest.mark.slow
@given(expressions(), st.integers(1_700_000_000, 1_900_000_000))
@example("0 0 0 13 * 5", 1_775_000_000)
def test_the_next_tick_is_the_first_instant_that_fits_every_field(expression: str, when: int) -> None:
    fields = [numbers(text, *limits) for text, limits in zip(expression.split(), RANGES, strict=True)]
    days, months, weekdays = fields[3:]
    start = datetime.fromtimestamp(when, UTC) + timedelta(seconds=1)
    day, earliest = start.replace(hour=0, minute=0, second=0), (start.hour, start.minute, start.second)
    while True:
        fits = day.day in days and day.month in months and day.isoweekday() % 7 in weekdays
        times = product(sorted(fields[2]), sorted(fields[1]), sorted(fields[0])) if fits else ()
        first = next((time for time in times if time >= earliest), None)
        if first is not None:
            break
        day, earliest = day + timedelta(days=1), (0, 0, 0)
    hour, minute, second = first
    assert ncrontab.next_after(expression, when) == day.replace(hour=hour, minute=minute, second=second).timestamp()
