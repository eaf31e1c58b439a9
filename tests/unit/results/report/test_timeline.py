"""What happened when: sums are whole, however often the bins get wider."""

from __future__ import annotations

import math

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._results.report._timeline import BINS, FINEST, Timeline, spans_of
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._timing import Attempt, Timing
from tests.samples import failure, success

T0 = 1_700_000_000.0
MOMENTS = st.floats(0, 50) | st.floats(0, 50_000) | st.floats(0, 1e9)
REQUESTS = st.lists(st.tuples(MOMENTS, st.floats(0, 100), st.booleans(), st.integers(0, 9)))


@given(REQUESTS)
def test_nothing_is_lost(requests: list[tuple[float, float, bool, int]]) -> None:
    """Results, bytes and the time that requests were open add up, in few bins."""
    timeline = Timeline()
    for begin, seconds, ok, size in requests:
        timeline.add([(T0 + begin, T0 + begin + seconds)], size, ok=ok)

    span = timeline.build()

    if span is None:
        assert not requests
        return
    assert len(span.bins) <= BINS
    assert sum(each.succeeded for each in span.bins) == sum(ok for _, _, ok, _ in requests)
    assert sum(each.failed for each in span.bins) == sum(not ok for _, _, ok, _ in requests)
    assert sum(each.bytes for each in span.bins) == sum(size for *_, size in requests)
    opened = sum((T0 + begin + seconds) - (T0 + begin) for begin, seconds, *_ in requests)
    assert sum(each.open for each in span.bins) == pytest.approx(opened, abs=1e-3, rel=1e-6)
    assert all(each.open >= -1e-6 for each in span.bins)
    assert span.begins_at <= T0 + min(begin for begin, *_ in requests)


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 30)), min_size=1))
def test_the_order_does_not_matter(spans: list[tuple[float, float]]) -> None:
    """Results come in the order of completion, or of the input."""
    built = []
    for order in (spans, sorted(spans), sorted(spans, reverse=True)):
        timeline = Timeline()
        for begin, seconds in order:
            timeline.add([(T0 + begin, T0 + begin + seconds)], 1, ok=True)
        built.append(timeline.build())

    for one in built[1:]:
        assert one is not None
        assert built[0] is not None
        assert (one.begins_at, one.width) == (built[0].begins_at, built[0].width)
        for mine, other in zip(one.bins, built[0].bins, strict=True):
            assert mine.succeeded == other.succeeded
            assert mine.open == pytest.approx(other.open, abs=1e-3)


def test_a_request_is_open_in_all_bins_that_it_reaches() -> None:
    """Two requests, the second within the first."""
    timeline = Timeline()
    timeline.add([(T0, T0 + 64.0)], 0, ok=True)
    timeline.add([(T0 + 16.0, T0 + 32.0)], 0, ok=False)

    span = timeline.build()

    assert span is not None
    assert span.width == 0.5
    opened = [round(each.open / span.width) for each in span.bins]
    assert opened == [1] * 32 + [2] * 32 + [1] * 64 + [0]


def test_between_two_tries_a_request_is_not_open() -> None:
    """It is open in each of its stretches, and ends once."""
    timeline = Timeline()
    timeline.add([(T0, T0 + 1.0), (T0 + 9.0, T0 + 10.0)], 7, ok=True)

    span = timeline.build()

    assert span is not None
    assert sum(each.open for each in span.bins) == pytest.approx(2.0)
    assert [each.succeeded for each in span.bins if each.succeeded] == [1]
    assert span.bins[len(span.bins) // 2].open == 0


@pytest.mark.parametrize(
    ("begin", "end"),
    [(0.0, 1.0), (-5.0, 1.0), (T0, T0 - 1), (math.nan, T0), (T0, math.inf), (T0, math.nan)],
)
def test_times_that_are_none_are_left_out(begin: float, end: float) -> None:
    """As of a result whose time is not known, or of a clock that was set back."""
    timeline = Timeline()
    timeline.add([(begin, end)], 1, ok=True)

    assert timeline.build() is None


def test_a_jump_of_the_clock_makes_the_bins_wide() -> None:
    """Fifty years between two requests take no more bins than a second."""
    timeline = Timeline()
    for number in range(1000):
        timeline.add([(T0 + number, T0 + number + 0.5)], 1, ok=True)
    timeline.add([(1.0, 2.0)], 1, ok=True)

    span = timeline.build()

    assert span is not None
    assert len(span.bins) <= BINS
    assert sum(each.succeeded for each in span.bins) == 1001


def test_building_changes_nothing() -> None:
    """A report may be written while the stream runs, and once more at its end."""
    timeline = Timeline()
    timeline.add([(T0, T0 + 3.0)], 1, ok=True)
    first = timeline.build()
    timeline.add([(T0, T0 + 3.0)], 1, ok=True)
    again = timeline.build()

    assert first is not None
    assert again is not None
    assert sum(each.open for each in again.bins) == pytest.approx(6.0)
    assert again.width >= FINEST


def test_a_request_is_in_flight_during_its_tries_only() -> None:
    """Not while it waits for the next one, and not while it waits to be given up."""
    history = (Attempt(503, httpx.ReadError("x"), Timing(wait=1.0), 6.0),)
    tried = success(started=T0, elapsed=8.0, attempts=2, timing=Timing(wait=1.0), history=history)
    given_up = failure(
        1, started=T0, elapsed=8.0, kind=FailureKind.host_down, timing=Timing(connect=0.5)
    )

    for result, seconds in ((tried, 2.0), (given_up, 0.5)):
        spans = spans_of(result, T0, T0 + 8.0)
        assert sum(end - begin for begin, end in spans) == pytest.approx(seconds)
        assert (spans[0][0], spans[-1][1]) == (T0, T0 + 8.0)
