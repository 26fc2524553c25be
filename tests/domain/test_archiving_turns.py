"""Many databases whose retention ends together are stored a few at a time; what is stored or fetched is waited for."""

from dataclasses import replace

import pytest

from shared.adapters.k8s.databases import Databases
from shared.domain import databases
from shared.domain.errors import NotReady
from shared.domain.hearing import Hearing
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner, State
from shared.domain.look import look_now
from shared.domain.policy import HOUR, MINUTE, Policy
from shared.domain.reaper import reap
from shared.domain.steering import target
from shared.manifests.mariadb import Spec
from shared.manifests.tasks import TASK
from tests.domain.rig import Rig, virtual
from tests.domain.steering import end, pass_by
from tests.doubles.network import Fate, Request

POLICY = Policy(archives=True)
OWNERS = [Owner("acme", f"user-{n}") for n in range(6)]


class Narrow(Rig):
    """A rig on which so many are stored at once; `most` is how many were."""

    def __init__(self, at_once: int):
        super().__init__(POLICY)
        self.cluster = Databases(self.kubernetes, Spec(image="mariadb", archives_at_once=at_once), "plane")
        self.control = replace(self.control, cluster=self.cluster)
        self.most = 0

    async def _cluster_gate(self, request: Request) -> Fate | None:
        self.most = max(self.most, len(self.storing()))
        return await super()._cluster_gate(request)

    def storing(self) -> list[str]:
        pods = self.kubernetes.find("Pod")
        return [pod["metadata"]["name"] for pod in pods if TASK in pod["metadata"]["labels"]]

    def states_of(self, number: int) -> list[State]:
        return [self.lease(owner).state for owner in OWNERS[:number]]

    async def asleep(self, *owners: Owner) -> None:
        """Databases with a row each that have slept for as long as their storage is kept."""
        for owner in owners:
            await self.create(owner)
            generation = self.lease(owner).generation
            self.kubernetes.controllers.server(generation).execute(f"{owner.user}'s row")
        for _ in range(5):
            await pass_by(self, 12 * HOUR)
        assert {self.lease(owner).state for owner in owners} == {State.HIBERNATED}
        self.clock.turn(POLICY.retention)

    async def for_a_while(self, seconds: float, step: float = 30.0) -> None:
        """Passes of the reaper as its timer has them."""
        for _ in range(int(seconds / step)):
            self.clock.turn(step)
            await reap(self.control, Hearing(self.clock.now()))


@virtual
async def test_a_few_are_stored_at_once_and_all_in_the_end():
    rig = Narrow(2)
    await rig.asleep(*OWNERS)
    await rig.for_a_while(30)
    assert rig.states_of(6) == [State.ARCHIVING] * 6 and len(rig.storing()) == 2
    await rig.for_a_while(20 * MINUTE)
    assert rig.states_of(6) == [State.RELEASED] * 6 and rig.most == 2
    assert sorted(rig.kubernetes.archives.values()) == [[f"{owner.user}'s row"] for owner in OWNERS]


@virtual
async def test_without_a_bound_all_are_stored_at_once():
    rig = Narrow(0)
    await rig.asleep(*OWNERS)
    await rig.for_a_while(30)
    assert len(rig.storing()) == 6


@virtual
async def test_who_waits_has_it_back_as_soon_as_it_is_used():
    rig = Narrow(1)
    await rig.asleep(*OWNERS[:2])
    rig.kubernetes.controllers.asleep = True  # the first one's pod comes to nothing
    await rig.for_a_while(30)
    [waiting] = [o for o in OWNERS[:2] if f"pg-{rig.lease(o).generation}-0" not in rig.storing()]
    rig.kubernetes.controllers.asleep = False
    await rig.create(waiting)
    server = rig.kubernetes.controllers.server(rig.lease(waiting).generation)
    assert rig.lease(waiting).state is State.RUNNING and server.data == [f"{waiting.user}'s row"]


@virtual
async def test_the_time_for_storing_begins_with_the_turn_and_a_broken_one_makes_room():
    rig = Narrow(1)
    await rig.asleep(*OWNERS[:2])
    rig.kubernetes.controllers.asleep = True
    await rig.for_a_while(30)
    [storing] = [o for o in OWNERS[:2] if f"pg-{rig.lease(o).generation}-0" in rig.storing()]
    [waiting] = {*OWNERS[:2]} - {storing}
    await rig.for_a_while(POLICY.task + 10 * MINUTE)
    failed, lease = rig.lease(storing), rig.lease(waiting)
    assert failed.archive is not None and "longer than 60 min" in failed.archive.failure
    assert (lease.state, lease.archive, lease.attempts) == (State.ARCHIVING, None, 0)
    rig.kubernetes.controllers.asleep = False
    await rig.for_a_while(15 * MINUTE)
    assert rig.lease(waiting).state is State.RELEASED
    assert rig.lease(storing).state is State.ARCHIVING and not rig.storing(), "tried again a day later"


@virtual
async def test_what_its_owner_ended_waits_for_its_turn_as_well():
    rig = Narrow(1)
    await rig.asleep(OWNERS[0])
    await rig.create(OWNERS[1])
    which = target(Principal("acme", Role.USER, OWNERS[1].user), "", databases.ID, None)
    await end(rig, purge=False, which=which)
    rig.kubernetes.controllers.asleep = True
    await rig.for_a_while(10 * MINUTE)
    assert rig.states_of(2) == [State.ARCHIVING] * 2 and rig.most == 1
    rig.kubernetes.controllers.asleep = False
    await rig.for_a_while(15 * MINUTE)
    assert rig.states_of(2) == [State.RELEASED] * 2 and rig.most == 1
    assert len(rig.kubernetes.archives) == 2


@virtual
async def test_no_server_is_started_before_what_it_begins_with_is_there():
    rig = Narrow(1)
    alice = OWNERS[0]
    await rig.asleep(alice)
    await rig.for_a_while(10 * MINUTE)
    assert rig.lease(alice).state is State.RELEASED
    rig.kubernetes.controllers.asleep = True
    with pytest.raises(NotReady):
        await rig.create(alice)
    looked = await look_now(rig.control, alice, databases.ID)
    assert looked is not None and (looked.lease.reason, looked.failure) == ("starting", ""), "under way is no failure"
    for _ in range(4):
        await rig.for_a_while(MINUTE)
        [workload] = rig.kubernetes.find("StatefulSet")
        assert workload["metadata"]["annotations"][TASK].startswith("restore.") and workload["spec"]["replicas"] == 1
    rig.kubernetes.controllers.asleep = False
    await rig.for_a_while(2 * MINUTE)
    assert rig.lease(alice).state is State.RUNNING
    assert rig.kubernetes.controllers.server(rig.lease(alice).generation).data == ["user-0's row"]
