"""Spares are made ahead, made anew when they serve no more, and let go when nobody wants them."""

import asyncio
from dataclasses import replace

import pytest

from shared.domain import pool
from shared.domain.control import Pool
from shared.domain.leases import State
from shared.domain.policy import HOUR, MINUTE
from tests.domain.pools import filled, passes, spares
from tests.domain.rig import Rig, virtual


@virtual
async def test_a_pool_is_filled_and_stays_so():
    rig = await filled()
    again = await pool.refill(rig.control)
    assert (again.ready, again.begun, again.looked_at) == (2, 0, 0)
    await passes(rig, 5, 12 * HOUR)
    assert [spare.state for spare in spares(rig)] == [State.RUNNING] * 2, "time alone does nothing to a spare"
    assert len(rig.standing()) == 2


@virtual
async def test_two_passes_at_once_make_no_more_than_there_are_to_be():
    rig = Rig(pool=Pool(3, "today"))
    await asyncio.gather(*(pool.refill(rig.control) for _ in range(3)))
    assert len(spares(rig)) == len(rig.standing()) == 3


@virtual
async def test_a_pass_that_is_late_begins_no_second_life_in_a_slot():
    rig = Rig(pool=Pool(1, "today"))
    rig.kubernetes.controllers.waiting = ("ErrImagePull", "not found")
    reached, goes_on = asyncio.Event(), asyncio.Event()

    async def when_it_was_read(name: str, moment: str) -> None:
        if (name, moment) == ("of", "after") and not reached.is_set():
            reached.set()
            await goes_on.wait()

    rig.store.gate = when_it_was_read  # type: ignore[assignment]
    late = asyncio.create_task(pool.refill(rig.control))
    await reached.wait()
    await pool.refill(rig.control)
    [spare] = spares(rig)
    goes_on.set()
    assert (await late).begun == 0
    assert (spare.state, spares(rig)) == (State.PENDING, [spare])


@virtual
async def test_what_a_pass_left_that_died_is_nobodys_for_a_claim_and_the_next_pass_goes_on_with_it():
    rig = Rig(pool=Pool(1, "today"))
    rig.dies_at = 6
    task = asyncio.create_task(pool.refill(rig.control))
    await rig.died.wait()
    [spare] = spares(rig)
    assert (spare.state, spare.due_at) == (State.PENDING, spare.since + rig.control.policy.claim)
    assert (await pool.refill(rig.control)).looked_at == 0
    rig.clock.turn(31)
    assert (await pool.refill(rig.control)).looked_at == 1
    assert [each.state for each in spares(rig)] == [State.RUNNING]
    task.cancel()


@virtual
async def test_few_are_made_at_once_as_who_asks_for_a_database_comes_first():
    rig = Rig(pool=Pool(10, "today"))
    rig.kubernetes.controllers.waiting = ("ContainerCreating", "")
    task = asyncio.create_task(pool.refill(rig.control))
    await asyncio.sleep(5)
    assert len(spares(rig)) == pool.TOGETHER
    task.cancel()


@virtual
async def test_that_somebody_else_was_faster_is_no_failure():
    rig = Rig(pool=Pool(1, "today"))
    rig.store.fail_next("create", "conflict")
    done = await pool.refill(rig.control)
    assert (done.begun, done.failed) == (0, 0)
    await pool.refill(rig.control)
    rig.clock.turn(HOUR)
    rig.store.fail_next("replace", "conflict")
    done = await pool.refill(rig.control)
    assert (done.ready, done.looked_at, done.failed) == (1, 1, 0)


@virtual
async def test_where_there_is_no_pool_nothing_is_made_and_no_create_asks_for_one():
    rig = Rig()
    assert (await pool.refill(rig.control)).begun == 0
    await rig.create()
    assert rig.calls["of"] == 1 and len(rig.standing()) == 1, "the pass asked, the create did not"


@virtual
async def test_a_spare_that_serves_no_more_is_replaced():
    rig = await filled()
    broken = spares(rig)[0]
    rig.kubernetes.remove(rig.kubernetes.objects["StatefulSet", f"pg-{broken.generation}"])
    await passes(rig, 4, HOUR)
    assert broken.generation not in [spare.generation for spare in spares(rig)]
    assert [spare.state for spare in spares(rig)] == [State.RUNNING] * 2
    assert len(rig.standing()) == len(rig.standing("PersistentVolumeClaim")) == 2


@virtual
async def test_spares_of_an_older_template_go_and_others_come():
    rig = await filled()
    before = {spare.generation for spare in spares(rig)}
    rig.control = replace(rig.control, pool=Pool(2, "tomorrow"))
    await rig.create()
    assert rig.lease().generation not in before, "nobody is given what is not made as it is made today"
    rig.clock.turn(pool.LEFT_ALONE)
    await passes(rig)
    assert not before & {spare.generation for spare in spares(rig)}
    assert [(spare.state, spare.template) for spare in spares(rig)] == [(State.RUNNING, "tomorrow")] * 2
    assert len(rig.standing("PersistentVolumeClaim")) == 3


@virtual
@pytest.mark.parametrize("other", [Pool(2, "tomorrow"), Pool(0, "today")])
async def test_while_two_releases_differ_neither_undoes_at_once_what_the_other_has_made(other: Pool):
    rig, begun = await filled(), 0
    today = rig.control
    for _ in range(120):
        for each in (replace(today, pool=other), today):
            rig.clock.turn(5)
            begun += (await pool.refill(each)).begun
    minutes = 120 * 10 / MINUTE
    assert 2 < begun <= 2 * 2 * minutes / (pool.LEFT_ALONE / MINUTE)
    await passes(rig, 40, 10)
    assert [(spare.state, spare.template) for spare in spares(rig)] == [(State.RUNNING, "today")] * 2
    assert len(rig.standing()) == 2


@virtual
async def test_a_smaller_pool_lets_the_last_ones_go():
    rig = await filled(3)
    rig.clock.turn(pool.LEFT_ALONE)
    rig.control = replace(rig.control, pool=Pool(1, "today"))
    await passes(rig)
    assert [spare.id for spare in spares(rig)] == ["spare-0"]
    rig.control = replace(rig.control, pool=Pool(0, "today"))
    await passes(rig)
    assert spares(rig) == [] and rig.standing() == rig.standing("PersistentVolumeClaim") == []


@virtual
async def test_a_spare_that_never_becomes_ready_is_made_anew_when_it_can_be():
    rig = Rig(pool=Pool(1, "today"))
    rig.kubernetes.controllers.waiting = ("ErrImagePull", "not found")
    first, second = [await pool.refill(rig.control) for _ in range(2)]
    assert (first.begun, first.failed, second.ready) == (1, 1, 0)
    await passes(rig, 20, 60)
    rig.kubernetes.controllers.waiting = None
    await passes(rig, 20, 60)
    [spare] = spares(rig)
    assert spare.state is State.RUNNING and len(rig.standing("PersistentVolumeClaim")) == 1
