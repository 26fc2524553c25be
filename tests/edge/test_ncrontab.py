"""Schedules: what Azure accepts is accepted, what it refuses is refused, and why is said without repeating it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.edge.ncrontab import canonical


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("* * * * * *", "* * * * * *"),
        ("  0   05  00 * *  * ", "0 5 0 * * *"),
        ("0 */20 * * * *", "0 0,20,40 * * * *"),
        ("0 7-5 * * * *", "0 5,6,7 * * * *"),
        ("0 0 0 * Jan-mar Fri", "0 0 0 * 1,2,3 5"),
        ("0-59 0 0 1-31/1 * SUNDAY-6", "* 0 0 * * *"),
        ("0 0 0 29 2 *", "0 0 0 29 2 *"),
        ("0 0 0 31,28 2 *", "0 0 0 28,31 2 *"),
        ("0 0 0 31 2,3 *", "0 0 0 31 2,3 *"),
    ],
)
def test_what_azure_accepts_is_read_as_it_reads_it(expression: str, meant: str):
    assert canonical(expression) == meant


@pytest.mark.parametrize(
    "expression",
    [
        "", "*", "*/5 * * * *", "0 0 * * * * 2026", "@hourly", "@every 5m", "00:05:00", "1.00:00:00",
        "? * * * * *", "0 0 0 ? * *", "0 0 0 L * *", "0 0 0 15W * *", "0 0 0 * * 5#2", "0 0 0 * * 5L", "0 0 0 * * 7",
        "60 * * * * *", "0 60 * * * *", "0 0 24 * * *", "0 0 0 0 * *", "0 0 0 32 * *", "0 0 0 * 0 *", "0 0 0 * 13 *",
        "0 0 0 * * 0-7", "0 0 0 * * 7-1", "0 0 0 * Foo *", "0 0 0 Mon * *", "0 Jan 0 * * *", "0 0 0 * Mon *",
        "0 , * * * *", "0 1,,2 * * * *", "0 ,1 * * * *", "0 1, * * * *", "0 */ * * * *", "0 /5 * * * *", "0 - * * * *",
        "0 1- * * * *", "0 -1 * * * *", "0 1-2-3 * * * *", "0 *-5 * * * *", "0 5/*/2 * * * *", "0 */0 * * * *",
        "0 */00 * * * *", "0 */-1 * * * *", "0 +1 * * * *", "0 1.5 * * * *", "0 0x1 * * * *", "0 \u0661 * * * *",
        "0\t0 * * * *", "0 0 * * *\n*", "R * * * * *", "0 H * * * *", "%SETTING%", "0 99999999999999999999 * * * *",
    ],
)  # fmt: skip
def test_what_azure_refuses_is_refused(expression: str):
    with pytest.raises(ValueError, match=r"^its? "):
        canonical(expression)


@pytest.mark.parametrize("expression", ["0 0 0 30 2 *", "0 0 0 31 4,6 *", "0 0 0 30,31 Feb Mon", "0 0 0 31 9-11/2 *"])
def test_a_schedule_that_never_comes_is_refused(expression: str):
    with pytest.raises(ValueError, match="never comes"):
        canonical(expression)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("*/5 * * * *", "it must have six fields, from second to day-of-week"),
        ("99 * * * * *", "its second must be 0 to 59"),
        ("0 0 0 * * 7", "its day-of-week must be 0 to 6"),
        ("0 0 0 L * *", "its day must be 1 to 31"),
        ("0 0 0 * 1,,2 *", "its month cannot be read"),
    ],
)
def test_a_refusal_names_the_field(expression: str, why: str):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        canonical(expression)


@given(st.text(max_size=40) | st.lists(st.sampled_from(["*", "hunter2", "*/hunter2", "5-hunter2"])).map(" ".join))
def test_a_refusal_repeats_nothing(expression: str):
    try:
        canonical(expression)
    except ValueError as refused:
        assert "hunter2" not in str(refused) and refused.__cause__ is None
