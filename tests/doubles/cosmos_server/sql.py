"""The few queries the stand-in knows, parsed strictly: whatever else comes is a 400.

    SELECT * FROM c [WHERE condition] [ORDER BY c.name]
    SELECT VALUE c.name FROM c [WHERE condition]
    FROM c WHERE condition                                            (the predicate of a patch)
    SELECT c._rid, [{"item": c.name}] AS orderByItems, c AS payload FROM c WHERE … ORDER BY c.name

The last is what a query plan makes of the first for each physical partition. A condition is
comparisons of a top-level property with a number, a 'string' or a @parameter, joined by AND; and
`ARRAY_CONTAINS(@parameter, c.name)`, true where an element of that array equals the property.
A comparison with a property that is missing or has another type is undefined, so nothing is found
(https://learn.microsoft.com/azure/cosmos-db/nosql/query/equality-comparison-operators).
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.doubles.cosmos_server.refusals import Refused

TOKEN = re.compile(r"""\s*(?:(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|'(?P<string>[^'\\]*)'
    |(?P<parameter>@\w+)|c\.(?P<property>\w+)|(?P<operator><=|>=|!=|[=<>])
    |(?P<mark>[*(),\[\]{}:])|"(?P<quoted>\w+)"|(?P<word>[A-Za-z]\w*))""", re.VERBOSE)  # fmt: skip
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
CONTAINED = "ARRAY_CONTAINS"
FILTER = "{documentdb-formattableorderbyquery-filter}"  # the SDK puts `true` there


@dataclass(frozen=True)
class Comparison:
    """`c.property operator value`, or `ARRAY_CONTAINS(value, c.property)`."""

    property: str
    operator: str
    value: Any

    def holds(self, item: dict[str, Any]) -> bool:
        have = item.get(self.property)
        if self.operator == CONTAINED:
            return any(_type(have) == _type(value) and have == value for value in self.value)
        if _type(have) != _type(self.value) or _type(have) is None:
            return False
        return OPERATORS[self.operator](have, self.value)


@dataclass(frozen=True)
class Query:
    """A parsed query. `rewritten`: each item comes with what it is ordered by."""

    where: tuple[Comparison, ...] = ()
    order_by: str = ""
    rewritten: bool = False
    where_text: str = ""
    value: str = ""  # the property that is all there is to come of each item

    def finds(self, item: dict[str, Any]) -> bool:
        return (not self.order_by or self.order_by in item) and all(c.holds(item) for c in self.where)

    def plan(self) -> str:
        """The query that each physical partition is asked instead; only for one that orders."""
        name = self.order_by
        where = f"({self.where_text}) AND ({FILTER})" if self.where else FILTER
        return (
            f'SELECT c._rid, [{{"item": c.{name}}}] AS orderByItems, c AS payload\n'
            f"FROM c\nWHERE ({where})\nORDER BY c.{name}"
        )


def parse_query(text: str, parameters: dict[str, Any]) -> Query:
    """Raises Refused(400)."""
    parser = _Parser(text, parameters)
    parser.word("SELECT")
    listed = ""
    if parser.take("word", "VALUE"):
        value = parser.need("property")
        return replace(parser.from_where(order=False), value=value)
    if not parser.take("mark", "*"):
        listed = parser.rewritten_list()
    query = parser.from_where(order=True)
    if listed and listed != query.order_by:
        raise Refused(400, f"it selects {listed} and orders by {query.order_by or 'nothing'}")
    return Query(query.where, query.order_by, bool(listed), query.where_text)


def parse_condition(text: str) -> Query:
    """The predicate of a conditional patch. Raises Refused(400)."""
    return _Parser(text, {}).from_where(order=False)


class _Parser:
    def __init__(self, text: str, parameters: dict[str, Any]):
        self.text, self.parameters = text, parameters
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise Refused(400, f"syntax error near {text[at : at + 20]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup], at))
            at = match.end()
        self.at = 0

    def peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def take(self, kind: str, value: str | None = None) -> str:
        have_kind, have, _ = self.peek()
        if have_kind != kind or (value is not None and have.upper() != value.upper()):
            return ""
        self.at += 1
        return have

    def word(self, *words: str) -> None:
        for word in words:
            if not self.take("word", word):
                raise Refused(400, f"expected {word} near {self.text[self.peek()[2] :][:20]!r}")

    def need(self, kind: str, value: str | None = None) -> str:
        have = self.take(kind, value)
        if not have:
            raise Refused(400, f"expected {value or kind} near {self.text[self.peek()[2] :][:20]!r}")
        return have

    def rewritten_list(self) -> str:
        self.need("property", "_rid")
        for kind, value in (("mark", ","), ("mark", "["), ("mark", "{"), ("quoted", "item"), ("mark", ":")):
            self.need(kind, value)
        name = self.need("property")
        for mark in "}]":
            self.need("mark", mark)
        self.word("AS", "orderByItems")
        self.need("mark", ",")
        self.word("c", "AS", "payload")
        return name

    def from_where(self, order: bool) -> Query:
        self.word("FROM", "c")
        where: list[Comparison] = []
        text = ""
        if self.take("word", "WHERE"):
            begin = self.peek()[2]
            self.condition(where)
            text = self.text[begin : self.peek()[2]].strip()
        name = ""
        if order and self.take("word", "ORDER"):
            self.word("BY")
            name = self.need("property")
        if self.peek()[0] != "end":
            raise Refused(400, f"not understood: {self.text[self.peek()[2] :][:40]!r}")
        return Query(tuple(where), name, False, text)

    def condition(self, found: list[Comparison]) -> None:
        while True:
            if self.take("mark", "("):
                self.condition(found)
                self.need("mark", ")")
            elif self.take("word", CONTAINED):
                found.append(self.contained())
            elif not self.take("word", "true"):
                found.append(Comparison(self.need("property"), self.need("operator"), self.value()))
            if not self.take("word", "AND"):
                return

    def contained(self) -> Comparison:
        self.need("mark", "(")
        values = self.value()
        if not isinstance(values, list):
            raise Refused(400, "only an array in a parameter is understood")
        self.need("mark", ",")
        name = self.need("property")
        self.need("mark", ")")
        return Comparison(name, CONTAINED, values)

    def value(self) -> Any:
        kind, text, _ = self.peek()
        self.at += 1
        match kind:
            case "number":
                return float(text)
            case "string":
                return text
            case "parameter" if text in self.parameters:
                return self.parameters[text]
        raise Refused(400, f"no value: {text!r}")


def _type(value: Any) -> type | None:
    if isinstance(value, bool) or value is None:
        return None  # nothing here compares them
    return float if isinstance(value, int | float) else type(value)
