"""Refusals are counted and written once a minute, in bounds, and wait for a store that is away."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain.acting import Acting, acting
from shared.domain.errors import StoreUnavailable
from shared.domain.leases import Event
from shared.domain.policy import MINUTE
from shared.domain.refusals import MOST, OTHERS, TENANT, Refusal, Refusals
from tests.domain.rig import LoopClock, virtual

REFUSAL = Refusal("create_db", "not-found", "spiffe://x/tenant/t/user/eve", "ab")


class Written:
    """What `Audit.add` was given; `away` while it cannot be reached."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.calls, self.away, self.seconds = 0, False, 0.0
        self.behind: set[Acting] = set()

    async def add(self, events: list[Event]) -> None:
        self.calls += 1
        self.behind.add(acting.get())
        await asyncio.sleep(self.seconds)
        if self.away:
            raise StoreUnavailable("gone")
        self.events += events


def times(written: Written) -> int:
    """How many refusals the lines stand for."""
    return sum(int(event.reason.rpartition(", ")[2].removesuffix(" x")) for event in written.events)


@virtual
async def test_a_storm_of_one_kind_is_one_line_a_minute():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    for second in range(180):
        for number in range(50):
            refusals.count(REFUSAL, "trace" if not second % 60 and not number else "a later one")
        await asyncio.sleep(1)
    await refusals.close()
    assert times(written) == 9000
    assert len(written.events) <= 7
    event = written.events[0]
    assert (event.owner.tenant, event.lease, event.after, event.by, event.serial, event.trace) == (
        TENANT, "create_db", "refused", REFUSAL.by, "ab", "trace")  # fmt: skip
    assert event.reason.startswith("not-found, ") and event.at % MINUTE == 0
    assert len({event.id for event in written.events}) == len(written.events)


@virtual
async def test_more_kinds_than_there_is_room_for_are_counted_together():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    refusals.count(REFUSAL)
    for number in range(10 * MOST):
        refusals.count(Refusal("create_db", "not-authenticated", digest=f"{number}"))
    refusals.count(REFUSAL)
    await refusals.close()
    assert len(written.events) == MOST + 1 and written.events[0].reason == "not-found, 2 x"
    others = [event for event in written.events if event.lease == OTHERS.action]
    assert [event.reason for event in others] == [f"{OTHERS.reason}, {9 * MOST + 1} x"]


@virtual
async def test_what_could_not_be_written_is_written_later_and_no_more_than_there_is_room_for():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    written.away = True
    for _ in range(5):
        refusals.count(REFUSAL)
        await asyncio.sleep(60)
    written.away = False
    await asyncio.sleep(61)
    assert len(written.events) == 5
    written.away = True
    for _ in range(60):
        refusals.count(REFUSAL)
        await asyncio.sleep(60)
    written.away = False
    await refusals.close()
    assert 5 < len(written.events) <= 5 + 12


@virtual
async def test_what_is_counted_while_the_store_fails_is_not_lost_over_what_failed():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    written.away, written.seconds = True, 5.0
    refusals.count(REFUSAL, "first")
    writing = asyncio.create_task(refusals.flush())
    await asyncio.sleep(1)
    refusals.count(REFUSAL, "second")
    refusals.count(replace(REFUSAL, by="spiffe://x/tenant/t/user/mallory"))
    with pytest.raises(StoreUnavailable):
        await writing
    written.away = False
    await refusals.close()
    assert times(written) == 3
    assert "first" in {event.trace for event in written.events}


@virtual
async def test_the_end_of_the_process_breaks_no_write_off():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    written.seconds = 5.0
    refusals.count(REFUSAL)
    await asyncio.sleep(61)
    refusals.count(REFUSAL)
    await refusals.close()
    assert times(written) == 2


@virtual
async def test_what_many_were_refused_is_written_as_part_of_nobodys_request():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    before = acting.set(Acting(trace="of who was refused first"))
    refusals.count(REFUSAL)
    acting.reset(before)
    await asyncio.sleep(61)
    assert written.behind == {Acting()}


@virtual
async def test_where_nothing_is_refused_nothing_runs_and_nothing_is_written():
    written = Written()
    refusals = Refusals(written.add, LoopClock())
    refusals.count(REFUSAL)
    await asyncio.sleep(3600)
    assert written.calls == 1 and len(asyncio.all_tasks()) == 1
    await refusals.close()
    assert written.calls == 1
