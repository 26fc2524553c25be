"""When we could hear, and that time in which we could not counts as no silence."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import canary
from shared.domain.errors import StoreUnavailable
from shared.domain.hearing import DEAF, GAP, GAPS, LONGEST_SILENCE, RECORD, REMEMBERED, Hearing, from_value, to_value
from shared.domain.policy import CLOCK_SKEW, DAY, HOUR, MINUTE, PLUGIN_INTERVAL
from shared.ports.leases import Record
from tests.doubles.memory import MemoryStore, Moment
from tests.samples import T0

seconds = st.floats(0, 10 * DAY)
BEFORE = (0.0, T0)  # the gap that the first canary ends


def test_a_canary_every_minute_leaves_no_gap():
    hearing = Hearing(T0)
    for minute in range(1, 200):
        hearing = hearing.heard(T0 + minute * MINUTE)
    assert hearing == Hearing(T0 + 199 * MINUTE)


def test_what_two_clocks_may_differ_by_is_no_gap_and_a_moment_more_is_one():
    assert Hearing(T0).heard(T0 + GAP).gaps == ()
    assert Hearing(T0).heard(T0 + GAP + 0.1).gaps == ((T0, T0 + GAP + 0.1),)


def test_gaps_are_kept_in_order_for_longer_than_any_retention():
    hearing = Hearing(T0)
    for at in (HOUR, DAY, 2 * DAY):
        hearing = hearing.heard(T0 + at)
    assert hearing.gaps == ((T0, T0 + HOUR), (T0 + HOUR, T0 + DAY), (T0 + DAY, T0 + 2 * DAY))
    assert hearing.heard(T0 + REMEMBERED + HOUR - 1).gaps[0] == (T0, T0 + HOUR)
    assert hearing.heard(T0 + REMEMBERED + HOUR).gaps[0] == (T0 + HOUR, T0 + DAY)


def test_of_very_many_gaps_the_closest_become_one():
    hearing = Hearing(T0)
    for number in range(1, GAPS + 1):
        hearing = hearing.heard(T0 + number * HOUR).heard(T0 + number * HOUR + MINUTE)
    assert len(hearing.gaps) == GAPS
    hearing = hearing.heard(T0 + (GAPS + 1) * HOUR)
    assert len(hearing.gaps) == GAPS
    assert hearing.gaps[0] == (T0, T0 + 2 * HOUR), "a minute in which we heard counts as deaf now"


def test_a_canary_whose_clock_is_behind_takes_nothing_back():
    hearing = Hearing(T0).heard(T0 - CLOCK_SKEW)
    assert hearing == Hearing(T0)


def test_two_canaries_with_different_clocks_make_no_gap_while_one_is_heard():
    hearing = Hearing(T0)
    for minute in range(1, 60):
        hearing = hearing.heard(T0 + minute * MINUTE).heard(T0 + minute * MINUTE + CLOCK_SKEW)
    assert hearing.gaps == ()


@pytest.mark.parametrize(
    ("since", "now", "silence"),
    [
        (0, 100, 100),  # before the gap
        (0, 150, 100),  # into it
        (120, 180, 0),  # within it
        (150, 300, 100),  # out of it
        (0, 300, 200),  # around it
        (250, 300, 50),  # after it
        (300, 200, 0),  # a beat of the future
    ],
)
def test_only_time_in_which_we_could_hear_is_silence(since: float, now: float, silence: float):
    assert Hearing(1000, ((100, 200),)).silence(since, now) == silence


@given(seconds, st.lists(seconds, min_size=1, max_size=12), seconds, seconds)
def test_silence_is_never_more_than_time_nor_less_than_none(start: float, beats: list[float], a: float, b: float):
    hearing = Hearing(start)
    for at in sorted(beats):
        hearing = hearing.heard(at)
    since, now = sorted((a, b))
    assert 0 <= hearing.silence(since, now) <= now - since


@pytest.mark.parametrize(
    ("hearing", "after", "trusted"),
    [
        (Hearing(T0), 0, True),
        (Hearing(T0), LONGEST_SILENCE + CLOCK_SKEW, True),
        (Hearing(T0), LONGEST_SILENCE + CLOCK_SKEW + 1, False),
        (Hearing(T0 + HOUR, ((T0 - HOUR, T0),)), 2 * PLUGIN_INTERVAL - 1, False),
        (Hearing(T0 + HOUR, ((T0 - HOUR, T0),)), 2 * PLUGIN_INTERVAL, True),
        (Hearing(T0 + HOUR, ((T0 - DAY, T0 - HOUR), (T0 - 1, T0))), PLUGIN_INTERVAL, False),
        (DEAF, 0, False),
    ],
)
def test_silence_is_trusted_neither_in_a_gap_nor_shortly_after(hearing: Hearing, after: float, trusted: bool):
    assert hearing.trusted(T0 + after) is trusted


@given(seconds, st.lists(st.tuples(seconds, seconds), max_size=5))
def test_what_is_stored_comes_back(heard_at: float, gaps: list[tuple[float, float]]):
    hearing = Hearing(heard_at, tuple(gaps))
    assert from_value(json.loads(json.dumps(to_value(hearing)))) == hearing


# --- the record of it


async def test_before_the_first_canary_nothing_is_trusted():
    assert await canary.hearing(MemoryStore()) == DEAF


async def test_what_one_process_heard_another_reads():
    store = MemoryStore()
    assert await canary.heard(store, T0) == Hearing(T0, (BEFORE,))
    heard = await canary.heard(store, T0 + HOUR)
    assert heard == await canary.hearing(store) == Hearing(T0 + HOUR, (BEFORE, (T0, T0 + HOUR)))


async def test_before_the_first_canary_there_was_no_silence():
    store = MemoryStore()
    heard = await canary.heard(store, T0)
    assert heard.silence(T0 - DAY, T0 + MINUTE) == MINUTE
    assert not heard.trusted(T0 + MINUTE)


async def test_two_canaries_at_once_both_count():
    store = MemoryStore()
    await canary.heard(store, T0)
    read = asyncio.Barrier(2)

    async def both_read_first(name: str, moment: Moment) -> None:
        if (name, moment) == ("read", "after") and not done:
            await read.wait()
            done.append(True)

    done: list[bool] = []
    store.gate = both_read_first
    await asyncio.gather(canary.heard(store, T0 + MINUTE), canary.heard(store, T0 + 2 * MINUTE))
    assert await canary.hearing(store) == Hearing(T0 + 2 * MINUTE, (BEFORE,))


async def test_the_first_two_canaries_of_all_write_one_record():
    store = MemoryStore()
    store.fail_next("write", "conflict")
    assert await canary.heard(store, T0) == Hearing(T0, (BEFORE,))
    record = await store.read(RECORD)
    assert record is not None and isinstance(record, Record)


@pytest.mark.parametrize("name", ["read", "write"])
async def test_a_canary_that_the_store_did_not_take_is_not_heard(name: str):
    store = MemoryStore()
    await canary.heard(store, T0)
    store.fail_next(name, "before")
    with pytest.raises(StoreUnavailable):
        await canary.heard(store, T0 + HOUR)
    assert await canary.hearing(store) == Hearing(T0, (BEFORE,))


def test_instances_whose_clocks_differ_leave_no_gap_by_taking_turns():
    hearing = Hearing(0.0)
    for minute in range(1, 60):
        wrong = 2.5 * MINUTE if minute % 4 == 0 else -2.5 * MINUTE
        hearing = hearing.heard(1e6 + minute * MINUTE + wrong)
    assert hearing.trusted(1e6 + 60 * MINUTE)
    assert hearing.silence(1e6 + 10 * MINUTE, 1e6 + 60 * MINUTE) == 50 * MINUTE
