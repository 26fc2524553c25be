"""A spare goes to one owner or to none, and who finds one half-way given goes on."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.domain import credentials, databases, pool
from shared.domain.control import Pool
from shared.domain.databases import ID
from shared.domain.errors import NotReady, StoreUnavailable
from shared.domain.hearing import Hearing
from shared.domain.leases import SPARES, Lease, Owner, State
from shared.domain.look import look_now
from shared.domain.policy import DAY, HOUR, Policy
from shared.domain.reconcile import reconcile
from tests.domain.pools import filled, owners, passes, spares
from tests.domain.rig import Rig, virtual
from tests.domain.steering import end
from tests.doubles.memory import MemoryStore
from tests.samples import ALICE

POOL = Pool(2, "today")
BOB, CAROL = Owner("default", "bob"), Owner("default", "carol")


@virtual
async def test_who_asks_is_given_a_spare_with_its_own_password_and_address():
    rig = await filled()
    before = {spare.generation: credentials.unseal(rig.control.sealer, spare) for spare in spares(rig)}
    made = len(rig.standing("Pod"))
    source = await rig.create()
    lease = rig.lease()
    assert lease.generation in before and lease.state is State.RUNNING and lease.adopts == ""
    assert credentials.unseal(rig.control.sealer, lease) == before[lease.generation]
    assert before[lease.generation].password in source and lease.address in source
    assert len(rig.standing("Pod")) == made, "nothing was started"
    for kind in ("StatefulSet", "Service", "PersistentVolumeClaim", "NetworkPolicy"):
        assert owners(rig, kind)[lease.generation] == ALICE.key, kind
    assert await rig.moves() == [("", "pending"), ("pending", "running")]
    assert await rig.create() == source


@virtual
async def test_what_was_given_away_is_replaced_and_its_spare_is_forgotten_without_a_deletion():
    rig = await filled()
    await rig.create()
    await passes(rig)
    assert rig.kubernetes.deletions == []
    assert [spare.state for spare in spares(rig)] == [State.RUNNING] * 2
    assert rig.lease().generation not in [spare.generation for spare in spares(rig)]
    assert len(rig.standing()) == 3
    compared = await reconcile(rig.control, Hearing(rig.clock.now()))
    assert (compared.orphans, compared.missing) == (0, 0)


@virtual
async def test_many_at_once_get_one_each_and_who_comes_too_late_a_new_one():
    rig = await filled(3)
    spare = {each.generation for each in spares(rig)}
    everybody = [Owner("default", f"user-{n}") for n in range(5)]
    sources = await asyncio.gather(*(rig.create(owner) for owner in everybody))
    given = [rig.lease(owner).generation for owner in everybody]
    assert len(set(sources)) == len(set(given)) == 5
    assert len(spare & set(given)) == 3, "no spare is left over while somebody waits for a new one"
    await passes(rig)
    assert len(rig.standing()) == 5 + 3


@virtual
async def test_what_was_archived_comes_back_and_not_a_spare():
    rig = await filled(policy=Policy(archives=True))
    await rig.create()
    rig.kubernetes.controllers.server(rig.lease().generation).execute("a row")
    await end(rig, purge=False)
    await passes(rig, 12, 6)
    assert rig.lease().state is State.RELEASED
    await rig.create()
    assert rig.kubernetes.controllers.server(rig.lease().generation).data == ["a row"]


@virtual
async def test_a_hibernated_database_is_woken_and_no_spare_takes_its_place():
    rig = await filled()
    await rig.create()
    generation = rig.lease().generation
    lease = await rig.move(State.HIBERNATED)
    await rig.cluster.stop(generation, lease.step)
    await rig.create()
    assert rig.lease().generation == generation


@virtual
async def test_an_adopted_database_lives_as_any_other_to_its_end():
    rig = await filled(policy=Policy(delete_without_archive=True))
    await rig.create()
    generation = rig.lease().generation
    for _ in range(60):
        await passes(rig, 1, 8 * HOUR)
    assert rig.lease().state is State.RELEASED
    assert generation not in {name.removeprefix("pg-") for name in rig.standing("PersistentVolumeClaim")}
    assert [spare.state for spare in spares(rig)] == [State.RUNNING] * 2


@virtual
async def test_whoever_ends_its_database_while_it_is_given_one_leaves_nothing_behind():
    rig = await filled(1, Policy(archives=True))
    generation = spares(rig)[0].generation
    reached = asyncio.Event()
    count = 0

    async def third_write(name: str, moment: str) -> None:
        nonlocal count
        count += (name, moment) == ("replace", "before")
        if count == 2 and not reached.is_set():  # the spare is taken, and the slot not yet written
            reached.set()
            await asyncio.Event().wait()

    rig.store.gate = third_write  # type: ignore[assignment]
    task = asyncio.create_task(rig.create())
    await reached.wait()
    rig.store.gate = Rig().store.gate
    await end(rig, purge=True)
    await passes(rig, 6)
    task.cancel()
    assert rig.lease().state is State.RELEASED
    assert [spare.state for spare in spares(rig)] == [State.RUNNING]
    assert spares(rig)[0].generation != generation, "what was half given away is given to nobody else"
    assert len(rig.standing("PersistentVolumeClaim")) == 1


@virtual
async def test_a_spare_whose_passwords_cannot_be_opened_is_passed_over():
    rig = await filled(1)
    await rig.put(replace(spares(rig)[0], credentials="k0.AAAA"))
    assert await rig.create()
    assert rig.lease().generation != spares(rig)[0].generation


@virtual
async def test_without_a_store_nobody_is_given_anything_and_the_pass_says_so():
    rig = await filled(1)
    rig.store.fail_next("of", "before")
    with pytest.raises(StoreUnavailable):
        await pool.refill(rig.control)
    rig.store.fail_next("create", "before")
    with pytest.raises(StoreUnavailable):
        await rig.create()
    assert rig.store.peek(ALICE, ID) is None
    assert await rig.create()


class WithoutThePool:
    """A store in which one operation fails where it is about the pool: before or after it is done."""

    def __init__(self, store: MemoryStore, operation: str, done: bool):
        self._store, self._operation, self._done = store, operation, done

    def __getattr__(self, operation: str) -> Any:
        act = getattr(self._store, operation)

        async def tried(*arguments: Any) -> Any:
            of = arguments[0].owner if isinstance(arguments[0], Lease) else arguments[0]
            if operation != self._operation or of != SPARES:
                return await act(*arguments)
            if self._done:
                await act(*arguments)
            raise StoreUnavailable("the pool's part is away", retry_after=1)

        return tried


@virtual
@pytest.mark.parametrize(("operation", "done"), [("of", False), ("get", False), ("replace", False), ("replace", True)])
async def test_where_only_the_pool_is_away_who_asks_is_made_a_database_and_the_pool_comes_right(
    operation: str, done: bool
):
    rig = await filled()
    control, before = rig.control, {spare.generation for spare in spares(rig)}
    rig.control = replace(control, leases=WithoutThePool(rig.store, operation, done))  # type: ignore[arg-type]
    await rig.create()
    assert rig.lease().state is State.RUNNING and rig.lease().generation not in before
    rig.control = control
    await passes(rig, 6)
    assert [(spare.state, spare.adopter) for spare in spares(rig)] == [(State.RUNNING, "")] * 2
    assert len(rig.standing()) == len(rig.standing("PersistentVolumeClaim")) == 3


async def deaths(rig: Rig) -> int:
    """At how many awaits a create that adopts can die."""
    before = rig.awaits
    await rig.create()
    return rig.awaits - before


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
@virtual
async def test_whoever_gives_a_spare_away_may_die_at_any_await_and_everything_comes_right(size: int):
    count = await deaths(await filled(size))
    assert count > 20
    for at in range(1, count + 1):
        rig = await filled(size)
        passwords = [credentials.unseal(rig.control.sealer, spare) for spare in spares(rig)]
        rig.dies_at = rig.awaits + at
        first = asyncio.create_task(rig.create())
        died = asyncio.create_task(rig.died.wait())
        await asyncio.wait((first, died), return_when=asyncio.FIRST_COMPLETED)
        rig.dies_at = None
        if at % 2:  # its owner asks again at once, or another one is faster
            await _asked(rig, BOB)
        rig.clock.turn(31)
        await _asked(rig, ALICE)
        await passes(rig, 6)
        first.cancel()
        died.cancel()
        alive = [rig.lease(owner) for owner in (ALICE, BOB) if rig.store.peek(owner, ID)]
        assert all(lease.state is State.RUNNING for lease in alive), f"dead at {at}"
        assert [spare.state for spare in spares(rig)] == [State.RUNNING] * size, f"dead at {at}"
        generations = [lease.generation for lease in (*alive, *spares(rig))]
        assert len(set(generations)) == len(generations), f"dead at {at}: given twice"
        assert sorted(owners(rig)) == sorted(generations), f"dead at {at}: an orphan, or one missing"
        opened = [credentials.unseal(rig.control.sealer, lease) for lease in (*alive, *spares(rig))]
        assert all(opened.count(password) <= 1 for password in passwords), f"dead at {at}: a password is used twice"
        for lease in alive:
            assert owners(rig)[lease.generation] == lease.owner.key
            assert databases.data_source(rig.control, lease) == await rig.create(lease.owner)


async def _asked(rig: Rig, owner: Owner) -> None:
    for _ in range(10):
        try:
            await rig.create(owner)
            return
        except NotReady:
            rig.clock.turn(31)
    raise AssertionError("never ready")


@virtual
async def test_a_look_goes_on_with_an_adoption_as_its_owner_would():
    rig = await filled(1)
    rig.dies_at = rig.awaits + 12
    task = asyncio.create_task(rig.create())
    await rig.died.wait()
    assert rig.lease().state is State.PENDING
    rig.clock.turn(31)
    await look_now(rig.control, ALICE, ID)
    task.cancel()
    assert rig.lease().state is State.RUNNING
    await passes(rig)
    assert len(rig.standing()) == 2


@virtual
async def test_a_spare_is_on_nobodys_list():
    rig = await filled()
    await rig.create()
    for tenant in ("default", "pool", "-pool "):
        found, _ = await rig.store.of(tenant, "", 100)
        assert SPARES not in [lease.owner for lease in found]


@virtual
async def test_a_month_without_anybody_costs_the_cluster_one_question_in_half_an_hour():
    rig = await filled(1)
    rig.kubernetes.requests.clear()
    await passes(rig, 48, DAY / 48)
    assert len(rig.kubernetes.requests) <= 48 * 6
