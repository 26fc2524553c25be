"""What every refusal looks like, and that it changed nothing."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from tests.http.ways import Way
from tests.selfhost.clients import Reply


def assert_problem(reply: Reply, status: int, slug: str, detail: str = "") -> None:
    """A problem document (RFC 9457) that says `detail`."""
    assert reply.status == status, reply.body
    assert reply.header("content-type") == "application/problem+json"
    assert reply.header("cache-control") == "no-store"
    document = reply.json()
    assert sorted(document) == ["detail", "status", "title", "trace_id", "type"]
    assert re.fullmatch("(?!0{32})[0-9a-f]{32}", document["trace_id"])
    assert (document["type"], document["status"]) == (f"urn:playground:problem:{slug}", status)
    assert document["title"] and document["detail"]
    assert detail in document["detail"]
    wait = reply.header("retry-after")
    assert int(wait or 0) > 0 if status == 503 else wait is None


def told(reply: Reply) -> dict[str, Any]:
    """What a problem says to whoever reads it: all of it but which request it was of."""
    return {name: value for name, value in reply.json().items() if name != "trace_id"}


def assert_beat(reply: Reply, user: str, *, renewed: bool, state: str) -> None:
    """The answer to a heartbeat that says this and no more; one that runs says until when, too."""
    assert reply.status == 200, reply.body
    told = reply.json()
    expires_at = told.pop("expires_at", None)
    assert told == {"message": f"hello {user}", "renewed": renewed, "state": state}
    assert (expires_at is not None) == (state == "running")
    if expires_at is not None:
        assert datetime.fromisoformat(expires_at) > datetime.now(UTC) and expires_at.endswith("Z")


@asynccontextmanager
async def nothing_changes(way: Way) -> AsyncIterator[None]:
    """Nothing is written to the store, nothing is asked of the cluster."""
    before = await way.state()
    yield
    assert await way.state() == before
