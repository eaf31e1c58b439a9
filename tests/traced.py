"""What OpenTelemetry's SDK has noted: spans in memory, and measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asyncbatch.telemetry import OpenTelemetry


class Counting(SpanProcessor):
    """Counts the spans that are open."""

    def __init__(self) -> None:
        self.open = 0

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= 1


class Traced:
    """Providers of the SDK that keep everything in memory."""

    def __init__(self, sampler: Any = None) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self._counting = Counting()
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer_provider.add_span_processor(self._counting)
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def option(self, *propagate: str) -> OpenTelemetry:
        """Return a value for `telemetry=`."""
        return OpenTelemetry(self.tracer_provider, self.meter_provider, propagate)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans of clients, in the order in which their requests began."""
        assert self._counting.open == 0, "a span was left open"
        ended = self._exporter.get_finished_spans()
        clients = [span for span in ended if span.kind is trace.SpanKind.CLIENT]
        return sorted(clients, key=lambda span: span.start_time or 0)

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """The attributes of the spans."""
        return [dict(span.attributes or {}) for span in self.spans]

    def told(self, name: str) -> list[Any]:
        """Return one attribute of each span, `None` where it lacks."""
        return [each.get(name) for each in self.attributes]

    def points(self) -> list[HistogramDataPoint]:
        """Return the points of the histogram."""
        return [point for metric in self.metrics() for point in metric.data.data_points]

    def metrics(self) -> list[Any]:
        """Return all metrics."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    @contextmanager
    def parent(self) -> Iterator[trace.SpanContext]:
        """Make a span of the caller's current."""
        with self.tracer_provider.get_tracer("tests").start_as_current_span("parent") as span:
            yield span.get_span_context()
