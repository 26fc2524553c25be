"""What the cluster has and what the store says, compared: little is done at once, and no volume goes."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.items import slot
from shared.adapters.k8s.databases import Databases
from shared.domain.errors import ClusterUnavailable, Conflict, StoreUnavailable
from shared.domain.hearing import DEAF
from shared.domain.leases import Lease, Owner, State
from shared.domain.policy import DAY, HOUR, MINUTE
from shared.domain.reconcile import AGAIN, YOUNG, Compared, reconcile
from shared.manifests.mariadb import Spec
from shared.ports.cluster import Status, Workload
from tests.domain.rig import Rig, virtual
from tests.samples import T0, a_lease


async def orphaned(rig: Rig, user: str = "ghost") -> str:
    """A workload with data whose lease the store has lost; its generation."""
    owner = Owner("default", user)
    await rig.create(owner)
    lease = rig.lease(owner)
    rig.kubernetes.controllers.server(lease.generation).execute("precious")
    rig.store._leases.clear()
    return lease.generation


def replicas(rig: Rig, generation: str) -> int:
    return int(rig.kubernetes.objects["StatefulSet", f"pg-{generation}"]["spec"]["replicas"])


async def compare(rig: Rig, turn: float = 0.0) -> Compared:
    rig.clock.turn(turn)
    return await reconcile(rig.control, DEAF)


@virtual
async def test_where_both_agree_nothing_is_touched():
    rig = Rig()
    await rig.create()
    before, history = rig.lease(), len(rig.kubernetes._history)
    assert await compare(rig, 2 * HOUR) == Compared(workloads=1, leases=1)
    assert rig.lease() == before
    assert len(rig.kubernetes._history) == history


@virtual
async def test_an_orphan_is_marked_in_one_pass_and_stopped_in_a_later_one():
    rig = Rig()
    generation = await orphaned(rig)
    assert (await compare(rig, YOUNG)).orphans == 1
    assert replicas(rig, generation) == 1
    assert (await compare(rig, AGAIN - 1)).orphans == 0
    assert replicas(rig, generation) == 1
    assert (await compare(rig, 2)).orphans == 1
    assert replicas(rig, generation) == 0


@virtual
async def test_a_stopped_orphan_is_left_alone_with_its_volume():
    rig = Rig()
    await orphaned(rig)
    for turn in (YOUNG, AGAIN, AGAIN, 30 * DAY, 365 * DAY):
        await compare(rig, turn)
    assert (await compare(rig, DAY)).orphans == 0
    assert list(rig.kubernetes.volumes.values()) == [["precious"]]
    assert rig.kubernetes.deletions == []


@virtual
async def test_what_is_young_may_belong_to_a_lease_that_is_being_written():
    rig = Rig()
    generation = await orphaned(rig)
    assert (await compare(rig, YOUNG - MINUTE)).orphans == 0
    assert "playground.dev/orphan-since" not in str(rig.kubernetes.objects["StatefulSet", f"pg-{generation}"])


@pytest.mark.parametrize("kind", ["another life", "a tombstone", "another id"])
@virtual
async def test_a_lease_of_something_else_is_no_lease_of_it(kind: str):
    rig = Rig()
    generation = await orphaned(rig, "alice")
    other = {
        "another life": a_lease(State.HIBERNATED, generation="b" * 20),
        "a tombstone": a_lease(State.RELEASED, generation=generation, gone_at=T0 + 30 * DAY),
        "another id": a_lease(State.HIBERNATED, generation=generation, id="session"),
    }[kind]
    await rig.put(other)
    assert (await compare(rig, YOUNG)).orphans == 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.RELEASED])
@virtual
async def test_a_lease_in_any_other_state_keeps_its_workload(state: State):
    rig = Rig()
    await rig.create()
    await rig.move(state)
    assert (await compare(rig, YOUNG)).orphans == 0


@virtual
async def test_an_orphan_whose_lease_is_back_is_started_again_as_if_nothing_was():
    rig = Rig()
    await rig.create()
    lease = rig.lease()
    rig.store._leases.clear()
    await compare(rig, YOUNG)
    await rig.put(lease)
    assert (await compare(rig, AGAIN)).orphans == 0
    assert replicas(rig, lease.generation) == 1


@virtual
async def test_what_another_control_plane_made_is_not_seen():
    rig = Rig()
    generation = await orphaned(rig)
    others = replace(rig.control, cluster=Databases(rig.kubernetes, Spec(image="mariadb"), "another"))
    rig.clock.turn(YOUNG)
    for _ in range(3):
        assert await reconcile(others, DEAF) == Compared()
        rig.clock.turn(AGAIN)
    assert replicas(rig, generation) == 1


@virtual
async def test_a_lease_whose_workload_is_gone_is_looked_at_although_it_beats():
    rig = Rig()
    await rig.create()
    rig.kubernetes.remove(rig.kubernetes.objects["StatefulSet", f"pg-{rig.lease().generation}"])
    await rig.kubernetes.settle()
    assert (await compare(rig, 10)).missing == 1
    assert (await rig.moves())[2:] == [("running", "waking"), ("waking", "running")]
    assert replicas(rig, rig.lease().generation) == 1


@virtual
async def test_a_workload_that_somebody_stopped_is_started_again():
    rig = Rig()
    await rig.create()
    generation = rig.lease().generation
    await rig.cluster.stop(generation, rig.lease().step)
    assert (await compare(rig)).missing == 1
    assert replicas(rig, generation) == 1


@pytest.mark.parametrize("state", [State.HIBERNATED, State.PENDING, State.DELETING, State.FAILED, State.WAKING])
@virtual
async def test_a_lease_that_promises_no_workload_misses_none(state: State):
    rig = Rig()
    await rig.put(a_lease(state))
    assert (await compare(rig)).missing == 0


# --- how much at once, and what fails: on a cluster that is nothing but a list


class Listed:
    """Workloads, and which of them were marked."""

    def __init__(self, workloads: list[Workload]):
        self.listed = workloads
        self.marked: list[str] = []
        self.fails: dict[str, Exception] = {}

    async def workloads(self) -> AsyncIterator[Workload]:
        for workload in self.listed:
            yield workload

    async def mark_orphan(self, workload: Workload, now: float) -> None:
        if workload.generation in self.fails:
            raise self.fails[workload.generation]
        self.marked.append(workload.generation)

    async def status(self, generation: str) -> Status:
        return Status(exists=True, replicas=1, pods=1, ready=True, address="h:3306", step=99)


async def arrange(rig: Rig, agree: int, orphans: int, missing: int) -> tuple[Any, Listed]:
    """So many of each; a control over them."""
    workloads = []
    for number in range(agree + orphans):
        owner = Owner("default", f"user-{number}")
        lease = await rig.put(a_lease(owner=owner, generation=f"{number:020}"))
        workloads.append(Workload(owner, lease.id, lease.generation, 1, T0 - DAY, None))
        if number >= agree:
            del rig.store._leases[slot(owner, lease.id)]
    for number in range(missing):
        owner = Owner("default", f"missing-{number}")
        await rig.put(a_lease(owner=owner, generation=f"m{number:019}"))
    listed = Listed(workloads)
    return replace(rig.control, cluster=listed), listed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("agree", "orphans", "marked"),
    [(0, 3, 3), (0, 4, 0), (1, 2, 2), (50, 3, 3), (75, 5, 0), (95, 5, 5), (190, 10, 10), (189, 11, 0)],
)
@virtual
async def test_more_orphans_than_three_and_a_twentieth_of_all_are_not_believed(
    agree: int, orphans: int, marked: int, caplog: pytest.LogCaptureFixture
):
    rig = Rig()
    control, listed = await arrange(rig, agree, orphans, 0)
    compared = await reconcile(control, DEAF)
    assert (compared.orphans, compared.stopped) == (orphans, marked < orphans)
    assert len(listed.marked) == marked
    assert any(record.levelno == logging.ERROR for record in caplog.records) == compared.stopped


@pytest.mark.parametrize(("missing", "looked_at"), [(3, 3), (4, 3), (9, 3)])
@virtual
async def test_of_many_leases_without_a_workload_some_are_looked_at_in_each_pass(
    missing: int, looked_at: int, caplog: pytest.LogCaptureFixture
):
    rig = Rig()
    control, _ = await arrange(rig, 1, 1, missing)
    compared = await reconcile(control, DEAF)
    assert (compared.missing, compared.stopped) == (missing, looked_at < missing)
    leases = [rig.lease(Owner("default", f"missing-{number}")) for number in range(missing)]
    assert sum(lease.step > a_lease().step for lease in leases) == looked_at
    assert any(record.levelno == logging.ERROR for record in caplog.records) == compared.stopped


@pytest.mark.parametrize("error", [ClusterUnavailable("down"), ZeroDivisionError("a bug")])
@virtual
async def test_an_orphan_that_cannot_be_marked_stops_no_pass(error: Exception, caplog: pytest.LogCaptureFixture):
    rig = Rig()
    control, listed = await arrange(rig, 0, 3, 0)
    listed.fails[listed.listed[0].generation] = error
    compared = await reconcile(control, DEAF)
    assert (compared.orphans, compared.failed) == (3, 1)
    assert listed.marked == [workload.generation for workload in listed.listed[1:]]
    assert listed.listed[0].generation in caplog.text


@pytest.mark.parametrize("error", [Conflict("first"), StoreUnavailable("down"), ZeroDivisionError("a bug")])
@virtual
async def test_a_look_that_fails_stops_no_pass(error: Exception):
    rig = Rig()
    control, _ = await arrange(rig, 0, 0, 3)
    write, looked = rig.store.replace, []

    async def fail(lease: Lease, *rest: Any) -> Lease:
        if lease.owner.user == "missing-0":
            raise error
        looked.append(lease.owner.user)
        return await write(lease, *rest)

    rig.store.replace = fail  # type: ignore[method-assign]
    compared = await reconcile(control, DEAF)
    assert (compared.missing, compared.failed) == (3, 1)
    assert set(looked) == {"missing-1", "missing-2"}


@pytest.mark.parametrize(("unreadable", "marked"), [(1, 2), (3, 2), (4, None)])
@virtual
async def test_a_few_leases_that_cannot_be_read_stop_no_pass_and_more_are_the_store_s_failure(
    unreadable: int, marked: int | None
):
    rig = Rig()
    control, listed = await arrange(rig, unreadable, 2, 0)
    read = rig.store.get

    async def get(owner: Owner, id: str) -> Lease | None:
        if int(owner.user.removeprefix("user-")) < unreadable:
            raise StoreUnavailable("not readable by this release")
        return await read(owner, id)

    rig.store.get = get  # type: ignore[method-assign]
    if marked is None:
        with pytest.raises(StoreUnavailable):
            await reconcile(control, DEAF)
    else:
        assert (await reconcile(control, DEAF)).failed == unreadable
    assert len(listed.marked) == (marked or 0), "what was not read is nobody's orphan"


@virtual
async def test_leases_are_read_page_by_page(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shared.domain.reconcile.PAGE", 4)
    rig = Rig()
    control, _ = await arrange(rig, 10, 0, 2)
    compared = await reconcile(control, DEAF)
    assert (compared.leases, compared.missing, rig.calls["page"]) == (12, 2, 4)


@virtual
async def test_a_store_that_cannot_be_read_ends_the_pass_before_it_acts():
    rig = Rig()
    control, listed = await arrange(rig, 0, 2, 0)
    rig.store.fail_next("page", "before")
    with pytest.raises(StoreUnavailable):
        await reconcile(control, DEAF)
    assert listed.marked == []
