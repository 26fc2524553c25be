"""The one Cosmos DB container there is, and every query that is asked of it.

Infrastructure creates it from these numbers; so do the tests. All items of an owner (leases and
events) share a partition, so that a lease and its event are written in one batch; the records of
the control plane have a partition of their own.

The account must have one write region, because an etag guards one region only, and should have
strong consistency: with a weaker one a read may lag behind a write of another process. That loses
nothing, because every write is a compare-and-set, but it costs conflicts.
"""

from typing import Any

PARTITION_KEY = "/owner"

CONTAINER: dict[str, Any] = {
    # Version 2 takes keys of up to 2 KB; a user's name percent-encoded is longer than version 1's 101 bytes.
    "partitionKey": {"paths": [PARTITION_KEY], "kind": "Hash", "version": 2},
    "defaultTtl": -1,  # items live until their own `ttl` says otherwise: tombstones alone carry one
    "indexingPolicy": {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": f"/{name}/?"} for name in ("due_at", "slot", "kind", "revoked_at", "at")],
        "excludedPaths": [{"path": "/*"}, {"path": '/"_etag"/?'}],
    },
}

# Only leases have a due_at and a slot. A page is continued by the last slot it held, not by the
# service's token: the SDK takes that from a field all concurrent requests share.
DUE = "SELECT * FROM c WHERE c.due_at <= @now AND ARRAY_CONTAINS(@states, c.state) ORDER BY c.due_at"
PAGE = "SELECT * FROM c WHERE c.slot > @after AND c.state != 'released' ORDER BY c.slot"
OF = "SELECT * FROM c WHERE c.slot > @after AND c.slot < @before AND c.state != 'released' ORDER BY c.slot"
COUNT = "SELECT VALUE c.slot FROM c WHERE c.slot > @after AND c.slot < @before AND c.state != 'released'"
SINCE = "SELECT * FROM c WHERE c.at >= @at ORDER BY c.at"  # only events have it
REVOKED = "SELECT * FROM c WHERE c.revoked_at > @since"  # only holders have it
EVENTS = "SELECT * FROM c WHERE c.kind = 'event'"


def beat_condition(now: str, due: str) -> str:
    """The predicate of a beat's conditional patch; it takes no parameters, so these are JSON numbers."""
    return f"FROM c WHERE c.state = 'running' AND c.beat_at < {now} AND c.due_at < {due} AND c.look_by >= {due}"
