"""
Spans and measurements of the requests of one batch.

A span is made when its request has ended, with the times at which it began and ended. Only a span
whose context the request carries is started before the request is sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

import httpx
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from asyncbatch._values._errors import FailureKind
from asyncbatch._values._host_key import HostKey, host_key_of
from asyncbatch.telemetry._attributes import (
    CANCELLED,
    PEER_ADDRESS,
    PEER_PORT,
    RESEND_COUNT,
    URL,
    Attributes,
    Description,
    Descriptions,
    error_type_of,
    message_of,
    shown_url,
)
from asyncbatch.telemetry._propagation import allowed_fields
from asyncbatch.telemetry._wall_clock import WallClock

MOST_HOSTS = 10_000
"""Number of hosts of which it is kept whether the context is sent to them."""

# Keys of the API that have no public names; instruments agree on them.
_CONTEXT: Any = otel_context
_SILENCE: str = _CONTEXT._SUPPRESS_INSTRUMENTATION_KEY
_SILENCE_HTTP: str = _CONTEXT._SUPPRESS_HTTP_INSTRUMENTATION_KEY

_TEXT = "the attempt was cancelled"
_LATE_TEXT = "the time limit of the batch has passed"

T = TypeVar("T")
Started: TypeAlias = tuple[Span, int]
"""A span that was started, and when, in nanoseconds since 1970."""


class Spans:
    """
    Listens to one batch.

    Args:
        find_tracer: Returns the tracer, `None` for none.
        find_histogram: Returns the histogram of durations, `None` for none.
        descriptions: Makes the attributes.
        reaches: Whether the context is sent to an origin; `None`: to none.
        note_failure: Is called with the errors of providers and propagators.
        clock: The batch's clock.
    """

    def __init__(
        self,
        find_tracer: Callable[[], Tracer | None],
        find_histogram: Callable[[], Histogram | None],
        descriptions: Descriptions,
        reaches: Callable[[HostKey], bool] | None,
        note_failure: Callable[[Exception], None],
        clock: Callable[[], float],
    ) -> None:
        self._find_tracer = find_tracer
        self._find_histogram = find_histogram
        self._descriptions = descriptions
        self._reaches = reaches
        self._reached: dict[HostKey, bool] = {}
        self.note_failure = note_failure
        self.clock = clock
        self.is_idle = True
        self.carries = False
        # Of `capture_context`:
        self._context = Context()
        self._tracer: Tracer | None = None
        self._histogram: Histogram | None = None
        self._wall = WallClock(clock)

    def capture_context(self) -> None:
        """Take the caller's context and the current providers for all later requests."""
        self.is_idle, self.carries = True, False
        try:
            self._context = context = otel_context.get_current()
            if context.get(_SILENCE) or context.get(_SILENCE_HTTP):
                return
            self._wall.read()
            self._tracer = self._found(self._find_tracer)
            self._histogram = self._found(self._find_histogram)
        except Exception as error:
            self.note_failure(error)
            return
        self.carries = self._reaches is not None
        is_recorded = self._tracer is not None or self._histogram is not None
        self.is_idle = not (is_recorded or self.carries)

    def _found(self, find: Callable[[], T | None]) -> T | None:
        """Return a tracer or a histogram; `None` if its provider fails: the other may work."""
        try:
            return find()
        except Exception as error:
            self.note_failure(error)
            return None

    def carries_to(self, origin: HostKey) -> bool:
        """Whether the context is sent to an origin."""
        found = self._reached.get(origin)
        if found is None:
            if len(self._reached) >= MOST_HOSTS:
                self._reached.clear()
            found = self._reaches is not None and self._reaches(origin)
            self._reached[origin] = found
        return found

    def watch(self) -> AttemptSpans:
        """Return a watch for a worker."""
        return AttemptSpans(self)

    def start(
        self, method: str, origin: HostKey, url: str, resent: int, at: float
    ) -> Started | None:
        """Start the span of a request whose context it carries."""
        description = self._descriptions.of(method, origin, None, "", None)
        return self._start(description, url, resent, at, None)

    def _start(
        self, description: Description, url: str, resent: int, at: float, peer: object
    ) -> Started | None:
        if self._tracer is None:
            return None
        attributes = _with_peer({**description.of_span, URL: shown_url(url)}, peer)
        if resent:
            attributes[RESEND_COUNT] = resent
        start = int(at * 1e9) + self._wall.zero
        span = self._tracer.start_span(
            description.name,
            context=self._context,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=start,
        )
        return span, start

    def inject(self, started: Started | None) -> dict[str, str]:
        """Return the fields that carry the context of a span, or the caller's if there is none."""
        context = self._context
        if started is not None:
            context = trace.set_span_in_context(started[0], context)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context=context)
        return carrier

    def record(
        self,
        method: str,
        origin: HostKey,
        url: str,
        head: tuple[int | None, str | bytes, object],
        at: tuple[float, float],
        resent: int,
        *,
        started: Started | None = None,
        error_type: str | None = None,
        message: Callable[[], str | None] | None = None,
    ) -> None:
        """
        Make the span of a request that has ended, or end it, and measure its duration.

        Args:
            method: Its method.
            origin: The origin of its URL.
            url: Its URL.
            head: The status, the version and the peer of its response, if one has come.
            at: When it began and ended.
            resent: How often it was sent before.
            started: Its span, if it was started.
            error_type: Why it failed.
            message: Returns the text of its error.
        """
        status, version, peer = head
        description = self._descriptions.of(method, origin, status, version, error_type)
        began, ended = at
        if ended > self._wall.read_again_at:
            self._wall.read()
        duration, added = max(0.0, ended - began), None
        try:
            if started is None:
                started = self._start(description, url, resent, began, peer)
            else:
                added = _with_peer({**description.of_span}, peer)
            if started is not None:
                _finish(started, duration, added, error_type, message)
        except Exception as error:
            self.note_failure(error)
        if self._histogram is not None:
            self._measure(self._histogram, duration, description.of_metric, started)

    def _measure(
        self, histogram: Histogram, duration: float, of_metric: Attributes, started: Started | None
    ) -> None:
        context = self._context
        try:
            if started is not None:  # a measurement names its span as an example
                context = trace.set_span_in_context(started[0], context)
            histogram.record(duration, of_metric, context)
        except Exception as error:
            self.note_failure(error)


