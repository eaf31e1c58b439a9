"""The listener of a batch and the watch of a worker, by themselves."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest

from asyncbatch import FailureKind
from asyncbatch.telemetry import OpenTelemetry, _spans
from asyncbatch.telemetry._spans import AttemptSpans, Spans
from tests.traced import Traced

pytestmark = pytest.mark.any_loop

URL = "http://a.test/b"
SECOND = 1_000_000_000


@pytest.fixture
def traced() -> Traced:
    return Traced()


def listener_of(option: OpenTelemetry, clock: Any = time.monotonic) -> Spans:
    listener: Any = option.listener(clock)
    listener.capture_context()
    return listener  # type: ignore[no-any-return]


def watch_of(option: OpenTelemetry, clock: Any = time.monotonic) -> AttemptSpans:
    return listener_of(option, clock).watch()


def test_times_are_those_that_are_told(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """In nanoseconds since 1970."""
    monkeypatch.setattr(time, "time_ns", lambda: 5_000 * SECOND)
    watch = watch_of(traced.option(), lambda: 100.0)
    watch.sent("GET", URL, 101.5)
    watch.head_received(200, b"HTTP/1.1", None)
    watch.attempt_ended(103.0, None, None)

    (span,) = traced.spans
    assert (span.start_time, span.end_time) == (5_001.5 * SECOND, 5_003 * SECOND)


def test_the_wall_clock_is_read_again(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some seconds, on the system's own clock: it may have been set."""
    now, wall = 100.0, 5_000 * SECOND
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    monkeypatch.setattr(time, "monotonic", clock := lambda: now)
    watch = watch_of(traced.option(), clock)
    for now, wall in ((105.0, 9_000 * SECOND), (200.0, 10_000 * SECOND)):  # noqa: B007
        watch.sent("GET", URL, now)
        watch.attempt_ended(now, None, None)

    assert [span.start_time for span in traced.spans] == [5_005 * SECOND, 10_000 * SECOND]


