"""Reading one setting: what it may be, and that a wrong one is named and never repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.edge import config, settings
from shared.edge.config import SETTINGS, Setting, SettingError, duration


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Setting]:
    """A table of settings of this test's own."""
    table: dict[str, Setting] = {}
    monkeypatch.setattr(config, "SETTINGS", table)
    return table


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("39600", 39600), ("0.5", 0.5), ("PT11H", 39600), ("P14D", 14 * 86400), ("PT90S", 90), ("PT1.5S", 1.5),
        ("P1DT2H3M4S", 93784), ("PT36H", 129600), ("P3660D", 3660 * 86400),
    ],
)  # fmt: skip
def test_a_duration_is_seconds_or_iso_8601(text: str, seconds: float):
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["0", "PT0S", "-1", "+1", "1e3", "1h", "11 h", "P", "PT", "P1DT", "T1H", "PT1H30", "P1W", "P1M", "P1Y", "pt11h",
     "PT-1H", "P1H", "PT1D", "P3661D", "9" * 400, "nan", "inf", "PT1H ", "PT1,5S"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(ValueError, match="duration"):
        duration(text)


@given(st.integers(1, 10 * 366 * 86400))
def test_both_ways_of_writing_a_duration_agree(seconds: int):
    days, rest = divmod(seconds, 86400)
    assert duration(str(seconds)) == duration(f"P{days}DT{rest}S") == duration(f"PT{seconds}S") == seconds


def test_a_setting_that_is_blank_has_its_default(table: dict[str, Setting]):
    setting = Setting("PLAYGROUND_X", config.flag, "false", "whether")
    assert [setting.read(env) for env in ({}, {"PLAYGROUND_X": " \n"}, {"PLAYGROUND_X": " true "})] == [
        False,
        False,
        True,
    ]


def test_a_setting_without_a_default_must_be_set(table: dict[str, Setting]):
    with pytest.raises(SettingError, match="PLAYGROUND_X must be set: where it is"):
        Setting("PLAYGROUND_X", str, None, "where it is").read({"PLAYGROUND_X": ""})


def test_annotations_are_a_json_object_of_strings():
    azure = '{"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}'
    assert config.annotations(azure) == (("service.beta.kubernetes.io/azure-load-balancer-internal", "true"),)
    assert config.annotations("{}") == ()


@pytest.mark.parametrize(
    "text",
    ["", "a=b", "[]", "null", '"a"', '{"a": 1}', '{"a": null}', '{"a": {"b": "c"}}', '{"": "x"}', '{"a b": "x"}',
     '{"a/b/c": "x"}', '{"-a": "x"}', '{"A/b": "x"}', '{"playground.dev/owner": "x"}', '{"%s": "x"}' % ("a" * 64)],
)  # fmt: skip
def test_what_are_no_annotations_is_refused(text: str):
    with pytest.raises(ValueError, match=r"JSON object|Kubernetes' names"):
        config.annotations(text)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.0/8,192.168.1.0/24", "10.0.0.1, ::1/128", "none"])
def test_networks(text: str):
    assert len(config.networks(text)) == (0 if text == "none" else text.count(",") + 1)


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "10.0.0/8", "10.0.0.0/33", ",", "10.0.0.0/8,", "everybody", "10.0.0.0/8 none"]
)
def test_what_is_no_network_is_refused_without_being_repeated(text: str):
    with pytest.raises(ValueError, match=r"write networks such as 10\.0\.0\.0/8") as refused:
        config.networks(text)
    assert text == "," or text not in str(refused.value).replace("10.0.0.0/8,", "")


@pytest.mark.parametrize("text", ["a", "a,b", "a b", " a ,\n b,"])
def test_names_are_separated_by_commas_or_blanks(text: str):
    assert config.names(text) in (("a",), ("a", "b"))


