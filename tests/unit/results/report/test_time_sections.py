"""The sections of a page about time: what held requests back, when, and which were slow."""

from __future__ import annotations

from typing import Any

import httpx

from asyncbatch._results._limits import Limits
from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._figures import Figures
from asyncbatch._results.report._time_sections import over_time, slowest_requests, why
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Attempt, Timing
from tests.markup import text_of
from tests.samples import failure, success

T0 = 1_700_000_000.0


def figures_of(results: list[Result], **limits: Any) -> Figures:
    """Return the figures of the results."""
    builder = ReportBuilder()
    for result in results:
        builder.add(result)
    return builder.build(duration=10.0, limits=Limits(**limits))


def test_waits_are_split_by_their_reason() -> None:
    """As far as the results waited: they may be a part of the batch."""
    results = [success(n, elapsed=1.0, timing=Timing(throttled=3.0, wait=1.0)) for n in range(4)]

    shown = text_of(why(figures_of(results, waits={"rate": 18.0, "backoff": 6.0})))

    assert "Waiting for the rate56% 2.25 s" in shown
    assert "Waiting to be tried again19% 750 ms" in shown
    assert "Held back by a limit" not in shown


def test_waits_without_a_reason_are_called_so() -> None:
    """As of results from elsewhere."""
    results = [success(n, elapsed=1.0, timing=Timing(throttled=3.0, wait=1.0)) for n in range(4)]

    assert "Held back by a limit75% 3 s" in text_of(why(figures_of(results)))


def test_charts_say_their_peaks() -> None:
    """Results and bytes a second, and the requests in flight, by the slots that there were."""
    results: list[Result] = [
        success(n, started=T0 + n, elapsed=4.0, body=b"x" * 1000) for n in range(20)
    ]
    figures = figures_of([*results, failure(20, started=T0, elapsed=1.0)], slots=5)
    assert figures.span is not None

    shown = text_of(over_time(figures, figures.span))

    assert "Results" in shown
    assert "failed, peak" in shown
    assert "dashed: 5 slots" in shown


def test_a_slow_request_shows_its_tries_and_how_it_ended() -> None:
    """With the phases that occur as keys, and no others."""
    earlier = Attempt(503, httpx.ReadError("x"), Timing(connect=0.5), 1.0)
    result = failure(
        item="http://a.test/slow",
        elapsed=3.0,
        attempts=2,
        timing=Timing(wait=1.0),
        history=(earlier,),
    )

    shown = text_of(slowest_requests(figures_of([result]).slowest))

    assert "connect, 2 tries http://a.test/slow" in shown
    assert "until the next try" in shown
    assert "receiving the body" not in shown
