"""Memory is given back when a crowd has gone, and only then."""

import pytest

from selfhost import memory
from selfhost.memory import MANY, Memory


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    times: list[None] = []
    monkeypatch.setattr(memory, "give_back", lambda: times.append(None))
    return times


def test_it_is_when_most_of_many_have_gone_and_once(given_back: list[None]):
    seen = Memory()
    for connections in (MANY, MANY * 3, MANY * 2, MANY * 2, 10, 0, 0):
        seen.seen(connections)
    assert len(given_back) == 1
    for connections in (MANY, MANY // 2):
        seen.seen(connections)
    assert len(given_back) == 2


def test_those_who_come_and_go_are_not_many(given_back: list[None]):
    seen = Memory()
    for connections in (MANY - 1, 0, MANY - 1, 3, 0):
        assert not seen.seen(connections)
    assert given_back == []


def test_it_can_be_asked_for_anywhere():
    memory.give_back()
