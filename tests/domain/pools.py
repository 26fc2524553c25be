"""A pool of spares before the cluster double, and passes over it."""

from shared.domain import pool
from shared.domain.control import Pool
from shared.domain.hearing import Hearing
from shared.domain.leases import SPARES, Lease, State
from shared.domain.policy import Policy
from shared.domain.reaper import reap
from tests.domain.rig import Rig


def spares(rig: Rig) -> list[Lease]:
    """Those in the pool that are not tombstones."""
    found = [rig.store.peek(SPARES, f"spare-{number}") for number in range(9)]
    return [spare for spare in found if spare is not None and spare.state is not State.RELEASED]


async def filled(size: int = 2, policy: Policy | None = None) -> Rig:
    rig = Rig(policy, pool=Pool(size, "today"))
    done = await pool.refill(rig.control)
    assert (done.begun, done.failed) == (size, 0)
    assert [spare.state for spare in spares(rig)] == [State.RUNNING] * size
    return rig


def owners(rig: Rig, kind: str = "StatefulSet") -> dict[str, str]:
    """By generation, whose the objects of a kind are."""
    return {
        item["metadata"]["labels"]["playground.dev/generation"]: item["metadata"]["annotations"]["playground.dev/owner"]
        for item in rig.kubernetes.find(kind)
        if "playground.dev/generation" in item["metadata"]["labels"]
    }


async def passes(rig: Rig, count: int = 4, seconds: float = 31.0) -> None:
    """Everything that timers do, some times."""
    for _ in range(count):
        rig.clock.turn(seconds)
        await reap(rig.control, Hearing(rig.clock.now()))
        await pool.refill(rig.control)
