"""The settings there are: what they say when they are wrong, and that README tells of each."""

from dataclasses import fields
from pathlib import Path

import azure.functions as func
import pytest

from scripts.settings_table import rows
from shared.domain.policy import PLUGIN_INTERVAL, Policy
from shared.edge import config, settings
from shared.edge.config import SETTINGS, SettingError
from shared.wiring import serving

README = Path(__file__).parents[2] / "README.md"
SECRET = "hunter2 ;$(id)"
# Files, or what only its reader can judge.
FREE = {"PLAYGROUND_SEAL_KEYS", "PLAYGROUND_LOOKS_STORAGE", "PLAYGROUND_CLIENT_CA", "PLAYGROUND_KUBECONFIG",
        "PLAYGROUND_ISSUER_CRT", "PLAYGROUND_CANARY_CERT", "PLAYGROUND_CANARY_KEY", "PLAYGROUND_CANARY_CA"}  # fmt: skip
WRONG = {"PLAYGROUND_FUNCTIONS": "hunter2,hunter2"} | {
    name: SECRET for name in SETTINGS if name not in FREE and name != "PLAYGROUND_FUNCTIONS"
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_value_is_refused_naming_the_setting_and_not_the_value(name: str):
    with pytest.raises(SettingError) as refused:
        config.validate({name: WRONG[name]})
    assert str(refused.value).startswith(f"{name}: ")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__


def test_without_any_setting_the_policy_is_the_domains_own():
    assert settings.policy({}) == Policy()


@pytest.mark.parametrize(
    ("name", "field", "value", "seconds"),
    [
        ("PLAYGROUND_GRACE", "grace", "PT12H", 43200),
        ("PLAYGROUND_HARD_CAP", "hard_cap", "P2D", 172800),
        ("PLAYGROUND_RETENTION", "retention", "60", 60),
        ("PLAYGROUND_LONGEST_HOLD", "longest_hold", "P3D", 259200),
        ("PLAYGROUND_SILENCE", "silence", "PT20M", 1200),
        ("PLAYGROUND_START_TIMEOUT", "start_timeout", "PT2M", 120),
        ("PLAYGROUND_DELETE_WITHOUT_ARCHIVE", "delete_without_archive", "true", True),
    ],
)
def test_each_setting_of_the_policy_reaches_it_and_nothing_else(name: str, field: str, value: str, seconds: float):
    chosen = settings.policy({name: value})
    changed = {
        f.name: getattr(chosen, f.name) for f in fields(Policy) if getattr(chosen, f.name) != getattr(Policy(), f.name)
    }
    assert changed == {field: seconds}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"PLAYGROUND_SILENCE": "PT19M"}, ["PLAYGROUND_SILENCE", "20 min"]),
        ({"PLAYGROUND_GRACE": "PT29M"}, ["PLAYGROUND_GRACE", "PLAYGROUND_SILENCE"]),
        ({"PLAYGROUND_SILENCE": "PT12H"}, ["PLAYGROUND_GRACE", "PLAYGROUND_SILENCE"]),
        ({"PLAYGROUND_SILENCE": "43201", "PLAYGROUND_GRACE": "PT13H"}, ["PLAYGROUND_SILENCE", "at most 12 h"]),
        (
            {"PLAYGROUND_SILENCE": "P2D", "PLAYGROUND_GRACE": "P3D", "PLAYGROUND_HARD_CAP": "P3D"},
            ["PLAYGROUND_SILENCE", "at most 12 h"],
        ),
        ({"PLAYGROUND_HARD_CAP": "PT10H"}, ["PLAYGROUND_HARD_CAP", "PLAYGROUND_GRACE"]),
        ({"PLAYGROUND_GRACE": "PT25H"}, ["PLAYGROUND_HARD_CAP", "PLAYGROUND_GRACE"]),
        ({"PLAYGROUND_RETENTION": "P401D"}, ["PLAYGROUND_RETENTION", "at most 400 d"]),
        ({"PLAYGROUND_HARD_CAP": "P401D"}, ["PLAYGROUND_HARD_CAP", "at most 400 d"]),
        ({"PLAYGROUND_START_TIMEOUT": "PT29S"}, ["PLAYGROUND_START_TIMEOUT", "30 s"]),
    ],
)
def test_periods_that_contradict_each_other_are_refused(environment: dict[str, str], named: list[str]):
    with pytest.raises(SettingError) as refused:
        settings.policy(environment)
    assert all(word in str(refused.value) for word in named)


def test_periods_may_be_equal():
    settings.policy({"PLAYGROUND_SILENCE": "PT20M", "PLAYGROUND_GRACE": "PT20M", "PLAYGROUND_HARD_CAP": "PT20M"})


def test_with_the_longest_silence_there_is_a_beat_that_only_renews_every_day():
    longest = settings.policy({"PLAYGROUND_SILENCE": "PT12H", "PLAYGROUND_GRACE": "PT12H"})
    looked_at, look_by = 0.0, longest.unseen
    assert looked_at + PLUGIN_INTERVAL + longest.silence <= look_by


def test_names_are_in_one_style_and_meanings_one_line():
    for name, setting in SETTINGS.items():
        assert name == setting.name and name.startswith("PLAYGROUND_") and name.isupper()
        assert setting.meaning and "\n" not in setting.meaning and "|" not in setting.meaning


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_readme_has_every_setting_with_its_default_and_meaning(name: str):
    (row,) = [row for row in rows() if f"`{name}`" in row]
    assert row in README.read_text().splitlines(), "run scripts/settings_table.py"


def test_readme_tells_of_what_azures_host_reads_for_a_trigger(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PLAYGROUND_FUNCTIONS", raising=False)
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    for blueprint in serving.blueprints():
        app.register_functions(blueprint)
    triggers = [function.get_trigger() for function in app.get_functions()]
    connections = {trigger.connection for trigger in triggers if getattr(trigger, "connection", None)}
    assert connections == {settings.LOOKS_STORAGE.name}
    for name in connections:
        assert any(line.startswith(f"| `{name}` |") for line in README.read_text().splitlines())


def test_readme_has_no_other_settings():
    table = [line for line in README.read_text().splitlines() if line.startswith("| `PLAYGROUND_")]
    assert table == rows()
