"""What every way to post looks promises: one suite for all of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from selfhost.errors import FunctionFailed
from selfhost.queues import Polling, Queues
from selfhost.triggers import QueueTrigger
from shared.adapters.looks_inprocess import InProcessLooks
from shared.adapters.looks_queue import QueueLooks, connect
from shared.domain.acting import Acting, acting
from shared.domain.control import Control
from shared.domain.errors import StoreUnavailable
from shared.domain.hearing import DEAF
from shared.domain.identity import Principal, Role
from shared.domain.leases import Owner
from shared.domain.look import look_now
from shared.domain.policy import Policy
from shared.domain.reaper import reap
from shared.edge.messages import parse
from tests import azurite
from tests.contract.conftest import TurnedClock
from tests.contract.leases import BOB, event_of, numbered
from tests.doubles.memory import MemoryStore
from tests.samples import ALICE

type Lease = tuple[Owner, str]
type Look = Callable[[Owner, str], Awaitable[object]]

AWKWARD = [Owner("default", user) for user in ("al/ice", "ali%2Fce", "älice 🎈", "..", "a b&c=d", '"', "x" * 128)]


class Looking:
    """What looks do here: they are written down, and fail, wait or do something as they are told."""

    def __init__(self) -> None:
        self.begun: list[Lease] = []
        self.done: list[Lease] = []
        self.failing: dict[Owner, Exception] = {}
        self.holding: dict[Owner, asyncio.Event] = {}
        self.do: Look | None = None

    async def look(self, owner: Owner, id: str) -> None:
        self.begun.append((owner, id))
        if owner in self.holding:
            await self.holding[owner].wait()
        if owner in self.failing:
            raise self.failing[owner]
        if self.do is not None:
            await self.do(owner, id)
        self.done.append((owner, id))

    async def did(self, *leases: Lease) -> None:
        """Wait until each of them was looked at."""
        await azurite.until(lambda: set(leases) <= set(self.done))

    async def began(self, lease: Lease, times: int = 1) -> None:
        await azurite.until(lambda: self.begun.count(lease) >= times)


@dataclass
class LooksWorld:
    """A way to post looks, and what becomes of them."""

    looks: InProcessLooks | QueueLooks
    looking: Looking


@asynccontextmanager
async def inprocess_world(request: pytest.FixtureRequest) -> AsyncIterator[LooksWorld]:
    looking = Looking()
    looks = InProcessLooks(looking.look)
    yield LooksWorld(looks, looking)
    await looks.close()


@asynccontextmanager
async def queue_world(request: pytest.FixtureRequest) -> AsyncIterator[LooksWorld]:
    looking, name, url = Looking(), azurite.a_name(), request.getfixturevalue("service")

    async def call_queue(function: str, body: str, id: str, dequeue_count: int) -> None:
        try:
            await looking.look(*parse(body.encode()))
        except Exception as error:
            raise FunctionFailed(function) from error

    runtime = cast(Any, SimpleNamespace(queues=[QueueTrigger("look", "message", name)], call_queue=call_queue))
    polling = Polling(batch=32, threshold=32, longest=0.1)
    queues = Queues(runtime, url, polling, credential=azurite.CREDENTIAL)
    async with connect(url, name, azurite.CREDENTIAL, patience=10) as queue:
        await queue.create_queue()
    queues.start()
    looks = await QueueLooks.open(url, name, credential=azurite.CREDENTIAL)
    yield LooksWorld(looks, looking)
    await looks.close()
    await queues.stop(patience=0)


@asynccontextmanager
async def down_world(request: pytest.FixtureRequest) -> AsyncIterator[LooksWorld]:
    """A queue whose service is not there."""
    looks = await QueueLooks.open("http://127.0.0.1:1/account", "looks", credential=azurite.CREDENTIAL)
    yield LooksWorld(looks, Looking())
    await looks.close()


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with azurite.running() as url:
        yield url


type Make = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[LooksWorld]]

INPROCESS = pytest.param(inprocess_world, id="inprocess")
QUEUE = pytest.param(queue_world, id="queue", marks=pytest.mark.slow)
DOWN = pytest.param(down_world, id="down")
working = pytest.mark.parametrize("make", [INPROCESS, QUEUE])
all_of_them = pytest.mark.parametrize("make", [INPROCESS, QUEUE, DOWN])


@pytest.fixture
async def world(make: Make, request: pytest.FixtureRequest) -> AsyncIterator[LooksWorld]:
    async with make(request) as opened:
        yield opened


def never_waits(coroutine: Any) -> bool:
    """Run it as far as it comes without waiting for anything: whether that was its end."""
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    coroutine.close()
    return False


# What is posted happens


@working
async def test_a_posted_lease_is_looked_at(world: LooksWorld) -> None:
    await world.looks.post(ALICE, "database")
    await world.looking.did((ALICE, "database"))
    assert world.looking.begun == [(ALICE, "database")]


@working
async def test_of_many_posts_none_is_lost_or_mixed_up(world: LooksWorld) -> None:
    owners = [*AWKWARD, *(Owner("team-7", f"user {n}") for n in range(60))]
    leases = [(owner, id) for owner in owners for id in ("database", "a session/ä")]
    for owner, id in leases:
        await world.looks.post(owner, id)
    await world.looking.did(*leases)
    assert sorted(map(repr, set(world.looking.begun))) == sorted(map(repr, leases))


@working
async def test_posts_of_one_lease_collapse_or_repeat_and_keep_nobody_waiting(world: LooksWorld) -> None:
    for _ in range(50):
        await world.looks.post(ALICE, "database")
    await world.looks.post(BOB, "database")
    await world.looking.did((ALICE, "database"), (BOB, "database"))
    assert 1 <= world.looking.begun.count((ALICE, "database")) <= 50


@working
async def test_what_is_posted_during_a_look_is_looked_at_once_more(world: LooksWorld) -> None:
    held = world.looking.holding[ALICE] = asyncio.Event()
    await world.looks.post(ALICE, "database")
    await world.looking.began((ALICE, "database"))
    await world.looks.post(ALICE, "database")
    held.set()
    await world.looking.began((ALICE, "database"), times=2)


@working
async def test_no_look_is_written_down_as_the_deed_of_whoever_posted_first(world: LooksWorld) -> None:
    behind: list[Acting] = []

    async def look(owner: Owner, id: str) -> None:
        behind.append(acting.get())

    world.looking.do = look
    before = acting.set(Acting(Principal("default", Role.USER, "alice", "ab"), "playground.local", "a trace"))
    await world.looks.post(ALICE, "database")
    acting.reset(before)
    await world.looks.post(BOB, "database")
    await world.looking.did((ALICE, "database"), (BOB, "database"))
    assert behind == [Acting(), Acting()]


@working
async def test_a_look_that_hangs_stops_no_other(world: LooksWorld) -> None:
    held = world.looking.holding[ALICE] = asyncio.Event()
    await world.looks.post(ALICE, "database")
    await world.looking.began((ALICE, "database"))
    await world.looks.post(BOB, "database")
    await world.looking.did((BOB, "database"))
    held.set()


@working
@pytest.mark.parametrize("error", [StoreUnavailable("down"), RuntimeError("a bug")], ids=["unavailable", "bug"])
async def test_a_look_that_fails_stops_no_other(world: LooksWorld, error: Exception) -> None:
    world.looking.failing[ALICE] = error
    for n in range(20):
        await world.looks.post(ALICE, f"database {n}")
    await world.looks.post(BOB, "database")
    await world.looking.did((BOB, "database"))
    await world.looking.began((ALICE, "database 0"))
    assert ALICE not in {owner for owner, _ in world.looking.done}


# Who posts has other things to do


@all_of_them
async def test_a_post_waits_for_nobody_and_never_raises(world: LooksWorld) -> None:
    world.looking.holding[ALICE] = asyncio.Event()
    for n in range(1000):
        assert never_waits(world.looks.post(ALICE, f"database {n}"))


@all_of_them
async def test_a_post_of_what_has_no_name_never_raises(world: LooksWorld) -> None:
    await world.looks.post(Owner("default", "\ud800"), "\ud800")
    await world.looks.post(ALICE, "")
    await world.looks.close()


@all_of_them
async def test_posts_after_the_end_never_raise(world: LooksWorld) -> None:
    await world.looks.post(ALICE, "database")
    await world.looks.close()
    assert never_waits(world.looks.post(BOB, "database"))
    await world.looks.close()


# What is due stays due


@all_of_them
async def test_what_an_end_leaves_undone_is_due_and_found(world: LooksWorld) -> None:
    clock = TurnedClock()
    store = MemoryStore(clock=clock)
    control = Control(store, cast(Any, None), world.looks, cast(Any, None), clock, Policy())
    leases = [replace(numbered(n), due_at=clock.now(), look_by=clock.now()) for n in range(40)]
    for lease in leases:
        await store.create(lease, event_of(lease))

    async def look(owner: Owner, id: str) -> None:
        await asyncio.sleep(0)  # so that some are in the middle of it when the end comes
        await look_now(control, owner, id)

    world.looking.do = look
    for lease in leases:
        await world.looks.post(lease.owner, lease.id)
    await world.looks.close()

    clock.at += control.policy.claim + 1
    await reap(control, DEAF)
    for lease in leases:
        stored = store.peek(lease.owner, lease.id)
        assert stored is not None
        assert stored.step > lease.step
        assert stored.due_at > clock.now()
