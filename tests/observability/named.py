"""Which metrics a text names: Prometheus' samples, expressions of rules and of the dashboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "infra/observability"
RULES, DASHBOARD = FOLDER / "alerts.yaml", FOLDER / "dashboard.json"
METRIC = re.compile(r"\b(?:http|db|playground|process|python)_[a-z_]+[a-z]\b(?!\s*=)")
LABEL = re.compile(r"\{[^}]*\}|\b(?:by|on|without|group_left|ignoring) *\([^)]*\)")


def in_expression(expression: str) -> set[str]:
    """The metrics that an expression of PromQL names, without labels."""
    return set(METRIC.findall(LABEL.sub("", expression)))


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def by_the_rules() -> set[str]:
    return set().union(*(in_expression(rule["expr"]) for rule in rules()))


def queries() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def by_the_dashboard() -> set[str]:
    return set().union(*map(in_expression, queries()))


def sampled(text: str) -> set[str]:
    """The names of all samples in what Prometheus is answered."""
    return {re.split(r"[{ ]", line, maxsplit=1)[0] for line in text.splitlines() if line and line[0] != "#"}
