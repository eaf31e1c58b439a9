"""
`OpenTelemetry`: the value of the option `telemetry`, with its providers and patterns of hosts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry import metrics, trace

from asyncbatch import __version__
from asyncbatch._policies._host_limits import HostPatterns
from asyncbatch._values._host_key import HostKey
from asyncbatch._values._telemetry import BatchListener, Telemetry
from asyncbatch.telemetry._attributes import BUCKETS, DURATION, SCHEMA, Descriptions
from asyncbatch.telemetry._spans import Spans

_NAME = "asyncbatch"
_ALL = "*"

_log = logging.getLogger("asyncbatch")


class OpenTelemetry(Telemetry):
    """
    Make a span and a measurement of each request that is sent: a value of the option `telemetry`.

    A request that is sent several times, by retries, redirects or challenges, has a span for each
    time. The parent is the span that is current where the batch is called. One object may serve any
    number of fetchers.

    Args:
        tracer_provider: Makes the spans; `None`: the global provider, looked up by each batch.
        meter_provider: Makes the histogram `http.client.request.duration`; `None`: the global one.
        propagate: The hosts to which the context of the span is sent, by the global propagator, as
            `traceparent` and the like: names and wildcards as in the option `hosts`, or `"*"` for
            all hosts. A field that a request has already is left as it is.

    Raises:
        TypeError: If an argument is of a wrong type.
        ValueError: If a pattern is invalid.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        propagate: Iterable[str] = (),
    ) -> None:
        if tracer_provider is not None and not hasattr(tracer_provider, "get_tracer"):
            raise TypeError(f"tracer_provider must be a TracerProvider, not {tracer_provider!r}")
        if meter_provider is not None and not hasattr(meter_provider, "get_meter"):
            raise TypeError(f"meter_provider must be a MeterProvider, not {meter_provider!r}")
        if isinstance(propagate, str) or not isinstance(propagate, Iterable):
            raise TypeError(
                f"propagate must be several patterns of hosts, as in ({propagate!r},), "
                f"not {propagate!r}"
            )
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._propagate = tuple(propagate)
        self._reaches_all = _ALL in self._propagate
        self._patterns = _patterns_of([each for each in self._propagate if each != _ALL])
        # The provider that was used last, and what it has made.
        self._tracer: tuple[object, trace.Tracer | None] = (None, None)
        self._histogram: tuple[object, metrics.Histogram | None] = (None, None)
        self._descriptions = Descriptions()
        self._has_failed = False

    def __repr__(self) -> str:
        return f"<OpenTelemetry: propagate={self._propagate!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without what the providers have made: another process has its own.
        given = self._tracer_provider, self._meter_provider, self._propagate
        return OpenTelemetry, given

    def listener(self, clock: Callable[[], float]) -> BatchListener:
        """Return a listener for one batch; for fetchers."""
        carries = self._reaches_all or bool(self._patterns.values())
        return Spans(
            self.tracer,
            self.histogram,
            self._descriptions,
            self._reaches if carries else None,
            self._note_failure,
            clock,
        )

    def tracer(self) -> trace.Tracer | None:
        """Return the tracer; `None` if its spans would go nowhere."""
        provider = self._tracer_provider or trace.get_tracer_provider()
        known, tracer = self._tracer
        if provider is not known:
            tracer = provider.get_tracer(_NAME, __version__, schema_url=SCHEMA)
            self._tracer = provider, tracer
        return None if _is_of_api(tracer) else tracer

    def histogram(self) -> metrics.Histogram | None:
        """Return the histogram of durations; `None` if its measurements would go nowhere."""
        provider = self._meter_provider or metrics.get_meter_provider()
        known, histogram = self._histogram
        if provider is not known:
            histogram = provider.get_meter(_NAME, __version__, schema_url=SCHEMA).create_histogram(
                DURATION,
                unit="s",
                description="Duration of HTTP client requests.",
                explicit_bucket_boundaries_advisory=BUCKETS,
            )
            self._histogram = provider, histogram
        return None if _is_of_api(histogram) else histogram

    def _reaches(self, origin: HostKey) -> bool:
        return self._reaches_all or self._patterns.get(origin) is not None

    def _note_failure(self, error: Exception) -> None:
        """Log the first error of a provider, a processor, an exporter or a propagator."""
        if self._has_failed:
            return
        self._has_failed = True
        # Without its text, which may hold anything.
        _log.warning(
            "telemetry has failed with %s; no request fails of it, and this is logged once",
            type(error).__name__,
        )


def _patterns_of(patterns: list[str]) -> HostPatterns[bool]:
    """
    Return the patterns, checked as those of the option `hosts`.

    Raises:
        TypeError: If one is not a `str`.
        ValueError: If one is invalid.
    """
    try:
        return HostPatterns(dict.fromkeys(patterns, True))
    except (TypeError, ValueError) as error:
        text = str(error).replace("a key of hosts", "a pattern of propagate")
        raise type(error)(text.replace("use the option itself", "give '*'")) from None


def _is_of_api(made: Any) -> bool:
    """
    Whether a tracer or an instrument is one of the API's own, which record nothing.

    Those that wait for a provider belong to them: each batch looks for it again.
    """
    module: str = type(made).__module__
    return module.startswith(("opentelemetry.trace", "opentelemetry.metrics"))
