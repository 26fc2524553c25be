"""A lease: what is promised to an owner, and when somebody must look at it next.

All instants are seconds since the epoch (UTC, float) as some process's wall clock told them;
the clocks of two processes may differ by five minutes, and every period in the policy is far
longer than that.
"""

import secrets
from base64 import b32encode
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote


class State(StrEnum):
    """Where a lease stands; `lifecycle.decide` says how it leaves."""

    PENDING = "pending"  # being made, never ready yet
    RUNNING = "running"
    HIBERNATING = "hibernating"  # being scaled to 0
    HIBERNATED = "hibernated"  # 0 replicas, storage and address kept
    WAKING = "waking"  # being scaled to 1 again
    ARCHIVING = "archiving"  # hibernated, and its content is being stored
    FAILED = "failed"  # a life that never was ready, at 0 replicas
    DELETING = "deleting"  # objects going, the volume last
    RELEASED = "released"  # nothing on the cluster; a tombstone


class Kind(StrEnum):
    """What a lease is on."""

    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose lease it is. `tenant` holds [a-z0-9-] only; `user` is any string."""

    tenant: str
    user: str

    @property
    def key(self) -> str:
        """`<tenant>/<user>`, the user percent-encoded: the store's partition key."""
        return f"{self.tenant}/{quote(self.user, safe='')}"

    @classmethod
    def from_key(cls, key: str) -> "Owner":
        tenant, _, user = key.partition("/")
        return cls(tenant, unquote(user))


SPARES = Owner("-pool", "spares")  # whose the databases are that wait for an owner; no tenant can be called so


@dataclass(frozen=True, slots=True)
class Sample:
    """What a database server counted for its user when we last had news of it.

    `connections` is how many were open, `connected` how many there ever were since the server
    started, `statements` how many it ran; `server` names that start of the server, because the
    counters begin again with it.
    """

    at: float
    connections: int
    connected: int
    statements: int
    server: str


@dataclass(frozen=True, slots=True)
class Archive:
    """What a life held, or that it is being stored.

    `name` is of this try among all; `key` its data key, sealed: without it nobody can read it. `at` is when the try
    began, `failure` why it came to nothing. `sha256` (hex) and `size` (bytes) are of what was stored, and `until`
    is how long that is kept ("", 0: not stored yet).
    """

    name: str
    key: str = field(repr=False)
    at: float
    failure: str = ""
    sha256: str = ""
    size: int = 0
    until: float = 0.0

    @property
    def stored(self) -> bool:
        return self.sha256 != ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One owner's slot for one thing (`id`), through all its lives.

    * `generation` names one life; everything on the cluster derives its name from it.
    * `step` is the fencing token: raised by every claim and every transition.
    * `revision` counts what the owner can see change (the API's ETag).
    * `since` is when `state` was entered, `created_at` when this life began, `ready_at` when it
      first was ready (None: never, so that it holds nothing of value).
    * `due_at` is when somebody must look at it, whatever its state; `look_by` is how far a beat
      may push that.
    * `beat_at` is the last heartbeat, `used_at` the last use that evidence proved.
    * `held_until` is until when its owner wants it kept, whatever its use (None: no such wish), and
      `hold_note` why.
    * `attempts` counts looks in a row that found the cluster unable, for the backoff.
    * `credentials` is sealed; `volume` is the UID of the claim that holds the data.
    * `archive` is what this life's content is stored as, or what the next life in this slot begins with.
    * `adopts`: this new life is to be the spare of that id and generation (`<id>/<generation>`).
    * `adopter` is who is to have this spare: an owner's key and the generation of its new life; `template` is
      the print of what the spare was made with.
    * `ended`: its owner asked for its end; no beat brings it back, only who asks for a database.
    * `gone_at` is when a tombstone may be forgotten.
    * `etag` is the store's own and changes with every write; "" means never stored.
    """

    owner: Owner
    id: str
    state: State
    generation: str
    step: int
    revision: int
    since: float
    created_at: float
    due_at: float
    look_by: float
    beat_at: float
    used_at: float
    ready_at: float | None = None
    held_until: float | None = None
    hold_note: str = ""
    attempts: int = 0
    reason: str = ""
    credentials: str = field(default="", repr=False)
    address: str = ""
    volume: str = ""
    sample: Sample | None = None
    archive: Archive | None = None
    ended: bool = False
    adopts: str = ""
    adopter: str = ""
    template: str = ""
    gone_at: float | None = None
    etag: str = ""

    @property
    def kind(self) -> Kind:
        return Kind.DATABASE

    @property
    def spare(self) -> bool:
        """Whether it waits in the pool for an owner."""
        return self.owner == SPARES

    def held(self, now: float) -> bool:
        """Whether its owner holds it."""
        return self.held_until is not None and now < self.held_until

    def moved(self, state: State, now: float, due_at: float, reason: str, **changes: Any) -> "Lease":
        """This lease after a transition: next step and revision, new state, due time and reason."""
        look_by = changes.pop("look_by", due_at)
        return replace(
            self,
            state=state,
            since=now,
            due_at=due_at,
            look_by=look_by,
            reason=reason,
            attempts=0,
            step=self.step + 1,
            revision=self.revision + 1,
            **changes,
        )

    def claimed(self, until: float) -> "Lease":
        """This lease claimed for one look: nobody else looks before `until`."""
        return replace(self, step=self.step + 1, due_at=until, look_by=max(until, self.look_by))


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a lease, kept in its owner's own partition and written together with the lease.

    Nearly always a transition. Where the state stays (a hold), `revision` is that of the lease after
    it, and tells such events of one step apart. `by` is the URI of the caller who is behind it, `serial` of the
    certificate that it showed, `trace` of its request ("": nobody's, such as a timer's).
    """

    owner: Owner
    lease: str
    generation: str
    step: int
    at: float
    before: str
    after: str
    reason: str
    actor: str
    revision: int = 0
    by: str = ""
    serial: str = ""
    trace: str = ""

    @property
    def id(self) -> str:
        return f"{self.generation}-{self.step}" + (f"-{self.revision}" if self.revision else "")


def new_generation() -> str:
    """20 characters of lower-case base32, 100 random bits: unique without asking anybody."""
    return b32encode(secrets.token_bytes(13)).decode().lower()[:20]
