"""Each alert rule fires when it should, and none in peace: by Prometheus' own evaluation of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability import named

ROOT = Path(__file__).parents[2]
DAY = 1440  # minutes
DONE = 'playground_pass_duration_seconds_count{function="%s",outcome="done"}'
FAILED = 'playground_pass_duration_seconds_count{function="reap_leases",outcome="failed"}'
STORE = 'db_client_operation_duration_seconds_count{db_operation_name="get",outcome="%s"}'
CLUSTER = 'http_client_request_duration_seconds_count{http_response_status_code="%s",kind="Pod",verb="%s"}'
LOOKS = 'playground_looks_total{act="%s",actor="reaper",after="archiving",before="hibernated",outcome="%s"}'
REQUESTS = 'http_server_request_duration_seconds_count{http_response_status_code="%s",http_route="%s",instance="a"}'
CREATES = 'playground_create_db_duration_seconds_count{how="cold",outcome="%s"}'
CREATED = 'playground_create_db_duration_seconds_bucket{how="%s",le="%s",outcome="ready"}'
SPARES = 'playground_pool_spares{which="%s"}'
ENDS = 'playground_certificate_ends_seconds{which="%s"}'
AGE = 'playground_revocations_age_seconds{instance="a"}'
NOW = "0+60x2000"  # what a clock shows

# A day and a half in which all is well, a value a minute: something fails now and then, and is done again.
PEACE = {
    DONE % "reap_leases": "0+2x2000", DONE % "reconcile_cluster": "0+0x9 1+0x9 2+0x9 3+0.1x1970",
    FAILED: "0x500 1x1500",
    "playground_looks_late_seconds": "0x100 290x5 12x1900", "playground_canary_heard_seconds": NOW,
    STORE % "done": "0+300x2000", STORE % "conflict": "0+30x2000", STORE % "unavailable": "0+5x2000",
    CLUSTER % ("200", "get"): "0+300x2000", CLUSTER % ("404", "get"): "0+300x2000", CLUSTER % ("none", "get"):
    "0+10x2000", CLUSTER % ("410", "watch"): "0+900x2000", CLUSTER % ("none", "watch"): "0+900x2000",
    LOOKS % ("store", "done"): "0+1x2000", LOOKS % ("stop", "failed"): "0+1x2000",
    SPARES % "ready": "0x10 2x100 0x10 2x1900", SPARES % "wanted": "2x2000",
    AGE: "0 5 0 70 0 5x2000", REQUESTS % ("200", "show_lease"): "0+60x2000",
    REQUESTS % ("503", "show_lease"): "0+1x2000", REQUESTS % ("503", "create_db"): "0+30x2000",
    REQUESTS % ("200", "create_db"): "0+60x2000",
    ENDS % "server": "4000000x2000", ENDS % "client_ca": "900000000x2000",
    CREATES % "ready": "0+60x2000", CREATES % "not_ready": "0+30x2000", CREATES % "failed": "0+1x2000",
    CREATED % ("cold", "5.0"): "0+60x2000", CREATED % ("cold", "20.0"): "0+60x2000",
    CREATED % ("cold", "+Inf"): "0+60x2000", CREATED % ("restore", "5.0"): "0x2000",
    CREATED % ("restore", "20.0"): "0+9x2000", CREATED % ("restore", "+Inf"): "0+9x2000",
}  # fmt: skip
GONE = "_x2000"
# What is otherwise, and the minute by which that is an alert.
TROUBLES: dict[str, list[tuple[dict[str, str], int]]] = {
    "PlaygroundReaperStopped": [
        ({DONE % "reap_leases": "0+2x100 200x2000"}, 120), ({DONE % "reap_leases": GONE}, 20),
    ],
    "PlaygroundReconcileStopped": [
        ({DONE % "reconcile_cluster": "0+0.1x100 10x2000"}, 145), ({DONE % "reconcile_cluster": GONE}, 45),
    ],
    "PlaygroundPassesFailing": [({FAILED: "0x100 1+1x2000"}, 110)],
    "PlaygroundLooksOverdue": [({"playground_looks_late_seconds": "0x100 301x2000"}, 110)],
    "PlaygroundCanaryDeaf": [
        ({"playground_canary_heard_seconds": "0+60x100 6000x2000"}, 110),
        ({"playground_canary_heard_seconds": "0x2000"}, 10),
    ],
    "PlaygroundStoreFailing": [({STORE % "unavailable": "0+30x2000"}, 20), ({STORE % "failed": "0+30x2000"}, 20)],
    "PlaygroundKubernetesFailing": [
        ({CLUSTER % (code, "get"): "0+100x2000"}, 20) for code in ("none", "401", "403", "429", "500", "503")
    ],
    "PlaygroundArchivesFailing": [
        ({LOOKS % ("store", "failed"): "_x1600 1x400"}, 1610), ({LOOKS % ("store", "failed"): "1x1600 2x400"}, 1610),
    ],
    "PlaygroundPoolEmpty": [({SPARES % "ready": "2x100 0x2000"}, 120)],
    "PlaygroundRevocationsUnknown": [({AGE: "0x100 0+60x2000"}, 105)],
    "PlaygroundCertificateEnds": [({ENDS % "server": "1209700x2000"}, 5), ({ENDS % "client_ca": "1209700x2000"}, 5)],
    "PlaygroundErrors": [({REQUESTS % ("500", "show_lease"): "0+6x2000"}, 30)],
    "PlaygroundCreatesFailing": [({CREATES % "failed": "0+8x2000"}, 30)],
    "PlaygroundCreatesSlow": [({CREATED % ("cold", "5.0"): "0+58x2000"}, 60)],
}  # fmt: skip
QUIET: dict[str, tuple[dict[str, str], int]] = {  # what looks like it and is none, from that minute on
    "PlaygroundRevocationsUnknown": (  # nobody asks
        {AGE: "0+60x2000", **{name: "60x2000" for name in PEACE if name.startswith("http_server")}}, 40,
    ),
    "PlaygroundPoolEmpty": ({SPARES % "ready": "0x2000", SPARES % "wanted": "0x2000"}, 40),  # nobody wants spares
    "PlaygroundArchivesFailing": ({LOOKS % ("store", "failed"): "1x2000"}, DAY + 60),  # that was long ago
    "PlaygroundStoreFailing": ({STORE % outcome: "9x2000" for outcome in ("done", "conflict", "unavailable")}, 40),
}  # fmt: skip


@pytest.fixture(scope="session")
def promtool() -> str:
    build = subprocess.run(
        [sys.executable, ROOT / "infra/observability/promtool.py"], stdout=subprocess.PIPE, text=True, check=True
    )
    return build.stdout.splitlines()[-1]


def scenario(name: str, changed: dict[str, str], alert: str, minutes: list[int], fires: bool) -> dict[str, Any]:
    """One of promtool's tests; that it fires says nothing of labels, so a count of alerts stands for it."""
    series = {**PEACE, **changed}
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0 or vector(0)',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
            for minute in minutes
        ],
    }


