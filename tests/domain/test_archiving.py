"""Storage goes only when what it held is stored, and the owner's next database begins with that."""

import asyncio
import base64
import logging
from collections import Counter
from dataclasses import replace

import pytest

from shared.adapters.sealing import KeyRing, new_key
from shared.domain import archiving, databases
from shared.domain.databases import ID
from shared.domain.errors import ArchiveUnavailable, NotAllowed, NotReady, SealBroken
from shared.domain.hearing import Hearing
from shared.domain.leases import Owner, State
from shared.domain.look import look_now
from shared.domain.policy import DAY, HOUR, Policy
from shared.domain.reaper import reap
from tests.domain.rig import Rig, virtual
from tests.domain.steering import end, hold, pass_by
from tests.samples import ALICE

POLICY = Policy(archives=True)


async def used(rig: Rig) -> str:
    """A database that holds a row; its first generation."""
    await rig.create()
    generation = rig.lease().generation
    rig.kubernetes.controllers.server(generation).execute("a row")
    return generation


async def asleep(rig: Rig) -> str:
    generation = await used(rig)
    for _ in range(5):
        await pass_by(rig, 12 * HOUR)
    assert rig.lease().state is State.HIBERNATED
    return generation


async def until(rig: Rig, *states: State) -> None:
    """Passes of the reaper, seconds apart, until the lease is in one of these states."""
    for _ in range(20):
        if rig.lease().state in states:
            return
        await pass_by(rig, 6)
    raise AssertionError(f"still {rig.lease()}")


async def archived(rig: Rig) -> str:
    """A lease that is released, its content stored."""
    generation = await asleep(rig)
    await pass_by(rig, rig.control.policy.retention)
    await until(rig, State.RELEASED)
    return generation


def rows(rig: Rig) -> list[str]:
    return rig.kubernetes.controllers.server(rig.lease().generation).data


@virtual
async def test_when_retention_is_over_it_is_stored_and_only_then_deleted():
    rig = Rig(POLICY)
    await archived(rig)
    moves = await rig.moves()
    assert moves[-4:] == [
        ("hibernating", "hibernated"), ("hibernated", "archiving"), ("archiving", "deleting"), ("deleting", "released")
    ]  # fmt: skip
    lease = rig.lease()
    assert lease.archive is not None and lease.archive.stored
    assert rig.kubernetes.archives == {lease.archive.name: ["a row"]}
    assert lease.archive.until == pytest.approx(rig.clock.now() + POLICY.kept, abs=60)
    assert lease.gone_at == lease.archive.until, "the tombstone remembers it as long as it is kept"
    assert [deletion.data for deletion in rig.kubernetes.deletions] == [("a row",)]
    assert rig.standing() == rig.standing("Secret") == rig.standing("PersistentVolumeClaim") == []


@virtual
async def test_a_pass_counts_what_was_archived_apart_from_what_was_deleted():
    rig = Rig(POLICY)
    await asleep(rig)
    await pass_by(rig, POLICY.retention)
    counted: Counter[str] = Counter()
    while rig.lease().state is not State.RELEASED:
        rig.clock.turn(6)
        counted.update((await reap(rig.control, Hearing(rig.clock.now()))).as_dict())
    assert (counted["archived"], counted["deleted"], counted["released"]) == (1, 0, 1)


@virtual
async def test_the_next_database_of_its_owner_begins_with_what_was_stored():
    rig = Rig(POLICY)
    first = await archived(rig)
    rig.clock.turn(29 * DAY)
    await rig.create()
    lease = rig.lease()
    assert lease.generation != first and rows(rig) == ["a row"]
    assert lease.archive is None, "what it began with is its own now"
    assert rig.standing("Secret") == [f"pg-{lease.generation}"], "the key of the archive is not left on the cluster"
    await rig.create()
    assert rows(rig) == ["a row"], "and is restored once"


@virtual
async def test_what_is_no_longer_kept_is_not_asked_for():
    rig = Rig(POLICY)
    await archived(rig)
    rig.clock.turn(POLICY.kept)
    await rig.create()
    assert rows(rig) == []


@virtual
async def test_what_is_kept_for_less_long_than_a_tombstone_is_not_asked_for_either():
    rig = Rig(replace(POLICY, kept=DAY))
    await archived(rig)
    rig.clock.turn(DAY + 1)
    assert rig.lease().archive is not None, "the tombstone still names it"
    await rig.create()
    assert rows(rig) == []