@pytest.mark.parametrize("text", [",", " , ", "a,a", "a b a"])
def test_no_name_and_a_name_twice_are_refused(text: str):
    with pytest.raises(ValueError, match="names separated by commas, each once"):
        config.names(text)


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (config.CPU, ["1", "16", "100m", "1500m"], ["0", "99m", "1.5", "1Gi", "m", "-1", "1 ", "1e3"]),
        (config.MEMORY, ["256Mi", "512Mi", "2Gi"], ["255Mi", "1G", "512M", "536870912", "0Gi", "1Ti", "0.5Gi", "Mi"]),
        (config.SIZE, ["1Gi", "256Mi", "2Ti"], ["1", "1Ki", "1G", "1gi", "Gi", "0Gi"]),
        (config.LABEL, ["a", "team-a", "7"], ["A", "-a", "a-", "a.b", "a_b", "a" * 64, "ä"]),
        (config.QUEUE, ["looks", "a-b-c", "a" * 63], ["ab", "a--b", "-ab", "ab-", "Abc", "a" * 64]),
        (config.DOMAIN, ["playground.local", "a_b"], ["Playground.local", "a/b", "a b", "a" * 256]),
        (config.IMAGE, ["mariadb", "registry:5000/a/b:10.11", "a@sha256:ab"], ["a b", "-a", "a;b", "$(id)"]),
        (config.CLASS, ["managed-csi", "a.b"], ["A", ".a", "a_b"]),
        (config.schedule, ["*/30 * * * * *", "0 */10 * * * *", "0 30 9 * Jan Mon"],
         ["", "hourly", "* * * *", "a b c d e f g", "*/5 * * * *", "99 * * * * *", "0 0 0 30 2 *"]),
        (config.STORE, ["sqlite:///a.db", "cosmos:https://a.example/db/c"],
         ["sqlite://a", "sqlite:///", "cosmos:http://a/b/c", "cosmos:https://a/b", "postgres://a"]),
        (config.LOOKS, ["inprocess", "queue:https://a.example"], ["queue", "queue:", "queue:ftp://a", "in process"]),
        (config.URL, ["https://a", "http://a:1/b"], ["a", "ftp://a", "https://", "https://a b"]),
        (config.optional(config.URL), ["", "https://a"], ["a"]),
        (config.one_of("a", "b"), ["a", "b"], ["A", "", "c"]),
        (config.flag, ["true", "FALSE", "1", "0", "Yes", "no"], ["", "on", "2"]),
    ],
)  # fmt: skip
def test_what_is_taken_and_what_is_not(parse, good: list[str], bad: list[str]):
    for text in good:
        parse(text)
    for text in bad:
        with pytest.raises(ValueError, match=r"^(not|must be|write) "):
            parse(text)


def test_a_name_nobody_reads_is_refused_with_the_one_that_was_meant():
    with pytest.raises(SettingError, match=r"^PLAYGROUND_GRASE is not a setting; did you mean PLAYGROUND_GRACE\?$"):
        config.validate({"PLAYGROUND_GRASE": "PT1H"})
    with pytest.raises(SettingError, match=r"^PLAYGROUND_QQQQQQQ is not a setting$"):
        config.validate({"PLAYGROUND_QQQQQQQ": "1"})


def test_names_of_others_are_nobodys_business():
    config.validate({"PLAYGROUNDS": "x", "SQLFLOW_PLAYGROUND_SERVRE": "x", "PATH": "/bin", "playground_grace": "x"})


@pytest.mark.parametrize("part", ["queueServiceUri", "QUEUESERVICEURI", "accountName", "credential", "clientId"])
def test_a_connection_of_azures_host_may_be_in_parts(part: str):
    config.validate({f"PLAYGROUND_LOOKS_STORAGE__{part}": "https://account.example"})


@pytest.mark.parametrize(
    "name", ["PLAYGROUND_LOOKS_STORAGE__key", "PLAYGROUND_LOOKS_STORAGE__", "PLAYGROUND_LOOKS__queueServiceUri",
             "PLAYGROUND_LOOKS_STORAGE_queueServiceUri"],
)  # fmt: skip
def test_parts_that_it_does_not_have_are_refused(name: str):
    with pytest.raises(SettingError, match=f"^{name} is not a setting"):
        config.validate({name: "x"})


def test_what_somebody_else_reads_may_be_named():
    config.validate({"PLAYGROUND_MINE": "1"}, also=["PLAYGROUND_MINE"])


def test_the_settings_themselves_are_the_table():
    assert SETTINGS[settings.GRACE.name] is settings.GRACE
    assert len(SETTINGS) > 30


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_default_is_a_value(name: str):
    setting = SETTINGS[name]
    assert setting.default is not None
    setting.read({})
    config.validate({name: setting.default})
