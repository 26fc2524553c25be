"""What is told of our own doings. Adapter: `adapters.telemetry`; `SILENT` where nobody wants to know."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Sort(StrEnum):
    """What becomes of the values that are told of a metric."""

    COUNTER = "counter"  # they are added up; none is negative
    CHANGE = "change"  # they are added up
    GAUGE = "gauge"  # the last one counts
    HISTOGRAM = "histogram"  # how they are spread


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One row of `metrics`. `name` and `unit` are OpenTelemetry's; each value comes with a text for each of `labels`.

    A label's text is one of few: never an owner, an id, a path with one in it, or anybody's free text.
    """

    name: str
    unit: str
    sort: Sort
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


class Reach(StrEnum):
    """What a span is to whoever began it."""

    SERVER = "server"  # the answer to a request
    CONSUMER = "consumer"  # what a message or a timer brought about
    CLIENT = "client"  # a request of ours to somebody else
    INTERNAL = "internal"


class Span(Protocol):
    """A part of a request while it lasts."""

    def note(self, name: str, value: str | int) -> None:
        """Say something of it, under the same rule as labels."""


class Telemetry(Protocol):
    """Measurements and spans. Nothing here waits, and nothing raises for what happens while we run."""

    def tell(self, metric: Metric, value: float, *labels: str) -> None:
        """A value, with a text for each of the metric's labels."""

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Have a gauge without labels read whenever somebody looks, from any thread; the last `read` counts."""

    def span(self, name: str, reach: Reach = Reach.INTERNAL) -> AbstractContextManager[Span]:
        """What happens inside is a part of what was under way here; an error's kind is noted, its text is not."""


class _Silence:
    """Says nothing of anything, and so costs next to nothing."""

    def __enter__(self) -> "_Silence":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was begun."""

    def note(self, name: str, value: str | int) -> None:
        """Nobody listens."""

    def tell(self, metric: Metric, value: float, *labels: str) -> None:
        """Nobody listens."""

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        """Nobody looks."""

    def span(self, name: str, reach: Reach = Reach.INTERNAL) -> AbstractContextManager[Span]:
        return self


UNSEEN: AbstractContextManager[Span] = _Silence()
SILENT: Telemetry = _Silence()
