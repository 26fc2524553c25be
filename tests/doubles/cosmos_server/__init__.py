"""A stand-in for Cosmos DB for NoSQL, spoken to over loopback by the real SDK.

This is not Cosmos DB and no emulator of it: it is what the adapter needs, written from Microsoft's
documentation, and strict. What it does not know it refuses with 400; it never answers more than
was asked.

It models: keys and ids with their limits, the master key's signature, point reads, create and
replace, 404/409/412, ETags, conditional patch (`set` of top-level properties), transactional
batches (atomic; 424 for those beside the one that failed), `ttl` against an injected clock,
isolation of partitions, several physical partitions with the gateway's refusal (400/1004), query
plan, rewritten ORDER BY query and continuation that cross-partition queries meet, the rule that
ORDER BY needs an index, 429 and 503, answers that hang or never come.

It does not model: consistency levels (every read is current), replication, regions and failover,
request units, indexes as such, splits of partitions, roles and tokens, stored procedures, change
feed, other queries than those of `sql`, other SDKs.
"""

from tests.doubles.cosmos_server.faults import Fault
from tests.doubles.cosmos_server.server import KEY, CosmosServer

__all__ = ["KEY", "CosmosServer", "Fault"]
