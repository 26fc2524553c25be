"""Places for starts: no more than there are, each tenant its turn, and who waits in vain is told for how long."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from shared.domain.errors import TooMany
from shared.domain.leases import Owner
from shared.domain.starts import Places, Starts
from tests.domain.rig import Rig, virtual
from tests.samples import ALICE
from tests.virtual import VirtualLoop

PATIENT = 1000.0


class Hall:
    """Who is in, and who was in when."""

    def __init__(self, total: int = 0, tenant: int = 0):
        self.starts = Starts(Places(total, tenant))
        self.inside: list[Owner] = []
        self.order: list[str] = []
        self.most = 0

    async def visit(self, tenant: str, user: str, seconds: float = 3.0, patience: float = PATIENT) -> None:
        owner = Owner(tenant, user)
        async with self.starts.place(owner, patience):
            self.inside.append(owner)
            self.order.append(f"{tenant}/{user}")
            self.most = max(self.most, len(set(self.inside)))
            try:
                await asyncio.sleep(seconds)
            finally:
                self.inside.remove(owner)

    def empty(self) -> bool:
        starts = self.starts
        return not (self.inside or starts._taken or starts._of or starts._queues)


async def visits(hall: Hall, tenant: str, count: int, **how: float) -> list[BaseException | None]:
    return await asyncio.gather(*(hall.visit(tenant, f"u{n}", **how) for n in range(count)), return_exceptions=True)


@virtual
async def test_no_more_are_in_than_there_are_places():
    hall = Hall(total=4)
    await visits(hall, "a", 20)
    assert (hall.most, len(hall.order)) == (4, 20) and hall.empty()


@virtual
async def test_a_tenant_has_no_more_than_its_share_though_there_is_room():
    hall = Hall(total=10, tenant=3)
    await visits(hall, "a", 9)
    assert hall.most == 3 and hall.empty()


@virtual
async def test_who_comes_behind_another_tenants_thousand_is_served_in_its_turn():
    hall = Hall(total=2)
    storm = asyncio.create_task(visits(hall, "a", 1000))
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await hall.visit("b", "bob", seconds=0)
    assert asyncio.get_running_loop().time() - began <= 3.0
    storm.cancel()
    with suppress(asyncio.CancelledError):
        await storm
    await asyncio.sleep(10)
    assert hall.empty()


@virtual
async def test_tenants_take_turns_however_many_of_one_wait():
    hall = Hall(total=1)
    tasks = [asyncio.create_task(visits(hall, tenant, count)) for tenant, count in (("a", 5), ("b", 2), ("c", 2))]
    await asyncio.gather(*tasks)
    assert [who[0] for who in hall.order] == list("aabcabcaa")


@virtual
async def test_all_who_wait_for_one_owner_share_a_place():
    hall = Hall(total=1)
    await asyncio.gather(*(hall.visit("a", "alice") for _ in range(10)))
    assert asyncio.get_running_loop().time() == pytest.approx(3.0) and hall.empty()


@virtual
async def test_who_waited_for_one_owner_goes_in_with_it_though_another_tenant_has_to_wait():
    hall = Hall(tenant=1)
    tasks = [asyncio.create_task(hall.visit("b", f"u{n}", seconds=20)) for n in range(2)]
    tasks += [asyncio.create_task(hall.visit("a", user)) for user in ("carol", "alice", "alice")]
    await asyncio.gather(*tasks[2:])
    assert asyncio.get_running_loop().time() == 6.0, "one start, and then one of both"
    await asyncio.gather(*tasks)
    assert hall.empty()


@virtual
async def test_nobody_waits_whose_owner_has_got_a_place():
    hall = Hall(total=1)
    who = ("carol", "alice", "bob", "alice")
    await asyncio.gather(*(hall.visit("a", user) for user in who))
    assert hall.order == ["a/carol", "a/alice", "a/alice", "a/bob"]
    assert asyncio.get_running_loop().time() == pytest.approx(9.0) and hall.empty()


@virtual
async def test_who_would_wait_for_too_long_is_told_at_once_when_its_turn_will_be():
    hall = Hall(tenant=2)
    tasks = [asyncio.create_task(hall.visit("a", f"u{n}")) for n in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany) as told:
        await hall.visit("a", "late", patience=9)
    assert told.value.retry_after == 11, "7 before it, two at a time, 3 s each"
    assert asyncio.get_running_loop().time() == 0
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("places", "waiting", "retry_after"),
    [
        ((1, 0), {"a": 2}, 6),  # one is in, one of the other tenant's is before it
        ((4, 0), {"a": 8}, 2),  # half of the places are its tenant's
        ((100, 1), {"b": 2}, 6),  # there is room, but not for its tenant
        ((2, 100), {"a": 6, "b": 3, "c": 4}, 18),  # the fourth of three tenants, so the eleventh, two at a time
    ],
)
@virtual
async def test_the_wait_is_told_by_the_places_of_all_and_by_those_of_its_tenant(
    places: tuple[int, int], waiting: dict[str, int], retry_after: int
):
    hall = Hall(*places)
    tasks = [asyncio.create_task(hall.visit(who, f"u{n}")) for who, count in waiting.items() for n in range(count)]
    await asyncio.sleep(0)
    with pytest.raises(TooMany) as told:
        await hall.visit("b", "late", patience=1)
    assert (told.value.retry_after, asyncio.get_running_loop().time()) == (retry_after, 0)
    await asyncio.gather(*tasks)


@virtual
async def test_how_long_starts_take_is_learned():
    hall = Hall(tenant=1)
    for number in range(30):
        await hall.visit("a", f"u{number}", seconds=30)
    first = asyncio.create_task(hall.visit("a", "first", seconds=30))
    await asyncio.sleep(0)
    with pytest.raises(TooMany) as told:
        await hall.visit("a", "second", patience=9)
    assert told.value.retry_after in (30, 31)
    await first


@virtual
async def test_who_gives_up_waiting_leaves_nothing_behind():
    hall = Hall(tenant=1)
    first = asyncio.create_task(hall.visit("a", "first", seconds=100))
    await asyncio.sleep(0)
    with pytest.raises(TooMany) as told:
        await hall.visit("a", "second", patience=5)
    assert (asyncio.get_running_loop().time(), told.value.retry_after) == (5, 3)
    third = asyncio.create_task(hall.visit("a", "third"))
    await asyncio.sleep(0)
    third.cancel()
    with suppress(asyncio.CancelledError):
        await third
    await first
    assert hall.empty()


@virtual
async def test_without_limits_nobody_waits():
    hall = Hall()
    await visits(hall, "a", 500)
    assert hall.most == 500 and asyncio.get_running_loop().time() == 3.0


comings = st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 9), st.integers(1, 9), st.integers(0, 20))


@hypothesis(max_examples=300, deadline=None)
@given(st.integers(0, 3), st.integers(0, 2), st.lists(comings, max_size=25))
def test_whoever_comes_goes_or_gives_up_whenever_places_are_kept_and_none_is_lost(
    total: int, tenant: int, comings: list[tuple[str, int, int, int, int]]
):
    hall = Hall(total, tenant)

    async def come(who: str, user: int, at: int, takes: int, cancelled_after: int) -> None:
        await asyncio.sleep(at)
        task = asyncio.create_task(hall.visit(who, f"u{user}", seconds=takes, patience=6))
        if cancelled_after:
            asyncio.get_running_loop().call_later(cancelled_after, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        of = {each.tenant: {other for other in hall.inside if other.tenant == each.tenant} for each in hall.inside}
        assert not tenant or all(len(owners) <= tenant for owners in of.values())

    async def story() -> None:
        await asyncio.gather(*(come(*coming) for coming in comings))
        async with asyncio.timeout(60):
            async with hall.starts.place(Owner("z", "last"), PATIENT):
                pass

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())
    assert not total or hall.most <= total
    assert not (hall.starts._taken or hall.starts._of or hall.starts._queues)


@virtual
async def test_a_running_database_needs_no_place():
    rig = Rig(starts=Starts(Places(1, 1)))
    source = await rig.create()
    async with rig.control.starts.place(Owner("default", "somebody"), PATIENT):
        assert await rig.create(ALICE) == source
