"""Leases for the servers under load: running, heard from ten minutes ago, due in twenty."""

import asyncio
import sqlite3
import time
from pathlib import Path

from selfhost.setup import TENANT, Files
from shared.adapters.sealing import KeyRing
from shared.adapters.sqlite import SqliteStore
from shared.domain import credentials
from shared.domain.databases import ID
from shared.domain.leases import Event, Lease, Owner, State, new_generation
from shared.domain.policy import PLUGIN_INTERVAL, Policy

POLICY = Policy()

# Copies of the first lease under other names: its credentials open nothing, and nobody asks for them.
COPIES = """
WITH RECURSIVE number(value) AS (SELECT ?1 UNION ALL SELECT value + 1 FROM number WHERE value + 1 < ?2)
INSERT INTO leases SELECT ?3 || '/' || printf('user-%07d', value), id, state, due_at, beat_at, look_by, gone_at, etag,
rest FROM number, (SELECT * FROM leases WHERE owner = ?4)
"""


async def seed(files: Files, usable: int, copies: int) -> None:
    """`usable` leases of user-0000000 and on, made through the store, and `copies` of the first after them."""
    keys = KeyRing.parse(files.seal_keys.read_text())
    store = await SqliteStore.open(files.store)
    try:
        for first in range(0, usable, 500):
            users = range(first, min(first + 500, usable))
            leases = [running(keys, Owner(TENANT, f"user-{user:07d}"), time.time()) for user in users]
            await asyncio.gather(*(store.create(lease, _made(lease)) for lease in leases))
    finally:
        await store.close()
    await asyncio.to_thread(_copy, files.store, usable, copies)


def running(keys: KeyRing, owner: Owner, now: float) -> Lease:
    """A database that is used: its last beat is one plugin interval old."""
    generation, heard = new_generation(), now - PLUGIN_INTERVAL
    sealed = credentials.seal(keys, owner, generation, credentials.new_credentials())
    return Lease(
        owner=owner, id=ID, state=State.RUNNING, generation=generation, step=2, revision=2,
        since=now - 3600, created_at=now - 3610, due_at=heard + POLICY.silence, look_by=now - 3600 + POLICY.unseen,
        beat_at=heard, used_at=heard, ready_at=now - 3600, reason="ready", credentials=sealed,
        address="10.112.0.1:3306", volume="00000000-0000-0000-0000-000000000000",
    )  # fmt: skip


def _made(lease: Lease) -> Event:
    return Event(
        lease.owner, lease.id, lease.generation, lease.step, lease.since, "pending", "running", "ready", "bench"
    )


def _copy(path: Path, first: int, copies: int) -> None:
    with sqlite3.connect(path) as connection:
        template = f"{TENANT}/user-{0:07d}"
        if copies:
            connection.execute(COPIES, (first, first + copies, TENANT, template))
    connection.close()


def heard_since(files: Files, instant: float) -> int:
    """How many leases have had a beat since then, as the file says."""
    connection = sqlite3.connect(files.store)
    try:
        return int(connection.execute("SELECT count(*) FROM leases WHERE beat_at >= ?", (instant,)).fetchone()[0])
    finally:
        connection.close()