def test_clocks_that_are_read_far_apart_are_read_again(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may do something else between the readings of the two clocks."""
    readings, walls = iter([100.0, 130.0, 130.0001]), iter([5_000 * SECOND, 5_030 * SECOND])
    monkeypatch.setattr(time, "time_ns", lambda: next(walls))
    watch = watch_of(traced.option(), lambda: next(readings))
    watch.sent("GET", URL, 131.0)
    watch.attempt_ended(132.0, None, None)

    (span,) = traced.spans
    assert span.start_time == 5_031 * SECOND


def test_what_was_not_begun_does_not_end(traced: Traced) -> None:
    """An attempt that has sent nothing has no span."""
    watch = watch_of(traced.option("*"))
    watch.hop_ended(1.0)
    watch.cancelled(1.0, None)

    assert watch.attempt_ended(1.0, FailureKind.invalid_request, ValueError()) == 0
    assert traced.spans == []


@pytest.mark.parametrize("propagate", [(), ("*",)])
def test_a_request_sent_in_another_way_has_one_span(
    traced: Traced, propagate: tuple[str, ...]
) -> None:
    """As long as no response has come; with one, another begins."""
    watch = watch_of(traced.option(*propagate))
    watch.sent("GET", URL)
    watch.sent("GET", URL)
    watch.head_received(401, "HTTP/1.1", None)
    watch.sent("GET", URL)
    watch.head_received(200, "HTTP/1.1", None)

    assert watch.attempt_ended(time.monotonic(), None, None) == 1
    assert traced.told("http.response.status_code") == [401, 200]
    assert traced.told("http.request.resend_count") == [None, 1]


def test_an_end_before_the_beginning_is_one_at_it(traced: Traced) -> None:
    """No span ends before it begins, and no duration is below 0."""
    watch = watch_of(traced.option())
    watch.sent("GET", URL, 10.0)
    watch.attempt_ended(9.0, None, None)

    (span,) = traced.spans
    assert span.start_time == span.end_time
    assert [point.sum for point in traced.points()] == [0]


def test_a_listener_that_is_idle_notes_nothing() -> None:
    """Its watch never opens."""
    listener = listener_of(OpenTelemetry())
    watch = listener.watch()
    watch.sent("GET", URL)

    assert listener.is_idle
    assert not watch.is_open
    assert watch.fields(()) == ()


def test_hosts_are_remembered_within_a_bound(
    monkeypatch: pytest.MonkeyPatch, traced: Traced
) -> None:
    """However many there are."""
    monkeypatch.setattr(_spans, "MOST_HOSTS", 10)
    listener = listener_of(traced.option("*.test"))

    for number in range(50):
        assert listener.carries_to(("http", f"{number}.test", 80))
        assert len(listener._reached) <= 10


def test_other_instruments_are_silent_within_a_request(traced: Traced) -> None:
    """And only there."""
    from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled

    watch = watch_of(traced.option())
    with watch.silencing():
        assert not is_http_instrumentation_enabled()

    assert is_http_instrumentation_enabled()


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 80)),
        (("::1", 80, 0, 0), ("::1", 80)),
        ("/run/socket", (None, None)),
        (None, (None, None)),
    ],
)
@pytest.mark.parametrize("propagate", [(), ("*",)])
def test_a_peer_of_the_internet_is_told(
    traced: Traced, propagate: tuple[str, ...], peer: Any, told: Any
) -> None:
    """As sockets return it, of both versions of IP."""
    watch = watch_of(traced.option(*propagate))
    watch.sent("GET", URL)
    watch.head_received(200, "HTTP/1.1", peer)
    watch.attempt_ended(time.monotonic(), None, None)

    (attributes,) = traced.attributes
    names = "network.peer.address", "network.peer.port"
    assert tuple(map(attributes.get, names)) == told


def test_a_measurement_leads_to_its_span(traced: Traced) -> None:
    """As an exemplar."""
    watch = watch_of(traced.option())
    watch.sent("GET", URL)
    watch.attempt_ended(time.monotonic(), None, None)

    (point,), (span,) = traced.points(), traced.spans
    assert [each.span_id for each in point.exemplars] == [span.context.span_id]


def test_clocks_that_are_always_far_apart_are_read_a_few_times(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the last readings are taken: a batch must begin at some time."""
    ticks = itertools.count(100)
    monkeypatch.setattr(time, "time_ns", lambda: 5_000 * SECOND)
    watch = watch_of(traced.option(), lambda: float(next(ticks)))
    last = next(ticks) - 1
    watch.sent("GET", URL, last + 2.0)
    watch.attempt_ended(last + 3.0, None, None)

    (span,) = traced.spans
    assert (last, span.start_time) == (105, 5_002 * SECOND)


def test_a_context_that_cannot_be_read_is_noted(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch goes on without spans."""

    def fail() -> Any:
        raise RuntimeError("no context")

    noted: list[Exception] = []
    listener = listener_of(traced.option())
    listener.note_failure = noted.append
    monkeypatch.setattr(_spans.otel_context, "get_current", fail)
    listener.capture_context()

    assert listener.is_idle
    assert [str(error) for error in noted] == ["no context"]


@pytest.mark.parametrize("way", ["answered", "ended"])
def test_a_request_that_cannot_be_described_is_noted(
    traced: Traced, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The request itself does not fail of it."""

    def fail(*_: object) -> Any:
        raise RuntimeError("no description")

    noted: list[Exception] = []
    listener = listener_of(traced.option())
    listener.note_failure = noted.append
    watch = listener.watch()
    monkeypatch.setattr(listener._descriptions, "of", fail)
    if way == "answered":
        watch.answered("GET", ("http", "a.test", 80), URL, (200, b"HTTP/1.1", None), (1.0, 2.0))
    else:
        watch.sent("GET", URL)
        watch.attempt_ended(2.0, None, None)

    assert [str(error) for error in noted] == ["no description"]
    assert not watch.is_open
