"""Which function serves a path: Azure's route templates.

Matched as ASP.NET Core does it for Azure: letters of either case, a trailing slash is ignored,
literals win over parameters, parameters over `{*rest}`; escapes are decoded except `%2F`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from selfhost.errors import CannotStart
from selfhost.triggers import HttpTrigger

_PARAMETER = re.compile(r"\{(?P<rest>\*{0,2})(?P<name>\w+)(?P<int>:int)?(?P<optional>\?)?\}")
_ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)
_LITERAL, _INT, _ANY, _REST = range(4)  # in the order in which they win


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    name: str  # a literal's lower-case text, a parameter's name
    optional: bool = False

    def accepts(self, part: str) -> bool:
        if self.kind == _LITERAL:
            return part.lower() == self.name
        if self.kind == _INT and part:
            return re.fullmatch("[+-]?[0-9]{1,10}", part) is not None
        return bool(part) or self.optional


@dataclass(frozen=True, slots=True)
class _Template:
    function: str
    methods: tuple[str, ...]
    segments: tuple[_Segment, ...]

    @property
    def shape(self) -> tuple[tuple[int, str], ...]:
        """What makes two templates match the same paths; the order in which templates are tried."""
        return tuple((part.kind, part.name if part.kind == _LITERAL else "") for part in self.segments)

    def serves(self, method: str) -> bool:
        return not self.methods or method in self.methods

    def match(self, parts: Sequence[str]) -> dict[str, str] | None:
        """The parameters if these decoded segments fit, else None."""
        segments = self.segments
        rest = bool(segments) and segments[-1].kind == _REST
        if rest:
            head = len(segments) - 1
            parts = [*parts[:head], "/".join(parts[head:])]
        if len(parts) > len(segments):
            return None
        parts = [*parts, *[""] * (len(segments) - len(parts))]
        if not all(segment.accepts(part) for segment, part in zip(segments, parts, strict=True)):
            return None
        return {segment.name: part for segment, part in zip(segments, parts, strict=True) if segment.kind and part}


class Routes:
    """The HTTP functions of an app by path and method."""

    def __init__(self, triggers: Iterable[HttpTrigger], prefix: str = "") -> None:
        """Raises CannotStart for a template not understood and for two functions on one route."""
        self._templates = sorted((_template(trigger, prefix) for trigger in triggers), key=lambda each: each.shape)
        self._literal: dict[tuple[str, str], str] = {}
        for index, template in enumerate(self._templates):
            for other in self._templates[:index]:
                shared = set(template.methods) & set(other.methods) or not (template.methods and other.methods)
                if other.shape == template.shape and shared:
                    raise CannotStart(f"functions {other.function} and {template.function} have the same route")
            if all(segment.kind == _LITERAL for segment in template.segments):
                path = "/" + "/".join(segment.name for segment in template.segments)
                for method in template.methods:
                    self._literal[method, path] = template.function

    def find(self, method: str, path: str) -> tuple[str, dict[str, str], list[str]]:
        """The function's name and parameters; without a function "" and the methods it allows.

        None allowed means: there is no such path. HEAD goes where GET goes.
        """
        function = self._literal.get((method, path))
        if function is not None:
            return function, {}, []
        parts = [_decoded(part) for part in path.strip("/").split("/")] if path.strip("/") else []
        if "." in parts or ".." in parts:
            return "", {}, []
        allowed: set[str] = set()
        for template in self._templates:
            params = template.match(parts)
            if params is None:
                continue
            if template.serves(method):
                return template.function, params, []
            allowed.update(template.methods)
        if "GET" in allowed:
            if method == "HEAD":
                return self.find("GET", path)
            allowed.add("HEAD")
        return "", {}, sorted(allowed)


def _template(trigger: HttpTrigger, prefix: str) -> _Template:
    texts = [part for part in f"{prefix}/{trigger.route}".split("/") if part]
    segments = []
    for index, text in enumerate(texts):
        found = _PARAMETER.fullmatch(text)
        if found is None:
            if "{" in text or "}" in text:
                raise CannotStart(f"function {trigger.name}: {text} in its route is not understood here")
            segments.append(_Segment(_LITERAL, text.lower()))
            continue
        rest, optional = bool(found["rest"]), bool(found["optional"])
        if (rest or optional) and index + 1 < len(texts):
            raise CannotStart(f"function {trigger.name}: only the last part of a route may be {text}")
        kind = _REST if rest else _INT if found["int"] else _ANY
        segments.append(_Segment(kind, found["name"], optional or rest))
    return _Template(trigger.name, trigger.methods, tuple(segments))


def _decoded(part: str) -> str:
    return unquote(_ESCAPED_SLASH.sub("%252F", part)) if "%" in part else part
