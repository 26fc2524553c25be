"""Queries as the gateway answers them: plans, one physical partition at a time, page by page."""

import base64
import json
from typing import Any

from tests.doubles.cosmos_server.container import Container, Item
from tests.doubles.cosmos_server.refusals import CROSS_PARTITION, Refused
from tests.doubles.cosmos_server.sql import Query, parse_query

PAGE = 100  # items, where the client does not say


def parse(container: Container, body: Item) -> Query:
    """Raises Refused(400) for what is not understood, or orders by what has no index."""
    if not isinstance(body.get("query"), str) or body.keys() - {"query", "parameters"}:
        raise Refused(400, "a query is an object with `query` and `parameters`")
    parameters = {parameter["name"]: parameter["value"] for parameter in body.get("parameters", [])}
    query = parse_query(body["query"], parameters)
    if query.order_by and not container.indexed(query.order_by):
        raise Refused(400, "The order-by item requires a range index to be defined on the corresponding index path")
    return query


def plan(container: Container, body: Item) -> Item:
    """What the gateway tells a client that has to ask every physical partition itself."""
    query = parse(container, body)
    ordered = query.order_by
    return {
        "partitionedQueryExecutionInfoVersion": 2,
        "queryInfo": {
            "distinctType": "None", "top": None, "offset": None, "limit": None,
            "orderBy": ["Ascending"] if ordered else [],
            "orderByExpressions": [f"c.{ordered}"] if ordered else [],
            "groupByExpressions": [], "groupByAliases": [], "aggregates": [], "groupByAliasToAggregateType": {},
            "rewrittenQuery": query.plan() if ordered else body["query"],
            "hasSelectValue": bool(query.value), "hasNonStreamingOrderBy": False,
        },
        "queryRanges": [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}],
    }  # fmt: skip


def ranges(container: Container) -> list[Item]:
    """The physical partitions and which part of the hashes each of them holds."""
    bounds = ["", *(f"{256 * n // container.ranges:02X}" for n in range(1, container.ranges)), "FF"]
    return [
        {"id": str(n), "minInclusive": bounds[n], "maxExclusive": bounds[n + 1], "_rid": f"range{n}", "parents": [],
         "status": "online", "_self": "x", "_etag": '"1"', "_ts": 1}
        for n in range(container.ranges)
    ]  # fmt: skip


def answer(container: Container, body: Item, partition: str | None, range: int | None, size: int,
           continuation: str) -> tuple[list[Any], str]:  # fmt: skip
    """One page, and the token of the next ("" ends)."""
    query = parse(container, body)
    if partition is None and range is None:
        raise Refused(400, "Cross partition query only supports ... on the gateway", CROSS_PARTITION)
    if range is not None and not 0 <= range < container.ranges:
        raise Refused(400, f"no physical partition {range}")

    def place(item: Item) -> tuple[Any, str]:
        return (item[query.order_by] if query.order_by else 0), item["_rid"]

    found = sorted((item for item in container.items(partition=partition, range=range) if query.finds(item)), key=place)
    if continuation:
        after = json.loads(base64.b64decode(continuation))
        found = [item for item in found if place(item) > tuple(after)]
    page = found[:size]
    token = base64.b64encode(json.dumps(place(page[-1])).encode()).decode() if len(found) > size else ""
    if query.rewritten:
        return [
            {"_rid": item["_rid"], "orderByItems": [{"item": item[query.order_by]}], "payload": item} for item in page
        ], token
    if query.value:
        return [item[query.value] for item in page], token
    return page, token