@pytest.mark.parametrize("how", ["a beat", "create_db"])
@virtual
async def test_whoever_uses_it_while_it_is_stored_has_it_back(how: str):
    rig = Rig(POLICY)
    generation = await asleep(rig)
    rig.kubernetes.controllers.asleep = True  # its pod does not come to anything
    await pass_by(rig, POLICY.retention)
    assert rig.lease().state is State.ARCHIVING
    rig.kubernetes.controllers.asleep = False
    if how == "a beat":
        beat = await databases.beat(rig.store, rig.looks, rig.clock, POLICY, ALICE)
        assert (beat.renewed, beat.state) == (True, "waking")
        await look_now(rig.control, *rig.looks.posted[-1])
    else:
        await rig.create()
    lease = rig.lease()
    assert (lease.state, lease.generation, lease.archive) == (State.RUNNING, generation, None)
    assert rows(rig) == ["a row"]
    [workload] = rig.kubernetes.find("StatefulSet")
    assert [container["name"] for container in workload["spec"]["template"]["spec"]["containers"]] == ["mariadb"]
    assert "initContainers" not in workload["spec"]["template"]["spec"]


@virtual
async def test_one_that_fails_deletes_nothing_tells_an_operator_and_is_tried_again_in_a_day(
    caplog: pytest.LogCaptureFixture,
):
    rig = Rig(POLICY)
    await asleep(rig)
    rig.kubernetes.controllers.broken_tasks = "no room on the disk"
    with caplog.at_level(logging.ERROR, "playground.look"):
        await pass_by(rig, POLICY.retention)
        for _ in range(10):
            await pass_by(rig, 60)
    lease = rig.lease()
    assert (lease.state, lease.archive) == (State.ARCHIVING, None)
    assert lease.reason == "kept, as it could not be archived: archiver failed: no room on the disk"
    assert [record.levelname for record in caplog.records] == ["ERROR"] and "no room on the disk" in caplog.text
    assert rig.kubernetes.find("Pod") == [], "no pod of it goes on failing"
    rig.kubernetes.controllers.broken_tasks = ""
    await pass_by(rig, DAY)
    await until(rig, State.RELEASED)
    assert list(rig.kubernetes.archives.values()) == [["a row"]]


@virtual
async def test_what_takes_longer_than_its_credential_lives_has_failed():
    rig = Rig(POLICY)
    await asleep(rig)
    rig.kubernetes.controllers.asleep = True
    await pass_by(rig, POLICY.retention)
    await pass_by(rig, POLICY.task)
    rig.kubernetes.controllers.asleep = False
    for _ in range(3):
        await pass_by(rig, 60)
    assert rig.lease().reason == "kept, as it could not be archived: it took longer than 60 min"


@virtual
async def test_what_is_not_there_any_more_when_its_storage_is_to_go_is_stored_again(caplog: pytest.LogCaptureFixture):
    rig = Rig(POLICY)
    await asleep(rig)
    await pass_by(rig, POLICY.retention)
    while not (rig.lease().archive and rig.lease().archive.stored):  # type: ignore[union-attr]
        await pass_by(rig, 6)
    rig.kubernetes.archives.clear()
    for _ in range(5):
        await pass_by(rig, 6)
    assert rig.lease().state is State.ARCHIVING and rig.kubernetes.deletions == []
    assert rig.lease().reason == "kept, as what was archived is not what is there now"
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == [
        "database of default/alice: kept, as what was archived is not what is there now"
    ]
    await pass_by(rig, DAY)
    await until(rig, State.RELEASED)
    assert list(rig.kubernetes.archives.values()) == [["a row"]]


@virtual
async def test_while_nobody_can_say_whether_it_is_there_nothing_is_deleted():
    rig = Rig(POLICY)
    await asleep(rig)
    await pass_by(rig, POLICY.retention)
    while not (rig.lease().archive and rig.lease().archive.stored):  # type: ignore[union-attr]
        await pass_by(rig, 6)
    rig.archives.trouble = ArchiveUnavailable("it does not answer")
    for _ in range(10):
        await pass_by(rig, HOUR)
    assert rig.lease().state is State.ARCHIVING and rig.kubernetes.deletions == []
    rig.archives.trouble = None
    await pass_by(rig, HOUR)
    await until(rig, State.RELEASED)


@virtual
async def test_what_its_owner_holds_is_not_archived():
    rig = Rig(POLICY)
    await asleep(rig)
    rig.kubernetes.controllers.asleep = True
    await pass_by(rig, POLICY.retention)
    assert rig.lease().state is State.ARCHIVING
    await hold(rig, rig.clock.now() + 2 * DAY)
    rig.kubernetes.controllers.asleep = False
    await pass_by(rig, 60)
    lease = rig.lease()
    assert (lease.state, lease.archive) == (State.HIBERNATED, None) and lease.reason.startswith("held until ")
    await pass_by(rig, 3 * DAY)
    assert rig.lease().state is State.HIBERNATED and rig.kubernetes.deletions == []


@virtual
async def test_an_end_without_purge_stores_what_runs_and_no_beat_brings_it_back():
    rig = Rig(POLICY)
    await used(rig)
    lease = await end(rig, purge=False)
    assert (lease.state, lease.ended) == (State.ARCHIVING, True) and rig.looks.posted == [(ALICE, ID)]
    assert await end(rig, purge=False) == lease, "twice is as good as once"
    beat = await databases.beat(rig.store, rig.looks, rig.clock, POLICY, ALICE)
    assert (beat.renewed, beat.state, beat.expires_at) == (False, "archiving", lease.since)
    await until(rig, State.RELEASED)
    assert list(rig.kubernetes.archives.values()) == [["a row"]]
    await rig.create()
    assert rows(rig) == ["a row"] and not rig.lease().ended


