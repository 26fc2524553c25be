"""What a look writes besides the state: addresses, seals, and why something was taken away."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.sealing import KeyRing, new_key
from shared.domain import credentials
from shared.domain.errors import NotReady, VolumeGone
from shared.domain.hearing import Hearing
from shared.domain.leases import State
from shared.domain.look import look
from shared.domain.policy import DAY, HOUR, Policy
from shared.domain.reaper import reap
from tests.domain.rig import Rig, virtual
from tests.domain.steering import end


def hears(rig: Rig) -> Hearing:
    return Hearing(rig.clock.now())


@virtual
async def test_an_address_that_moved_is_written_at_the_daily_look_although_beats_come():
    rig = Rig()
    await rig.create()
    lease = rig.lease()
    status = rig.cluster.status

    async def moved(generation: str) -> object:
        return replace(await status(generation), address="192.0.2.7:30123")

    rig.cluster.status = moved  # type: ignore[method-assign, assignment]
    rig.clock.turn(DAY)
    await rig.put(replace(rig.lease(), beat_at=rig.clock.now()))
    looked = await look(rig.control, rig.lease(), "reaper", hearing=hears(rig))
    assert (looked.lease.state, looked.lease.address) == (State.RUNNING, "192.0.2.7:30123")
    assert looked.lease.revision == lease.revision + 1
    assert "192.0.2.7:30123" in await rig.create()


@virtual
async def test_a_look_that_finds_nothing_new_changes_nothing_that_its_owner_sees():
    rig = Rig()
    await rig.create()
    before = rig.lease()
    for heard in (False, True, False):  # who was heard from is not asked about
        rig.clock.turn(HOUR)
        if heard:
            await rig.put(replace(rig.lease(), beat_at=rig.clock.now()))
        looked = await look(rig.control, rig.lease(), "reaper", hearing=hears(rig))
    assert (looked.lease.address, looked.lease.revision) == (before.address, before.revision)
    assert looked.lease.step > before.step
    assert looked.lease.attempts == 0, "or the first act that fails would be tried again after minutes"


@virtual
async def test_silence_begins_when_a_database_runs_however_long_that_took():
    rig = Rig()
    await rig.create()
    asleep = await rig.move(State.WAKING, due_at=rig.clock.now())
    rig.clock.turn(HOUR)
    await look(rig.control, asleep, "look", wait=True)
    lease = rig.lease()
    assert lease.state is State.RUNNING and lease.beat_at > asleep.beat_at + HOUR
    assert lease.beat_at == lease.since


@virtual
async def test_what_is_left_of_a_life_holds_no_password_and_leads_nowhere():
    rig = Rig()
    await rig.create()
    await rig.put(replace(rig.lease(), adopts="spare-0/x", adopter="a b c"))
    await end(rig, purge=True)
    for _ in range(4):
        rig.clock.turn(6)
        await reap(rig.control, hears(rig))
    left = rig.lease()
    assert left.state is State.RELEASED
    assert (left.credentials, left.address, left.volume, left.adopts, left.adopter) == ("",) * 5


@virtual
async def test_a_look_seals_credentials_under_the_key_that_seals_now():
    rig = Rig()
    source = await rig.create()
    old, new = new_key(), new_key()
    lease = rig.lease()
    passwords = credentials.unseal(rig.control.sealer, lease)
    sealed = credentials.seal(KeyRing.parse(old), lease.owner, lease.generation, passwords)
    await rig.put(replace(lease, credentials=sealed))
    rig.control = replace(rig.control, sealer=KeyRing.parse(f"{new},{old}"))
    rig.clock.turn(HOUR)
    await look(rig.control, rig.lease(), "reaper", hearing=hears(rig))
    rig.control = replace(rig.control, sealer=KeyRing.parse(new))
    assert await rig.create() == source, "the old key can be dropped"


@virtual
async def test_credentials_whose_key_is_gone_are_left_as_they_are():
    rig = Rig()
    await rig.create()
    before = rig.lease().credentials
    rig.control = replace(rig.control, sealer=KeyRing.parse(new_key()))
    rig.clock.turn(HOUR)
    looked = await look(rig.control, rig.lease(), "reaper", hearing=hears(rig))
    assert (looked.lease.state, looked.lease.credentials) == (State.RUNNING, before)


@virtual
async def test_an_owner_whose_volume_somebody_else_removed_is_told_and_gets_a_new_database():
    rig = Rig()
    await rig.create()
    old = await rig.move(State.HIBERNATED)

    async def gone(*_: object) -> None:
        raise VolumeGone("the volume of it is gone")

    start, rig.cluster.start = rig.cluster.start, gone  # type: ignore[method-assign, assignment]
    with pytest.raises(NotReady, match="is gone"):
        await rig.create()
    assert (rig.lease().state, rig.lease().reason) == (State.FAILED, "the volume of it is gone")
    assert rig.lease().due_at == pytest.approx(rig.clock.now() + rig.control.policy.retention, abs=60)
    rig.cluster.start = start  # type: ignore[method-assign]
    await rig.create()
    assert rig.lease().generation != old.generation


async def idle(rig: Rig) -> None:
    for _ in range(4):
        rig.clock.turn(6 * HOUR)
        await reap(rig.control, hears(rig))


async def long_asleep(rig: Rig) -> None:
    await rig.move(State.HIBERNATED, due_at=rig.clock.now())
    rig.clock.turn(15 * DAY)
    await reap(rig.control, hears(rig))


async def failed_and_made_anew(rig: Rig) -> None:
    await rig.move(State.FAILED, ready_at=None)
    await rig.create()


async def not_to_be_woken(rig: Rig) -> None:
    rig.kubernetes.controllers.asleep = True
    lease = await rig.move(State.HIBERNATED)
    await rig.cluster.stop(lease.generation, lease.step)
    for item in rig.kubernetes.find("Pod"):
        rig.kubernetes.remove(item)
    await rig.move(State.WAKING, due_at=rig.clock.now())
    for _ in range(3):
        rig.clock.turn(HOUR)
        await reap(rig.control, hears(rig))


@pytest.mark.parametrize(
    ("story", "said"),
    [
        (idle, "is hibernating: no beat and no connection for 11.0 h; made 18.0 h ago"),
        (long_asleep, "is deleting: not used for 14.0 d"),
        (failed_and_made_anew, "is deleting: its owner asked for a new one"),
        (not_to_be_woken, "is hibernated: could not be woken: not ready within 600 s"),
    ],
)
@virtual
async def test_whatever_is_taken_away_is_logged_with_owner_age_evidence_and_reason(
    story, said: str, caplog: pytest.LogCaptureFixture
):
    rig = Rig(Policy(delete_without_archive=True))
    await rig.create()
    with caplog.at_level(logging.INFO, "playground.look"):
        await story(rig)
    lines = [line for line in caplog.messages if said in line]
    assert len(lines) == 1, caplog.messages
    assert lines[0].startswith("database of default/alice ")
    assert "last beat" in lines[0] and "evidence" in lines[0]


@virtual
async def test_while_a_look_acts_the_lease_is_nobody_else_s():
    rig = Rig(Policy(delete_without_archive=True))
    await rig.create()
    lease, delete, seen = await rig.move(State.HIBERNATED, due_at=rig.clock.now()), rig.cluster.delete, []
    rig.clock.turn(rig.control.policy.retention)

    async def deleted(*arguments: Any) -> bool:
        seen.append((rig.lease().state, rig.lease().due_at - rig.clock.now()))
        return await delete(*arguments)

    rig.cluster.delete = deleted  # type: ignore[method-assign]
    await look(rig.control, lease, "reaper", hearing=hears(rig))
    [(state, left)] = seen
    assert state is State.DELETING, "its owner sees it before it is done"
    assert left == pytest.approx(rig.control.policy.claim, abs=1)


@virtual
async def test_a_running_database_is_looked_at_once_a_day_whatever_its_grace():
    rig = Rig(Policy(grace=3 * DAY, hard_cap=4 * DAY))
    await rig.create()
    day = pytest.approx(rig.control.policy.unseen, abs=60)
    assert rig.lease().look_by - rig.clock.now() == day
    for _ in range(3):
        rig.clock.turn(2 * HOUR)
        looked = await look(rig.control, rig.lease(), "reaper", hearing=hears(rig))
        assert looked.lease.look_by - rig.clock.now() == day
        assert looked.lease.due_at <= looked.lease.look_by
    assert "within its grace" in looked.lease.reason, "which alone would let it be for longer"


@virtual
async def test_what_is_known_of_a_life_is_not_forgotten_when_it_sleeps_and_wakes():
    rig = Rig()
    await rig.create()
    first = rig.lease()
    rig.clock.turn(HOUR)
    await rig.put(replace(rig.lease(), used_at=first.used_at + 60))
    looked = await look(rig.control, await rig.move(State.HIBERNATED), "reaper", hearing=hears(rig))
    assert (looked.lease.state, looked.lease.used_at) == (State.HIBERNATED, first.used_at + 60)
    await look(rig.control, await rig.move(State.WAKING), "look", wait=True)
    assert rig.lease().state is State.RUNNING and rig.lease().ready_at == first.ready_at
