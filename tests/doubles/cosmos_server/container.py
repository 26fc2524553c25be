"""One container's items: keys, ETags, time to live, and the operations on one partition."""

import copy
import itertools
import json
import zlib
from typing import Any
from uuid import uuid4

from shared.ports.clock import Clock
from tests.doubles.cosmos_server.refusals import WRONG_PARTITION, Refused
from tests.doubles.cosmos_server.sql import parse_condition

type Item = dict[str, Any]

# https://learn.microsoft.com/azure/cosmos-db/concepts-limits
LONGEST_ID = 1023  # bytes
LONGEST_KEY = 2048  # bytes, of a version 2 partition key
LARGEST_ITEM = 2 * 1024 * 1024  # bytes of JSON; also of a batch
MOST_OPERATIONS = 100  # in a batch
MOST_CHANGES = 10  # in a patch


class Container:
    """Items by (partition, id), in `ranges` physical partitions. Nothing here awaits: all is atomic."""

    def __init__(self, definition: Item, clock: Clock, ranges: int):
        paths = definition["partitionKey"]["paths"]
        if len(paths) != 1:
            raise Refused(400, "one partition key path, please")
        self.definition = {**definition, "_rid": uuid4().hex, "_self": "colls/x/", "_etag": _etag(), "_ts": 0}
        self.key = paths[0].removeprefix("/")
        self.ranges = ranges
        self._clock = clock
        self._items: dict[tuple[str, str], Item] = {}
        self._rids = itertools.count(1)

    def range_of(self, partition: str) -> int:
        """Which physical partition a logical one lives in."""
        return zlib.crc32(partition.encode()) % self.ranges

    def items(self, *, partition: str | None = None, range: int | None = None) -> list[Item]:
        """What is alive in a logical or in a physical partition."""
        return [
            item
            for (key, _), item in self._items.items()
            if (partition is None or key == partition)
            and (range is None or self.range_of(key) == range)
            and not self._expired(item)
        ]

    def indexed(self, name: str) -> bool:
        """Whether a top-level property has an index. Of a policy's paths the longest match decides."""
        policy = self.definition.get("indexingPolicy", {"includedPaths": [{"path": "/*"}]})
        return {"path": f"/{name}/?"} in policy["includedPaths"] or {"path": "/*"} in policy["includedPaths"]

    def read(self, partition: str, id: str) -> Item:
        item = self._items.get((partition, id))
        if item is None or self._expired(item):
            raise Refused(404, "Resource Not Found")
        return item

    def create(self, partition: str, item: Item) -> Item:
        self._check(partition, item, item.get("id"))
        if (partition, item["id"]) in self._items and not self._expired(self._items[partition, item["id"]]):
            raise Refused(409, "Resource with specified id already exists")
        return self._store(partition, item)

    def replace(self, partition: str, id: str, item: Item, if_match: str | None) -> Item:
        self._check(partition, item, id)
        self._match(self.read(partition, id), if_match)
        return self._store(partition, item)

    def patch(self, partition: str, id: str, body: Item, if_match: str | None) -> Item:
        item = self.read(partition, id)
        self._match(item, if_match)
        if not 0 < len(body["operations"]) <= MOST_CHANGES:
            raise Refused(400, "a patch has 1 to 10 operations")
        condition = body.get("condition")
        if condition is not None and not parse_condition(condition).finds(item):
            raise Refused(412, "the condition does not hold")
        changed = copy.deepcopy(item)
        for change in body["operations"]:
            name = change["path"].removeprefix("/")
            if change["op"] != "set" or "/" in name:
                raise Refused(400, f"not modelled: {change['op']} {change['path']}")
            if name in ("id", self.key) or name.startswith("_"):
                raise Refused(400, f"{name} cannot be patched")
            changed[name] = change["value"]
        return self._store(partition, changed)

    def batch(self, partition: str, operations: list[Item]) -> tuple[int, list[Item]]:
        """All of them or none: (HTTP status, results). 424 for what fell with the one that failed."""
        if not 0 < len(operations) <= MOST_OPERATIONS:
            raise Refused(400, "a batch has 1 to 100 operations")
        if len(json.dumps(operations)) > LARGEST_ITEM:
            raise Refused(413, "a batch has at most 2 MB")
        before, results = dict(self._items), []
        for at, operation in enumerate(operations):
            try:
                status, item = self._operate(partition, operation)
            except Refused as refused:
                self._items = before
                failed = [{"statusCode": 424, "requestCharge": 0} for _ in operations]
                failed[at]["statusCode"] = refused.status
                return 207, failed
            results.append({"statusCode": status, "requestCharge": 1, "eTag": item["_etag"], "resourceBody": item})
        return 200, results

    def _operate(self, partition: str, operation: Item) -> tuple[int, Item]:
        unknown = operation.keys() - {"operationType", "id", "resourceBody", "ifMatch"}
        match operation["operationType"]:
            case "Create" if not unknown:
                return 201, self.create(partition, operation["resourceBody"])
            case "Replace" if not unknown:
                body = operation["resourceBody"]
                return 200, self.replace(partition, operation["id"], body, operation.get("ifMatch"))
        raise Refused(400, f"not modelled: {operation['operationType']} with {sorted(unknown)}")

    def _store(self, partition: str, item: Item) -> Item:
        key = (partition, item["id"])
        before = self._items.get(key)
        kept = {name: value for name, value in item.items() if not name.startswith("_")}
        kept["_rid"] = before["_rid"] if before and not self._expired(before) else f"{next(self._rids):012d}"
        kept |= {"_self": "docs/x/", "_etag": _etag(), "_attachments": "attachments/", "_ts": int(self._clock.now())}
        self._items[key] = kept
        return kept

    def _check(self, partition: str, item: Item, id: Any) -> None:
        if not isinstance(id, str) or not id or len(id.encode()) > LONGEST_ID or any(c in id for c in "/\\?#"):
            raise Refused(400, f"not an id: {id!r}")
        if item.get("id") != id:
            raise Refused(400, "the id in the document is not that of the request")
        if item.get(self.key) != partition:
            raise Refused(400, "the partition key is not the document's", WRONG_PARTITION)
        if len(partition.encode()) > LONGEST_KEY:
            raise Refused(400, "the partition key is longer than 2 KB")
        if len(json.dumps(item)) > LARGEST_ITEM:
            raise Refused(413, "an item has at most 2 MB")
        ttl = item.get("ttl")
        if ttl is not None and (type(ttl) is not int or (ttl <= 0 and ttl != -1) or ttl >= 2**31):
            raise Refused(400, "ttl is a nonzero positive integer or -1")

    def _match(self, item: Item, if_match: str | None) -> None:
        """An empty condition may be none at all to the service, so to the stand-in it is."""
        if if_match and if_match != item["_etag"]:
            raise Refused(412, "One of the specified pre-condition is not met")

    def _expired(self, item: Item) -> bool:
        """`_ts + ttl` is over. Without the container's own `defaultTtl` no item expires."""
        default = self.definition.get("defaultTtl")
        if default is None:
            return False
        ttl = item.get("ttl", default)
        return bool(ttl != -1 and self._clock.now() >= item["_ts"] + ttl)


def _etag() -> str:
    return f'"{uuid4()}"'
