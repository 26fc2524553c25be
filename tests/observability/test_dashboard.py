"""The dashboard: what Grafana needs of it is there, and Prometheus can read each of its queries."""

import json
import subprocess

import pytest
import yaml

from shared.ports import metrics
from shared.ports.telemetry import Sort
from tests.observability import named
from tests.observability.test_alerts import promtool  # noqa: F401


def prometheus_names() -> set[str]:
    """Of all samples there can be, as the exporter makes them of OpenTelemetry's names."""
    names: set[str] = set()
    for metric in metrics.ALL:
        name = metric.name.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")
        match metric.sort:
            case Sort.HISTOGRAM:
                names |= {f"{name}_{part}" for part in ("bucket", "count", "sum")}
            case Sort.COUNTER:
                names.add(f"{name}_total")
            case _:
                names.add(name)
    return names


def test_every_panel_has_a_place_a_title_and_a_query():
    panels = json.loads(named.DASHBOARD.read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places) == len({panel["title"] for panel in panels}) > 10
    assert all(panel["targets"] and all(target["expr"] for target in panel["targets"]) for panel in panels)


def test_every_metric_that_is_ours_is_shown_and_no_other_is_asked_for():
    asked = named.by_the_dashboard()
    assert {name for name in asked if not name.startswith("process_")} <= prometheus_names()
    for metric in metrics.ALL:
        mangled = metric.name.replace(".", "_")
        assert any(name.startswith(mangled) for name in asked), f"{metric.name} is on no panel"


def test_rules_ask_for_no_metric_that_is_not_in_the_table():
    assert named.by_the_rules() <= prometheus_names()


@pytest.mark.slow
def test_prometheus_can_read_every_query(promtool: str, tmp_path):  # noqa: F811
    queries = [query.replace("$__rate_interval", "5m") for query in named.queries()]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(queries)} rules found" in checked.stdout
