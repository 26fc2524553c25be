"""Alice's database, held and ended as she asks for it."""

from shared.domain import steering
from shared.domain.databases import ID
from shared.domain.hearing import Hearing
from shared.domain.identity import Principal, Role
from shared.domain.leases import Lease
from shared.domain.reaper import reap
from shared.domain.steering import Target, target
from tests.domain.rig import Rig

USER = Principal("default", Role.USER, "alice")


def mine(*revisions: int) -> Target:
    return target(USER, "", ID, frozenset(revisions) if revisions else None)


async def hold(rig: Rig, until: float | None, note: str = "", which: Target | None = None) -> Lease:
    return await steering.hold(rig.store, rig.clock, rig.control.policy, which or mine(), until, note)


async def end(rig: Rig, purge: bool = True, which: Target | None = None) -> Lease:
    return await steering.end(rig.store, rig.looks, rig.clock, rig.control.policy, which or mine(), purge=purge)


async def pass_by(rig: Rig, seconds: float) -> None:
    """Time passes, heard all the while; then the reaper."""
    rig.clock.turn(seconds)
    await reap(rig.control, Hearing(rig.clock.now()))
