"""Leases as tests want them."""

from dataclasses import replace
from typing import Any

from shared.domain.leases import Lease, Owner, State

ALICE = Owner("default", "alice")
T0 = 1_800_000_000.0  # some instant; no test depends on which


def a_lease(state: State = State.RUNNING, now: float = T0, **changes: Any) -> Lease:
    """A lease that has just entered `state` at `now`, nothing special about it."""
    lease = Lease(
        owner=ALICE, id="database", state=state, generation="a" * 20, step=3, revision=2, since=now, created_at=now,
        due_at=now + 60, look_by=now + 86400, beat_at=now, used_at=now, reason="", address="10.0.0.1:3306",
        volume="uid-1", ready_at=None if state in (State.PENDING, State.FAILED) else now,
    )  # fmt: skip
    return replace(lease, **changes)
