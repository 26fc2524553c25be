"""Leases and events for the contract suite, odd ones among them."""

import itertools
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from shared.domain.leases import Event, Lease, Owner, Sample, State
from tests.samples import T0, a_lease

BOB = Owner("default", "bob")
SERIAL = itertools.count()

odd = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=128),
    st.text("'\"/\\%~?#&+ ;.-_äé中🎈\x00\n", min_size=1, max_size=128),
    st.sampled_from(["A" * 128, "🎈" * 128, "..", ".", "%2F", "~2F", "' OR '1'='1", "x'); DROP TABLE leases; --"]),
)
instants = st.floats(0, 4e9)
leases = st.builds(
    Lease,
    owner=st.builds(Owner, st.sampled_from(["default", "team-7"]), names),
    id=names.map(lambda name: name[:60]),
    state=st.sampled_from(State),
    generation=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=20, max_size=20),
    step=st.integers(1, 10**9),
    revision=st.integers(1, 10**9),
    since=instants,
    created_at=instants,
    due_at=instants,
    look_by=instants,
    beat_at=instants,
    used_at=instants,
    ready_at=st.none() | instants,
    attempts=st.integers(0, 50),
    reason=names,
    credentials=names,
    address=names,
    volume=names,
    sample=st.none() | st.builds(Sample, instants, st.integers(0), st.integers(0, 2**53), st.integers(0, 2**53), names),
    gone_at=st.none() | st.floats(T0 + 1, T0 + 1e8),
)


def event_of(lease: Lease, **changes: Any) -> Event:
    """An event as a transition to this lease's state has it."""
    event = Event(
        lease.owner, lease.id, lease.generation, lease.step, lease.since, "", str(lease.state), lease.reason, "test"
    )
    return replace(event, **changes)


async def create(store: Any, lease: Lease) -> Lease:
    created = await store.create(lease, event_of(lease))
    assert isinstance(created, Lease)
    return created


def numbered(n: int, **changes: Any) -> Lease:
    return a_lease(owner=Owner("default", f"user {n}"), generation=f"{n:020d}", **changes)