class AttemptSpans:
    """Listens to the attempts of one worker; see `AttemptWatch`."""

    __slots__ = (
        "_began",
        "_hops",
        "_listener",
        "_method",
        "_origin",
        "_peer",
        "_started",
        "_status",
        "_url",
        "_version",
        "carried",
        "carries",
        "is_open",
        "resent",
    )

    def __init__(self, listener: Spans) -> None:
        self._listener = listener
        self.is_open = False
        self.carries = False
        self.carried: Sequence[tuple[str, str]] = ()
        self.resent = 0
        # Of the request that is open:
        self._method = self._url = ""
        self._origin: HostKey = ("", "", 0)
        self._began = 0.0
        self._status: int | None = None
        self._version: str | bytes = ""
        self._peer: object = None
        self._started: Started | None = None
        # The number of requests of the attempt before it.
        self._hops = 0

    def answered(
        self,
        method: str,
        origin: HostKey,
        url: str,
        head: tuple[int, bytes, object],
        at: tuple[float, float],
    ) -> None:
        """Note a request that was not told before it was sent, and has succeeded."""
        try:
            self._listener.record(method, origin, url, head, at, self.resent)
        except Exception as error:
            self._listener.note_failure(error)

    def sent(self, method: str, url: str, at: float | None = None) -> None:
        """Note that a request is sent; one that was answered ends here."""
        listener = self._listener
        if listener.is_idle:
            return
        now = listener.clock() if at is None else at
        if self.is_open:
            if self._status is None:
                return
            self.hop_ended(now)
        self.is_open = True
        self.carries, self.carried = False, ()
        self._method, self._url, self._began = method, url, now
        try:
            self._origin = origin = host_key_of(url, httpx.URL)
            self.carries = listener.carries and listener.carries_to(origin)
            if self.carries:
                resent = self.resent + self._hops
                self._started = listener.start(method, origin, url, resent, now)
        except Exception as error:
            listener.note_failure(error)

    def fields(self, present: Container[str]) -> Sequence[tuple[str, str]]:
        """Return the fields for the request that was begun, given the lower-case names it has."""
        self.carried = ()
        if self.carries:
            try:
                injected = self._listener.inject(self._started)
                names = propagate.get_global_textmap().fields
                self.carried = tuple(allowed_fields(injected, names, present))
            except Exception as error:
                self._listener.note_failure(error)
        return self.carried

    def head_received(self, status: int, version: str | bytes, peer: object) -> None:
        """Note that the head of its response has come."""
        self._status, self._version, self._peer = status, version, peer

    def hop_ended(self, at: float) -> None:
        """Note that its response has ended, and leads to another request of the same attempt."""
        if not self.is_open:
            return
        status = self._status
        self._close(at, str(status) if status is not None and status >= 400 else None, None)
        self._hops += 1

    def attempt_ended(self, at: float, kind: FailureKind | None, error: Exception | None) -> int:
        """Note that the attempt has ended; return the number of requests that it has left."""
        url = self._url

        def message() -> str | None:
            if error is None or kind is FailureKind.status:  # it is in the status
                return None
            return message_of(error, url, kind)

        self._close(at, error_type_of(kind, self._status), message)
        hops, self._hops = self._hops, 0
        return hops

    def cancelled(self, at: float, kind: FailureKind | None) -> None:
        """Note that the attempt was cancelled, by a limit if there is a kind."""
        text = _TEXT if kind is None else _LATE_TEXT
        self._close(at, CANCELLED if kind is None else kind.value, lambda: text)
        self._hops = 0

    @contextlib.contextmanager
    def silencing(self) -> Generator[None]:
        """Keep instruments of HTTP clients from recording the request."""
        token = otel_context.attach(otel_context.set_value(_SILENCE_HTTP, True))
        try:
            yield
        finally:
            otel_context.detach(token)

    def _close(
        self, at: float, error_type: str | None, message: Callable[[], str | None] | None
    ) -> None:
        if not self.is_open:
            return
        self.is_open = False
        started, self._started = self._started, None
        head = self._status, self._version, self._peer
        self._status, self._version, self._peer = None, "", None
        try:
            self._listener.record(
                self._method,
                self._origin,
                self._url,
                head,
                (self._began, at),
                self.resent + self._hops,
                started=started,
                error_type=error_type,
                message=message,
            )
        except Exception as error:
            self._listener.note_failure(error)


def _finish(
    started: Started,
    duration: float,
    added: Attributes | None,
    error_type: str | None,
    message: Callable[[], str | None] | None,
) -> None:
    """End a span after some seconds, with the attributes that it lacks, and with its status."""
    span, start = started
    try:
        if added is not None:
            span.set_attributes(added)
        if error_type is not None and span.is_recording():
            text = None if message is None else message()
            span.set_status(Status(StatusCode.ERROR, text))
    finally:
        # The wall clock may have been read again since the beginning.
        span.end(start + int(duration * 1e9))


def _with_peer(attributes: Attributes, peer: object) -> Attributes:
    """Return the attributes, with the address of the peer if it has one of the internet."""
    if isinstance(peer, tuple) and len(peer) > 1:
        attributes[PEER_ADDRESS], attributes[PEER_PORT] = peer[0], peer[1]
    return attributes
