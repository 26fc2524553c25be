"""Leases, events, holders and records as the JSON documents that the stores keep.

An item's `id` is safe in a URL path and carries what it is (`lease-…`, `event-…`, `holder-…`, `record-…`), so
that nobody's choice of a name collides with another kind of item in the same partition. `_etag`
is the store's own and never part of an item that is written.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import quote, unquote

from shared.domain.errors import StoreUnavailable
from shared.domain.holders import Holder, Invitation, Issued
from shared.domain.identity import Role
from shared.domain.leases import Archive, Event, Lease, Owner, Sample, State
from shared.ports.leases import Record

log = logging.getLogger("playground.store")

type Item = dict[str, Any]

CERTIFICATES = "certificates"  # the name of the one holder that an owner has
RECORDS = "records"  # the records' partition; an owner's key always holds a slash

# What this release looks at. A store asks for these by name, before it counts up to a limit: leases in a
# state that only a newer release knows would otherwise fill every batch and starve all that come after.
LOOKED_AT = tuple(str(state) for state in State if state is not State.RELEASED)

_KINDS: dict[type, str] = {Lease: "lease", Event: "event", Holder: "holder", Record: "record"}
_LEASE = tuple(f.name for f in fields(Lease) if f.name not in ("owner", "id", "etag"))
_EVENT = tuple(f.name for f in fields(Event) if f.name != "owner")
_OPTIONAL = ("by", "serial", "trace")  # of an event: left out where they say nothing
_PARTS: dict[str, type] = {"sample": Sample, "archive": Archive}  # properties of a lease that are objects themselves


def item_id(kind: type, name: str) -> str:
    """`<kind>-<name>`, with `~XX` for each byte but letters, digits, `_`, `-` and `.`.

    Cosmos DB refuses `/ \\ ? #` in an id, and clients and proxies disagree over `%` in a path.
    """
    return f"{_KINDS[kind]}-{quote(name, safe='').replace('~', '%7E').replace('%', '~')}"


def item_name(id: str) -> str:
    """The name that `item_id` was given."""
    return unquote(id.partition("-")[2].replace("~", "%"))


def slot(owner: Owner, id: str) -> str:
    """Names one lease among all and orders them: `<owner key>/<item id>`, ASCII without blanks."""
    return f"{owner.key}/{item_id(Lease, id)}"


def slots(whose: Owner | str) -> tuple[str, str]:
    """Between which two all slots of an owner, or of a tenant, are; neither is a slot itself."""
    prefix = whose.key if isinstance(whose, Owner) else whose
    return f"{prefix}/", f"{prefix}0"  # 0 is the character after the slash


def to_item(thing: Lease | Event | Holder | Record) -> Item:
    """The document to store. Raises ValueError for a number that JSON has no way to say."""
    match thing:
        case Lease():
            item: Item = {name: getattr(thing, name) for name in _LEASE}
            item["state"] = str(thing.state)
            for name, part in _PARTS.items():
                if item[name] is not None:
                    item[name] = {f.name: getattr(item[name], f.name) for f in fields(part)}
            owner, name = thing.owner.key, thing.id
            item["slot"] = slot(thing.owner, thing.id)
        case Event():
            item = {name: getattr(thing, name) for name in _EVENT if name not in _OPTIONAL or getattr(thing, name)}
            owner, name = thing.owner.key, thing.id
        case Holder():
            item = {
                "invitations": [asdict(each) for each in thing.invitations],
                "certificates": [asdict(each) for each in thing.certificates],
                "revoked_at": thing.revoked_at,
                "gone_at": thing.gone_at,
            }
            owner, name = thing.owner.key, CERTIFICATES
        case Record():
            item = {"value": thing.value}
            owner, name = RECORDS, thing.name
    json.dumps(item, allow_nan=False)
    return {"id": item_id(type(thing), name), "owner": owner, "kind": _KINDS[type(thing)], **item}


def lease_from(item: Item) -> Lease:
    """The lease that `to_item` was given, with the item's `_etag` ("" if it has none).

    Properties it does not know are left out; ones that are missing take the dataclass's default.
    Raises StoreUnavailable for what it cannot read, such as a state that only a newer release knows.
    """
    try:
        values = {name: item[name] for name in _LEASE if name in item}
        values["state"] = State(values["state"])
        for name, part in _PARTS.items():
            if values.get(name) is not None:
                known = {f.name for f in fields(part)} & values[name].keys()
                values[name] = part(**{property: values[name][property] for property in known})
        owner = Owner.from_key(item["owner"])
        return Lease(owner=owner, id=item_name(item["id"]), etag=item.get("_etag", ""), **values)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{item.get('owner')} {item.get('id')}"
        raise StoreUnavailable(f"the lease {what} is not readable by this release: {error!r}") from error


def leases_from(items: Iterable[Item]) -> list[Lease]:
    """The leases among `items` that can be read: one that cannot must not stop a pass over the others."""
    leases = []
    for item in items:
        try:
            leases.append(lease_from(item))
        except StoreUnavailable as error:
            log.error("left out: %s", error)
    return leases


def event_from(item: Item) -> Event:
    """The event that `to_item` was given; a property that is missing takes the dataclass's default."""
    return Event(owner=Owner.from_key(item["owner"]), **{name: item[name] for name in _EVENT if name in item})


def holder_from(item: Item) -> Holder:
    """The holder that `to_item` was given, with the item's `_etag`. Raises StoreUnavailable for what it cannot read."""
    try:
        return Holder(
            Owner.from_key(item["owner"]),
            tuple(_entry(Invitation, each) for each in item["invitations"]),
            tuple(_entry(Issued, each) for each in item["certificates"]),
            item["revoked_at"],
            item.get("_etag", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        what = f"the certificates of {item.get('owner')}"
        raise StoreUnavailable(f"{what} are not readable by this release: {error!r}") from error


def _entry[Entry: (Invitation, Issued)](kind: type[Entry], values: Item) -> Entry:
    known: Item = {f.name: values[f.name] for f in fields(kind) if f.name in values}
    return kind(**{**known, "role": Role(values["role"])})


def record_from(item: Item) -> Record:
    """The record that `to_item` was given, with the item's `_etag`."""
    return Record(item_name(item["id"]), item["value"], item.get("_etag", ""))


def oldest_first(events: Iterable[Event]) -> list[Event]:
    """Events by the clock of whoever wrote them; of one instant, by step."""
    return sorted(events, key=lambda event: (event.at, event.generation, event.step))
