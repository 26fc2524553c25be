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


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_the_domain_has_a_status(kind: type[errors.PlaygroundError]):
    assert kind in problems.TABLE


@pytest.mark.parametrize("kind", [*ALL, problems.TooLarge])
def test_an_error_becomes_a_problem_document(kind: type[errors.PlaygroundError]):
    answer = problems.answer(kind("what happened"))
    document = json.loads(answer.get_body())
    assert sorted(document) == ["detail", "status", "title", "type"]
    assert document["status"] == answer.status_code
    assert document["type"].startswith("urn:playground:problem:")
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("kind", [kind for kind in ALL if problems.TABLE[kind].status != 500])
def test_its_detail_is_told(kind: type[errors.PlaygroundError]):
    assert json.loads(problems.answer(kind("what happened")).get_body())["detail"] == "what happened"


@pytest.mark.parametrize("error", [errors.SealBroken("key k1"), ValueError("key k1"), errors.PlaygroundError("key k1")])
def test_what_is_our_own_fault_is_told_to_nobody(error: Exception):
    answer = problems.answer(error)
    assert answer.status_code == 500
    assert b"k1" not in answer.get_body()
    assert json.loads(answer.get_body())["detail"]


def test_an_error_without_a_detail_says_at_least_its_title():
    document = json.loads(problems.answer(errors.NotReady()).get_body())
    assert document["detail"] == document["title"]


@pytest.mark.parametrize(("wait", "told"), [(None, "5"), (2, "2"), (30, "30")])
@pytest.mark.parametrize("kind", [kind for kind in ALL if problems.TABLE[kind].status == 503])
def test_what_passes_by_waiting_says_how_long(kind: type[errors.PlaygroundError], wait: int | None, told: str):
    assert problems.answer(kind("busy", retry_after=wait)).headers["Retry-After"] == told


@pytest.mark.parametrize("kind", [kind for kind in ALL if problems.TABLE[kind].status != 503])
def test_what_does_not_pass_asks_nobody_to_wait(kind: type[errors.PlaygroundError]):
    assert "Retry-After" not in problems.answer(kind("no")).headers


def test_a_kind_of_an_error_is_answered_as_the_nearest_in_the_table():
    class Overloaded(errors.StoreUnavailable):
        """One of ours that nobody has entered."""

    assert problems.answer(Overloaded("busy")).status_code == 503