def run(promtool: str, folder: Path, tests: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    file = folder / "rules_test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(named.RULES)], "evaluation_interval": "1m", "tests": tests}))
    return subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)


@pytest.mark.slow
def test_the_rules_can_be_read(promtool: str):
    checked = subprocess.run(
        [promtool, "check", "rules", "--lint-fatal", str(named.RULES)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(TROUBLES)} rules found" in checked.stdout


def test_each_rule_has_its_trouble_and_its_runbook():
    assert {rule["alert"] for rule in named.rules()} == TROUBLES.keys()
    operations = (ROOT / "docs/operations.md").read_text()
    for rule in named.rules():
        document, _, heading = rule["annotations"]["runbook"].partition("#")
        assert document == "docs/operations.md" and f"### {heading}\n" in operations
        assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.slow
@pytest.mark.parametrize("alert", TROUBLES)
def test_a_rule_fires_in_its_trouble(promtool: str, tmp_path: Path, alert: str):
    tests = [scenario(f"{alert} {n}", changed, alert, [at], True) for n, (changed, at) in enumerate(TROUBLES[alert])]
    done = run(promtool, tmp_path, tests)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_none_fires_in_peace_or_before_its_time(promtool: str, tmp_path: Path):
    hourly = list(range(40, 1900, 60))
    tests = [scenario(f"peace of {alert}", {}, alert, hourly, False) for alert in TROUBLES]
    for alert, (changed, since) in QUIET.items():
        tests.append(scenario(f"quiet of {alert}", changed, alert, [at for at in hourly if at >= since], False))
    done = run(promtool, tmp_path, tests)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_test_of_a_rule_can_fail(promtool: str, tmp_path: Path):
    done = run(promtool, tmp_path, [scenario("not so", {}, "PlaygroundPoolEmpty", [60], True)])
    assert done.returncode == 1 and "FAILED" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("rule", named.rules(), ids=lambda rule: rule["alert"])
def test_what_a_rule_says_can_be_written(promtool: str, tmp_path: Path, rule: dict[str, Any]):
    """Its summary's template holds what the alert has: promtool compares it with what comes of it."""
    changed, at = TROUBLES[rule["alert"]][0]
    expected = {"eval_time": f"{at}m", "alertname": rule["alert"], "exp_alerts": []}
    test = {**scenario("summary", changed, rule["alert"], [], True), "alert_rule_test": [expected]}
    done = run(promtool, tmp_path, [test])
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "summary" in said
    assert "error executing template" not in said and "<no value>" not in said, said
