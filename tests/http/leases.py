"""Alice's lease as tests of the API want it, and what they read off its answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.leases import Owner, State
from tests.http.ways import Called
from tests.samples import a_lease
from tests.selfhost.clients import Reply

ALICE = Owner("default", "alice")


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def etag(reply: Reply) -> str:
    assert reply.status in (200, 202), reply.body
    tag = reply.header("etag")
    assert tag == f'"{reply.json()["revision"]}"'
    return tag or ""


async def put(way: Called, state: State, **changes: Any) -> None:
    """Alice's lease as a test wants it."""
    lease, now = await way.world.lease(ALICE), way.world.clock.now()
    changed = a_lease(state, now, generation=lease.generation, etag=lease.etag, revision=lease.revision, **changes)
    await way.world.store.kept.replace(changed)
