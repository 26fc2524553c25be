"""The one table from error to status: complete, and telling strangers nothing of our own faults."""

import inspect
import json

import pytest

from shared.domain import errors
from shared.edge import problems

ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.PlaygroundError) and kind is not errors.PlaygroundError
]


OWN = [kind for kind in ALL if problems.answer(kind("")).status_code == 500] + [
    errors.StoreUnavailable,
    errors.ArchiveUnavailable,
    errors.AuthorityUnavailable,
]
BUSY = [kind for kind in ALL if problems.answer(kind("")).status_code in (429, 503)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_the_domain_has_a_status_or_is_a_kind_of_one_that_has(kind: type[errors.PlaygroundError]):
    assert set(kind.__mro__) & set(problems.TABLE)


@pytest.mark.parametrize(
    "kind", [*ALL, problems.TooLarge, problems.NotHttp, problems.WrongMethod, problems.HeadTooLarge]
)
def test_an_error_becomes_a_problem_document(kind: type[errors.PlaygroundError]):
    answer = problems.answer(kind("what happened"))
    document = json.loads(answer.get_body())
    assert sorted(document) == ["detail", "status", "title", "trace_id", "type"]
    assert document["status"] == answer.status_code
    assert document["type"].startswith("urn:playground:problem:")
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in OWN])
def test_its_detail_is_told(kind: type[errors.PlaygroundError]):
    assert json.loads(problems.answer(kind("what happened")).get_body())["detail"] == "what happened"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SealBroken("key k1"), 500),
        (ValueError("key k1"), 500),
        (errors.PlaygroundError("key k1"), 500),
        (errors.StoreUnavailable("/srv/k1/leases.db: database disk image is malformed"), 503),
    ],
)
def test_what_is_our_own_fault_is_told_to_nobody(error: Exception, status: int):
    answer = problems.answer(error)
    assert answer.status_code == status
    assert b"k1" not in answer.get_body()
    assert json.loads(answer.get_body())["detail"] == "what it was is in the log of this server"


def test_an_error_without_a_detail_says_at_least_its_title():
    document = json.loads(problems.answer(errors.NotReady()).get_body())
    assert document["detail"] == document["title"]


@pytest.mark.parametrize(("wait", "told"), [(None, "5"), (2, "2"), (30, "30")])
@pytest.mark.parametrize("kind", BUSY)
def test_what_passes_by_waiting_says_how_long(kind: type[errors.PlaygroundError], wait: int | None, told: str):
    assert problems.answer(kind("busy", retry_after=wait)).headers["Retry-After"] == told


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in BUSY])
def test_what_does_not_pass_asks_nobody_to_wait(kind: type[errors.PlaygroundError]):
    assert "Retry-After" not in problems.answer(kind("no")).headers


def test_a_kind_of_an_error_is_answered_as_the_nearest_in_the_table():
    class Overloaded(errors.StoreUnavailable):
        """One of ours that nobody has entered."""

    assert problems.answer(Overloaded("busy")).status_code == 503
