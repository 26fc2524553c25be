"""What callers ask about leases over HTTP, and how a lease is told: never its secrets, nor its address."""

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.domain.instants import seconds_of, utc_if_any
from shared.domain.leases import Event, Kind, Lease, Sample, State
from shared.domain.lifecycle import expires_at
from shared.domain.policy import Policy
from shared.edge import tokens
from shared.edge.names import LeaseId, UserIdIfAny
from shared.edge.web import Answer, Asked

_TAG = re.compile(r'(W/)?"([^"]*)"')
_TAGS = r'^[ \t]*(\*|(W/)?"[^",]*"([ \t]*,[ \t]*(W/)?"[^",]*")*)?[ \t]*$'
_ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
_UNTIL = {
    "anyOf": [
        {"type": "string", "format": "date-time", "examples": ["2027-01-15T18:00:00+01:00"]},
        {"type": "number", "description": "Seconds since the epoch."},
        {"type": "null"},
    ]
}


def _revisions(text: Any) -> frozenset[int] | None:
    """The revisions that an If-Match names (RFC 9110 §13.1.1), None for any; a weak tag matches nothing."""
    if text.strip() in ("", "*"):
        return None
    tags = [_TAG.fullmatch(part.strip()) for part in text.split(",")]
    if not all(tags):
        raise PydanticCustomError("if_match", 'write *, or ETags in quotes, such as "3"')
    return frozenset(int(tag[2]) for tag in tags if tag and not tag[1] and re.fullmatch("[0-9]{1,18}", tag[2]))


def _instant(value: Any) -> Any:
    """Seconds since the epoch: a number of them, or an ISO 8601 instant that says its zone."""
    if not isinstance(value, str):
        return value
    try:
        return seconds_of(value)
    except (ValueError, OverflowError):
        raise PydanticCustomError("instant", "write an instant with its zone: 2027-01-15T18:00:00+01:00") from None


def _digits(value: Any) -> Any:
    """As a query writes a number: the library would also read 1_0, +1, 1.0, and one between blanks."""
    if isinstance(value, str) and not re.fullmatch("-?[0-9]{1,9}", value):
        raise PydanticCustomError("digits", "input should be a valid integer, in digits")
    return value


def _one_line(text: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise PydanticCustomError("one_line", "write one line without control characters")
    return text


class Named(Asked):
    """One lease: its id from the path, and whose it is where that is not the caller."""

    id: LeaseId
    owner: UserIdIfAny = ""


class Steered(Named):
    """If-Match: only where the lease is of a revision that the caller has seen, as its ETag says it."""

    revisions: Annotated[
        frozenset[int] | None, BeforeValidator(_revisions), WithJsonSchema({"type": "string", "pattern": _TAGS})
    ] = Field(None, alias="If-Match")


class Page(Asked):
    """Which part of a list."""

    after: tokens.Place = ""
    limit: Annotated[int, Field(strict=False, ge=1, le=200), BeforeValidator(_digits)] = 100


class Wished(Asked):
    """Until when to keep a lease, and why; `until` null ends that."""

    until: Annotated[FiniteFloat | None, BeforeValidator(_instant), WithJsonSchema(_UNTIL)]
    note: Annotated[str, Field(max_length=200, json_schema_extra={"pattern": _ONE_LINE}), AfterValidator(_one_line)] = (
        ""
    )


class Listing(Page):
    """Which leases, and which part of them; what is released is on no list."""

    owner: UserIdIfAny = ""
    kind: Literal["database"] | None = None
    state: (
        Literal["pending", "running", "hibernating", "hibernated", "waking", "archiving", "failed", "deleting"] | None
    ) = None


class Hold(Answer):
    until: datetime | None
    note: str


class Evidence(Answer):
    """What its server had counted for its user at `at`, and nothing since if it is quiet."""

    at: datetime | None
    connections: int
    connected: int
    statements: int

    @classmethod
    def of(cls, sample: Sample) -> Self:
        return cls(
            at=utc_if_any(sample.at),
            connections=sample.connections,
            connected=sample.connected,
            statements=sample.statements,
        )


class LeaseAnswer(Answer):
    """A lease as its owner sees it. `expires_at`: not before that it is taken away if it stays unused.

    `archived_until`: how long what it held is kept for the next one (left out: it is not stored).
    """

    id: str
    kind: Annotated[str, WithJsonSchema({"type": "string", "enum": list(Kind)})]
    owner: str
    state: Annotated[str, WithJsonSchema({"type": "string", "enum": list(State)})]
    reason: str
    revision: int
    generation: str
    created_at: datetime | None
    since: datetime | None
    last_beat_at: datetime | None
    last_use_at: datetime | None
    expires_at: datetime | None
    archived_until: datetime | None
    hold: Hold | None
    evidence: Evidence | None

    @property
    def etag(self) -> str:
        return f'"{self.revision}"'

    @classmethod
    def of(cls, lease: Lease, policy: Policy, now: float) -> Self:
        return cls(
            id=lease.id,
            kind=str(lease.kind),
            owner=lease.owner.user,
            state=str(lease.state),
            reason=lease.reason,
            revision=lease.revision,
            generation=lease.generation,
            created_at=utc_if_any(lease.created_at),
            since=utc_if_any(lease.since),
            last_beat_at=utc_if_any(lease.beat_at),
            last_use_at=utc_if_any(lease.used_at),
            expires_at=utc_if_any(expires_at(lease, policy)),
            archived_until=utc_if_any(lease.archive.until) if lease.archive and lease.archive.stored else None,
            hold=Hold(until=utc_if_any(lease.held_until), note=lease.hold_note) if lease.held(now) else None,
            evidence=Evidence.of(lease.sample) if lease.sample else None,
        )


class EventAnswer(Answer):
    """What became of a lease: a transition, or a hold where `before` is `after`."""

    at: datetime | None
    generation: str
    before: str
    after: str
    reason: str
    actor: str

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(
            at=utc_if_any(event.at),
            generation=event.generation,
            before=event.before,
            after=event.after,
            reason=event.reason,
            actor=event.actor,
        )
