"""Which answer of Kubernetes counts as which."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from shared.adapters.k8s.answers import Refusal, refused, unavailable
from shared.adapters.k8s.api import AlreadyExists, Change, ObjectConflict, ObjectGone, WatchExpired
from shared.adapters.k8s.observed import ObservedApi
from shared.ports import metrics
from shared.ports.telemetry import SILENT, Metric

POD: dict[str, Any] = {"kind": "Pod"}


def refusal(code: int) -> Exception:
    error, answered = Refusal(code, "Because", "no"), refused(Refusal(code, "Because", "no"))
    answered.__cause__ = error
    return answered


class Answers:
    """An `Api` each of whose verbs does the same."""

    def __init__(self, answer: Any):
        self._answer = answer

    def __getattr__(self, verb: str) -> Any:
        async def answer(*args: Any) -> Any:
            if isinstance(self._answer, Exception):
                raise self._answer
            return self._answer

        return answer

    async def watch(self, *args: Any) -> AsyncGenerator[Change]:
        yield Change("BOOKMARK", {})
        if isinstance(self._answer, Exception):
            raise self._answer


class Heard:
    """What was told, without how long it took."""

    span = SILENT.span

    def __init__(self) -> None:
        self.labels: list[tuple[str, ...]] = []

    def tell(self, metric: Metric, value: float, *labels: str) -> None:
        assert metric is metrics.CLUSTER and value >= 0
        self.labels.append(labels)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("get", ("Pod", "a")), ("create", (POD,)), ("replace", (POD,)), ("delete", ("Pod", "a", "b", "c")),
     ("page", ("Pod",)), ("run", ("pod", "container", ["ls"]))],
)  # fmt: skip
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (POD, "200"), (AlreadyExists(), "409"), (ObjectConflict(), "409"), (ObjectGone(), "404"),
        (WatchExpired(), "410"), (refusal(403), "403"), (refusal(429), "429"), (refusal(500), "500"),
        (unavailable(TimeoutError()), "none"), (ZeroDivisionError(), "none"),
    ],
)  # fmt: skip
async def test_each_request_is_told_by_verb_kind_and_status_and_changes_nothing(
    verb: str, arguments: tuple[Any, ...], answer: Any, status: str
):
    heard = Heard()
    api: Any = ObservedApi(Answers(answer), heard)  # type: ignore[arg-type]
    if isinstance(answer, Exception):
        with pytest.raises(type(answer)):
            await getattr(api, verb)(*arguments)
    else:
        assert await getattr(api, verb)(*arguments) is (None if verb == "delete" else answer)
    assert heard.labels == [(verb, "Pod", status)]


async def test_what_is_not_there_is_404():
    heard = Heard()
    assert await ObservedApi(Answers(None), heard).get("Pod", "a") is None  # type: ignore[arg-type]
    assert heard.labels == [("get", "Pod", "404")]


@pytest.mark.parametrize(("answer", "status"), [(None, "200"), (WatchExpired(), "410"), (refusal(500), "500")])
async def test_a_watch_is_told_when_it_ends(answer: Any, status: str):
    heard, seen = Heard(), []
    try:
        async for change in ObservedApi(Answers(answer), heard).watch("Pod", "", "", "1"):  # type: ignore[arg-type]
            seen.append(change.type)
    except Exception as error:
        assert error is answer
    assert seen == ["BOOKMARK"]
    assert heard.labels == [("watch", "Pod", status)]
