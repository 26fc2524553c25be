"""A control plane of doubles that tells everything it does: measurements to Prometheus, spans to a list."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from shared.adapters.k8s.databases import Databases
from shared.adapters.telemetry import OpenTelemetry
from shared.edge import observing
from shared.manifests.mariadb import Spec
from shared.wiring import cluster, store, telemetry
from tests.http.conftest import called, functions, people, registered, timers, unset, world  # noqa: F401
from tests.http.world import World


@dataclass
class Told:
    """What was told so far: `metrics()` as Prometheus reads it, and the spans that have ended."""

    metrics: Callable[[], str]
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def value(self, sample: str) -> float:
        """That of one line, `name{labels}` as it is written."""
        (found,) = [line for line in self.metrics().splitlines() if line.startswith(f"{sample} ")]
        return float(found.rpartition(" ")[2])


@pytest.fixture
def told(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:  # noqa: F811
    registry, exporter = CollectorRegistry(), InMemorySpanExporter()
    reader = PrometheusMetricReader(scope_info_enabled=False, disable_target_info=True, registry=registry)
    made = OpenTelemetry([reader], lambda _: SimpleSpanProcessor(exporter))
    monkeypatch.setattr(observing, "telemetry", made)
    observed: Any = telemetry.observed_store(world.store)
    store.store.set(observed)
    api = telemetry.observed_api(world.kubernetes)
    cluster.cluster.set(Databases(api, Spec(image="mariadb"), "plane", patience=0.01))
    yield Told(lambda: generate_latest(registry).decode(), exporter)
    made.close()
