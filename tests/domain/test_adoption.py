"""Each step of giving a spare away: what it writes, and what is told of a spare that somebody is half-way to."""

from dataclasses import replace

import pytest

from shared.domain import adoption, credentials, databases, pool
from shared.domain.control import Pool
from shared.domain.leases import SPARES, Lease, Owner, State
from shared.domain.lifecycle import Spare
from tests.domain.rig import Rig, virtual
from tests.samples import ALICE

BOB = Owner("default", "bob")


async def filled(size: int = 2) -> tuple[Rig, list[Lease]]:
    rig = Rig(pool=Pool(size, "today"))
    await pool.refill(rig.control)
    return rig, [spare(rig, number) for number in range(size)]


def spare(rig: Rig, number: int = 0) -> Lease:
    found = rig.store.peek(SPARES, f"spare-{number}")
    assert found is not None
    return found


def named(spare: Lease) -> str:
    return f"{spare.id}/{spare.generation}"


async def begun(rig: Rig, adopts: str, owner: Owner = ALICE) -> Lease:
    """A new life that is to adopt that spare, as the first step leaves it."""
    now = rig.clock.now()
    made = databases.new_life(rig.control, owner, None, now, now + 30)
    return await databases.begin(rig.store, None, replace(made, adopts=adopts), now, "test")


@virtual
async def test_lives_that_begin_together_are_offered_different_spares():
    rig, _ = await filled(8)
    owners = [Owner("default", f"user-{number}") for number in range(40)]
    lives = [databases.new_life(rig.control, owner, None, 0.0, 0.0) for owner in owners]
    assert {await adoption.offered(rig.control, life) for life in lives} == {named(spare(rig, n)) for n in range(8)}


@virtual
async def test_who_adopts_has_all_of_the_spare_under_a_step_above_all_of_its_own():
    rig, [given, other] = await filled()
    given = await rig.put(replace(given, step=50))
    before = await begun(rig, named(given))
    lease = await adoption.adopted(rig.control, before)
    taken = spare(rig)
    assert (lease.generation, lease.volume, lease.state) == (given.generation, given.volume, State.PENDING)
    assert lease.volume and lease.step == taken.step + 1 == 52, "an act of the spare that comes late is fenced off"
    assert credentials.unseal(rig.control.sealer, lease) == credentials.unseal(rig.control.sealer, given)
    assert taken.adopter == f"{ALICE.key} database {before.generation}"
    assert spare(rig, 1) == other
    assert rig.lease() == lease


@virtual
async def test_who_has_a_spare_is_given_no_other_one():
    rig, [given, other] = await filled()
    lease = await adoption.adopted(rig.control, await begun(rig, named(given)))
    assert await adoption.adopted(rig.control, lease) == lease == rig.lease()
    assert spare(rig, 1) == other


@virtual
async def test_who_died_when_the_spare_was_taken_goes_on_with_that_one():
    rig, [given, other] = await filled()
    before = await begun(rig, named(given))
    await adoption.adopted(rig.control, before)
    lost = await rig.put(replace(before, etag=""))  # and the slot was not written yet
    assert (await adoption.adopted(rig.control, lost)).generation == given.generation
    assert spare(rig, 1) == other


@virtual
async def test_a_spare_of_which_another_one_has_the_place_by_now_is_not_meant():
    rig, [new] = await filled(1)
    lease = await adoption.adopted(rig.control, await begun(rig, f"spare-0/{'x' * 20}"))
    assert (lease.generation, lease.adopts) == (new.generation, named(new))
    assert await adoption.adopted(rig.control, lease) == lease


@virtual
async def test_who_was_too_slow_every_time_begins_a_life_of_its_own_and_adopts_nothing_later(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(adoption, "TRIES", 1)
    rig, [given, free] = await filled()
    await adoption.adopted(rig.control, await begun(rig, named(given), BOB))
    before = await begun(rig, named(given))
    lease = await adoption.adopted(rig.control, before)
    assert (lease.generation, lease.adopts) == (before.generation, "")
    assert spare(rig, 1) == free


@pytest.mark.parametrize("state", [State.PENDING, State.DELETING, State.FAILED])
@virtual
async def test_a_spare_that_does_not_serve_is_given_to_nobody(state: State):
    rig, [given] = await filled(1)
    await rig.put(replace(given, state=state))
    assert await adoption.offered(rig.control, await begun(rig, "")) == ""
    lease = await adoption.adopted(rig.control, await begun(rig, named(given), BOB))
    assert lease.generation != given.generation and spare(rig).adopter == ""


OWN, OTHER = "o" * 20, "x" * 20  # generations of lives of the adopter's slot


@pytest.mark.parametrize(
    ("state", "generation", "adopts", "adopted"),
    [
        (State.PENDING, OWN, True, None),  # on its way
        (State.PENDING, OWN, False, False),  # it was given another one
        (State.PENDING, OTHER, True, False),  # a later life, of which the spare knows nothing
        (State.DELETING, OWN, True, False),  # its owner ended it
        (State.PENDING, "", True, True),
        (State.RUNNING, "", False, True),
        (State.DELETING, "", False, True),  # that deletes what was the spare
    ],
)
@virtual
async def test_a_spare_waits_for_who_may_still_come_and_for_nobody_else(
    state: State, generation: str, adopts: bool, adopted: bool | None
):
    rig, [given] = await filled(1)
    given = await rig.put(replace(given, adopter=f"{ALICE.key} database {OWN}"))
    assert await adoption.observe(rig.control, given) == Spare(adopted=False), "there is no slot"
    slot = await begun(rig, named(given) if adopts else "spare-1/y")
    await rig.put(replace(slot, state=state, generation=generation or given.generation))
    assert await adoption.observe(rig.control, given) == Spare(adopted=adopted)
