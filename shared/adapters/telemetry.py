"""The port `Telemetry` over OpenTelemetry's SDK. Importing it takes 0.1 s: only where somebody wants to know.

Nothing is made global, so no library of others finds it and tells what its requests hold: URLs with owners in them.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as Recorded

from shared.edge import tracing
from shared.ports.telemetry import UNSEEN, Metric, Reach, Sort, Span

KINDS = {
    Reach.SERVER: SpanKind.SERVER,
    Reach.CONSUMER: SpanKind.CONSUMER,
    Reach.CLIENT: SpanKind.CLIENT,
    Reach.INTERNAL: SpanKind.INTERNAL,
}


# What the exporter for Azure would tell Microsoft of itself, and ask it to have changed.
ITS_OWN = ("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
           "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED")  # fmt: skip


class OpenTelemetry:
    """Measurements for `readers`, spans for what `spans` makes; without it there are none."""

    def __init__(self, readers: Sequence[MetricReader], spans: Callable[[TracerProvider], SpanProcessor] | None = None):
        resource = Resource.create({"service.name": "playground"})
        self._meters = MeterProvider(
            readers, resource, exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
        )
        self._meter = self._meters.get_meter("playground")
        self._tell: dict[Metric, Callable[[float, dict[str, str]], None]] = {}
        self._labels: dict[tuple[Metric, tuple[str, ...]], dict[str, str]] = {}
        self._watched: dict[Metric, Callable[[], float]] = {}
        self._tracers: TracerProvider | None = None
        self._tracer: Tracer | None = None
        if spans is not None:
            self._tracers = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
            self._tracers.add_span_processor(spans(self._tracers))
            self._tracer = self._tracers.get_tracer("playground")

    def tell(self, metric: Metric, value: float, *labels: str) -> None:
        key = metric, labels
        known = self._labels.get(key)
        if known is None:
            known = self._labels[key] = dict(zip(metric.labels, map(str, labels), strict=True))
            self._tell.setdefault(metric, self._instrument(metric))
        self._tell[metric](value, known)

    def _instrument(self, metric: Metric) -> Callable[[float, dict[str, str]], None]:
        name, unit, meaning = metric.name, metric.unit, metric.meaning
        match metric.sort:
            case Sort.COUNTER:
                return self._meter.create_counter(name, unit, meaning).add
            case Sort.CHANGE:
                return self._meter.create_up_down_counter(name, unit, meaning).add
            case Sort.GAUGE:
                return self._meter.create_gauge(name, unit, meaning).set
            case Sort.HISTOGRAM:
                bounds = metric.buckets
                return self._meter.create_histogram(
                    name, unit, meaning, explicit_bucket_boundaries_advisory=bounds
                ).record

    def watch(self, metric: Metric, read: Callable[[], float]) -> None:
        new = metric not in self._watched
        self._watched[metric] = read
        if new:

            def look(options: CallbackOptions) -> Iterator[Observation]:
                yield Observation(self._watched[metric]())

            self._meter.create_observable_gauge(metric.name, [look], metric.unit, metric.meaning)

    def span(self, name: str, reach: Reach = Reach.INTERNAL) -> AbstractContextManager[Span]:
        return UNSEEN if self._tracer is None else _span(self._tracer, name, reach)

    def close(self) -> None:
        """Hand over what is still here. Blocks for some seconds where nobody takes it."""
        if self._tracers is not None:
            self._tracers.shutdown()
        self._meters.shutdown()


@contextmanager
def _span(tracer: Tracer, name: str, reach: Reach) -> Iterator[Span]:
    """A request, a timer or a message goes on with the trace that we are in; all else with the span that we are in."""
    enters = reach in (Reach.SERVER, Reach.CONSUMER)
    with tracer.start_as_current_span(
        name, _entered() if enters else None, KINDS[reach], record_exception=False, set_status_on_exception=False
    ) as span:
        context = span.get_span_context()
        token = tracing.current.set(tracing.Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}"))
        try:
            yield _Noted(span)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)  # without its text, which may name anybody
            raise
        finally:
            tracing.current.reset(token)


class _Noted:
    """The port `Span` on one of the SDK's."""

    def __init__(self, span: Recorded):
        self._span = span

    def note(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)


def _entered() -> Context:
    """The caller's span, where it said one, and nothing of what was under way here."""
    trace = tracing.current.get()
    if trace is None or not trace.span:
        return Context()
    sampled = TraceFlags(TraceFlags.SAMPLED)  # whatever the caller keeps of it
    parent = SpanContext(int(trace.id, 16), int(trace.span, 16), is_remote=True, trace_flags=sampled)
    return set_span_in_context(NonRecordingSpan(parent), Context())


class _Ids(RandomIdGenerator):
    """A trace that begins here has the id that the request was given, which problems and log lines tell."""

    def generate_trace_id(self) -> int:
        id = tracing.current_id()
        return int(id, 16) if id else super().generate_trace_id()


def prometheus() -> tuple[OpenTelemetry, Callable[[], bytes]]:
    """Measurements, and what reads them as Prometheus wants them: it takes some milliseconds, from any thread."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import GC_COLLECTOR, PROCESS_COLLECTOR, CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    for collector in (PROCESS_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)
    reader = PrometheusMetricReader(scope_info_enabled=False, disable_target_info=True, registry=registry)
    return OpenTelemetry([reader]), lambda: generate_latest(registry)


def azure(connection: str) -> OpenTelemetry:
    """Everything to Application Insights, by its connection string. Raises ValueError for what is none."""
    for name in ITS_OWN:
        os.environ.setdefault(name, "true")
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    options: dict[str, Any] = {"connection_string": connection, "disable_offline_storage": True}
    metrics = PeriodicExportingMetricReader(AzureMonitorMetricExporter(**options))
    return OpenTelemetry(
        [metrics], lambda tracers: BatchSpanProcessor(AzureMonitorTraceExporter(tracer_provider=tracers, **options))
    )
