"""Which functions a process serves, by PLAYGROUND_FUNCTIONS."""

from pathlib import Path

import pytest

from shared.edge.config import SettingError
from shared.wiring import serving

FUNCTIONS = {path.stem for path in (Path(__file__).parents[2] / "functions").glob("[!_]*.py")}
OF_CLUSTER = {"create_db", "look_at_lease", "reap_leases", "reconcile_cluster", "refill_pool"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch):
    def choose(text: str) -> set[str]:
        monkeypatch.setenv("PLAYGROUND_FUNCTIONS", text)
        return set(serving.served())

    return choose


def test_all_are_served_where_nothing_is_said(served):
    assert served("") == served("all") == FUNCTIONS


def test_those_named_are_served_and_no_others(served):
    assert served("greet") == {"greet"}
    assert served("heart_beat, create_db") == {"heart_beat", "create_db"}


@pytest.mark.parametrize("text", ["greet,hello", "Greet", "__init__", "functions.greet", "../greet", "all,greet"])
def test_a_name_of_none_is_refused_and_those_there_are_named(served, text: str):
    with pytest.raises(
        SettingError, match=r"PLAYGROUND_FUNCTIONS: name [12] is no function's; there are .*greet"
    ) as refused:
        served(text)
    assert "hello" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_who_needs_the_store_and_who_the_cluster(served, name: str):
    served(name)
    assert serving.uses_store() == (name not in ("greet", "show_openapi"))
    assert serving.uses_cluster() == (name in OF_CLUSTER)


def test_one_of_the_cluster_is_enough(served):
    served("greet,heart_beat,reap_leases")
    assert serving.uses_store() and serving.uses_cluster()


def test_each_file_registers_the_one_function_it_is_named_after(served):
    for name in sorted(FUNCTIONS):
        served(name)
        (blueprint,) = serving.blueprints()
        assert [builder._function.get_function_name() for builder in blueprint._function_builders] == [name]