@virtual
async def test_what_is_ended_is_not_held():
    rig = Rig(POLICY)
    await used(rig)
    await end(rig, purge=False)
    with pytest.raises(NotAllowed, match="only a create_db brings it back"):
        await hold(rig, rig.clock.now() + DAY)


@virtual
async def test_an_archive_is_bound_to_its_owner_and_its_try():
    rig = Rig(POLICY)
    await archived(rig)
    lease = rig.lease()
    assert lease.archive is not None
    task = await archiving.to_fetch(rig.control, lease, lease.archive)
    assert task.context == f"{ALICE.key} {lease.archive.name}" and len(base64.b64decode(task.key)) == 32
    stranger = replace(lease, owner=Owner("default", "mallory"))
    with pytest.raises(SealBroken):
        await archiving.to_fetch(rig.control, stranger, lease.archive)
    with pytest.raises(SealBroken):
        await archiving.to_fetch(rig.control, lease, replace(lease.archive, name="another"))


@virtual
async def test_who_asks_for_a_database_after_its_end_was_asked_for_has_it_back():
    rig = Rig(POLICY)
    generation = await used(rig)
    await end(rig, purge=False)
    await rig.create()
    assert (rig.lease().generation, rig.lease().ended, rows(rig)) == (generation, False, ["a row"])


@virtual
async def test_a_life_that_never_was_ready_has_nothing_to_store():
    rig = Rig(POLICY)
    rig.kubernetes.controllers.full = "no node"
    with pytest.raises(NotReady):
        await rig.create()
    assert (await end(rig, purge=False)).state is State.DELETING


@virtual
async def test_purge_gives_up_what_was_stored():
    rig = Rig(POLICY)
    await archived(rig)
    revision = rig.lease().revision
    lease = await end(rig, purge=True)
    assert (lease.state, lease.archive, lease.revision) == (State.RELEASED, None, revision + 1)
    await rig.create()
    assert rows(rig) == []


@virtual
async def test_an_archive_that_cannot_be_fetched_is_told_and_no_empty_database_takes_its_place():
    rig = Rig(POLICY)
    await archived(rig)
    [name] = rig.kubernetes.archives
    rig.kubernetes.archives[name] = ["somebody else's"]
    with pytest.raises(NotReady, match="fetch failed: it is not what was stored"):
        await rig.create()
    assert rig.lease().state is State.PENDING and rig.lease().archive is not None
    rig.clock.turn(POLICY.start_timeout + POLICY.task)
    await reap(rig.control, Hearing(rig.clock.now()))
    assert rig.lease().state is State.FAILED
    rig.kubernetes.archives[name] = ["a row"]
    await rig.create()
    assert rows(rig) == ["a row"], "the next life in the slot has it still"


@virtual
async def test_the_key_of_an_archive_is_sealed_under_the_key_that_seals_now():
    rig = Rig(POLICY)
    old, new = new_key(), new_key()
    rig.control = replace(rig.control, sealer=KeyRing.parse(old))
    await asleep(rig)
    rig.kubernetes.controllers.asleep = True
    await pass_by(rig, POLICY.retention)
    rig.kubernetes.controllers.asleep = False
    rig.control = replace(rig.control, sealer=KeyRing.parse(f"{new},{old}"))
    await until(rig, State.DELETING, State.RELEASED)
    rig.control = replace(rig.control, sealer=KeyRing.parse(new))
    await until(rig, State.RELEASED)
    await rig.create()
    assert rows(rig) == ["a row"]


@pytest.mark.slow
@virtual
async def test_whoever_stores_it_may_die_at_any_moment_and_the_next_look_goes_on():
    awaits = 0
    for dies_at in range(1, 400):
        rig = Rig(POLICY)
        await asleep(rig)
        rig.clock.turn(POLICY.retention)
        begun = rig.awaits
        rig.dies_at = begun + dies_at
        work = asyncio.ensure_future(store_all(rig))
        died = asyncio.ensure_future(rig.died.wait())
        await asyncio.wait([work, died], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            awaits = dies_at
            died.cancel()
            break
        work.cancel()
        rig.dies_at = None
        for _ in range(30):
            if rig.lease().state is State.RELEASED:
                break
            await pass_by(rig, 40)
        assert list(rig.kubernetes.archives.values())[-1] == ["a row"], f"died at {dies_at}"
        await rig.create()
        assert rows(rig) == ["a row"], f"died at {dies_at}"
        assert rig.kubernetes.most_at_once[ALICE.key] == 1
    assert awaits > 30, "all of them were tried"


async def store_all(rig: Rig) -> None:
    for _ in range(12):
        await reap(rig.control, Hearing(rig.clock.now()))
        rig.clock.turn(6)
    assert rig.lease().state is State.RELEASED
