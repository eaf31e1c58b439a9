"""`Summary`: the figures of a batch, and how they print."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._results._summary import (
    COUNTED_AT_ONCE,
    FIGURES,
    PHASES,
    Summary,
    SummaryBuilder,
    shown_bytes,
    shown_rate,
    shown_seconds,
)
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Timing
from tests.samples import failure, success


def summary_of(*results: Result, duration: float = 1.0) -> Summary:
    """Return the summary of the results."""
    builder = SummaryBuilder()
    for result in results:
        builder.add(result)
    return builder.build(duration=duration)


def test_counts_what_succeeded_and_what_failed():
    """Each result is counted once."""
    summary = summary_of(success(0), success(1), failure(2))

    assert (summary.total, summary.succeeded, summary.failed) == (3, 2, 1)


def test_counts_kinds_by_frequency_and_statuses_in_their_order():
    """A status counts whether it made a success or a failure; no response has none."""
    summary = summary_of(
        failure(0, kind=FailureKind.dns),
        failure(1, status=503),
        failure(2, status=404),
        success(3, status=204),
        success(4),
        success(5),
    )

    assert list(summary.kinds.items()) == [(FailureKind.status, 2), (FailureKind.dns, 1)]
    assert list(summary.statuses.items()) == [(200, 2), (204, 1), (404, 1), (503, 1)]


def test_counts_retries_and_decoded_bytes():
    """A retry is a try beyond the first; what was never tried had none."""
    summary = summary_of(
        success(0, body=b"1234", attempts=3),
        success(1, body=b"56"),
        failure(2, kind=FailureKind.not_started, attempts=0),
    )

    assert summary.retries == 2
    assert summary.bytes == 6


@pytest.mark.parametrize(("duration", "rate"), [(0.5, 6.0), (0.0, 0.0)])
def test_the_rate_is_results_per_second(duration: float, rate: float):
    """No time, no rate."""
    assert summary_of(success(0), success(1), failure(2), duration=duration).rate == rate


def test_quantiles_leave_out_what_was_never_tried():
    """A hundred requests that were not sent do not make the others look fast."""
    unsent = [failure(i, kind=FailureKind.not_started, attempts=0) for i in range(1, 100)]

    summary = summary_of(success(0, elapsed=2.0), *unsent)

    assert summary.elapsed is not None
    assert (summary.elapsed.count, summary.elapsed.p50) == (1, 2.0)


def test_phases_that_never_occurred_are_left_out():
    """Only the results that had a phase count for it."""
    summary = summary_of(
        success(0, timing=Timing(queued=0.1, connect=0.2, wait=0.3)),
        success(1, timing=Timing(queued=0.1, wait=0.5)),
    )

    assert list(summary.phases) == ["queued", "throttled", "connect", "wait"]
    assert summary.phases["connect"].count == 1
    assert summary.phases["wait"].max == 0.5


def test_an_empty_batch_has_a_summary():
    """Nothing divides by zero, and one line says so."""
    summary = summary_of(duration=0.0)

    assert (summary.total, summary.rate, summary.elapsed, dict(summary.phases)) == (0, 0, None, {})
    assert str(summary) == "0 requests in 0 ms"


def test_cannot_be_changed():
    """Its counts are read-only as well."""
    summary = summary_of(failure(0))

    with pytest.raises(TypeError):
        summary.kinds[FailureKind.dns] = 1  # type: ignore[index]


def test_prints_one_result_without_what_there_is_not():
    """No statuses where there was no response, no phase that took no time."""
    text = str(summary_of(failure(0, kind=FailureKind.dns, attempts=2, elapsed=0.25)))

    assert text.splitlines() == [
        "1 request in 1 s, 1/s, 0 B",
        "  succeeded  0",
        "  failed     1  (dns 1)",
        "  retries    1",
        "",
        "                  mean        p50        p90        p99        max",
        "  elapsed       250 ms     250 ms     250 ms     250 ms     250 ms",
    ]


SECONDS = st.sampled_from([0.0, 0.25, 1.5])
COURSES = st.tuples(*[SECONDS] * 5, *[st.none() | SECONDS] * 3, st.just(0))
TIMINGS = st.builds(Timing, *[SECONDS] * 2, *[st.none() | SECONDS] * 6)
OUTCOMES = st.tuples(COURSES | TIMINGS, SECONDS, SECONDS, st.integers(0, 3), st.booleans())


def one_by_one(results: list[Result], phase: str) -> list[float]:
    """Return what each result says by itself of a phase, if it was tried."""
    tried = [result.timing for result in results if result.attempts]
    return sorted(s for timing in tried if (s := getattr(timing, phase)) is not None)


@given(st.lists(OUTCOMES, max_size=12))
def test_what_is_counted_many_at_a_time_is_what_each_result_says(outcomes: list[Any]):
    """The phases are worked out by another way than `timing` of one result: no figure differs."""
    results: list[Result] = [
        (success if ok else failure)(
            n, network=network, queued=queued, throttled=throttled, attempts=attempts
        )
        for n, (network, queued, throttled, attempts, ok) in enumerate(outcomes)
    ]
    summary = summary_of(*results)

    assert summary.total == len(results)
    assert summary.failed == sum(not result.ok for result in results)
    assert summary.retries == sum(max(0, result.attempts - 1) for result in results)
    for phase in PHASES:
        expected = one_by_one(results, phase)
        found = summary.phases.get(phase)
        assert (found.count if found else 0) == len(expected)
        if found:
            assert found.max == max(expected)
            assert found.mean == pytest.approx(sum(expected) / len(expected))


def test_more_results_than_are_counted_at_once_are_all_counted():
    """Whatever is waiting to be counted is, when somebody asks."""
    builder = SummaryBuilder()
    for index in range(COUNTED_AT_ONCE // FIGURES + 3):
        builder.add(success(index, body=b"x"))
        if index == 2:
            assert builder.build(duration=1.0).total == 3

    assert builder.build(duration=1.0).total == COUNTED_AT_ONCE // FIGURES + 3
    assert builder.build(duration=1.0).bytes == COUNTED_AT_ONCE // FIGURES + 3


def worst_case() -> Summary:
    """Return a summary with everything that there can be, in large numbers."""
    dice = random.Random(7)
    phases = {name: dice.expovariate(1) for name in ("queued", "throttled", "dns", "connect")}
    phases |= {name: dice.expovariate(1) for name in ("tls", "send", "wait", "receive")}
    builder = SummaryBuilder()
    for status in range(200, 600):
        timing = Timing(**phases)
        maker = success if status < 400 else failure
        builder.add(maker(status, status=status, elapsed=12345.678, timing=timing))
    for kind in FailureKind:
        for index in range(1000):
            builder.add(failure(index, kind=kind))
    return builder.build(duration=12345678.9)


def test_prints_in_less_than_30_lines_of_at_most_80_columns():
    """Whatever happened, it fits on a screen, and in any encoding."""
    text = str(worst_case())

    assert len(text.splitlines()) < 30
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert all(f"{kind} 1," in text for kind in FailureKind)
    assert "and 380 more" in text


def test_the_memory_of_a_builder_is_bounded():
    """Beyond the limit the durations go into a histogram; the counts stay exact."""
    builder = SummaryBuilder(exact_up_to=10)
    for index in range(1000):
        builder.add(success(index, elapsed=index / 1000))

    summary = builder.build(duration=1.0)

    assert summary.elapsed is not None
    assert summary.elapsed.p50 == pytest.approx(0.499, rel=1 / 128)
    assert summary.elapsed.max == 0.999
    assert summary.total == summary.elapsed.count == 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0000123, "0.0123 ms"),
        (0.0123, "12.3 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (12.34, "12.3 s"),
        (99.96, "100 s"),
        (12345.6, "12,346 s"),
    ],
)
def test_seconds_are_shown_in_the_unit_that_fits(seconds: float, text: str):
    """Three digits, never in powers of ten."""
    assert shown_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (5.25e15, "5,250.0 TB")],
)
def test_bytes_are_shown_in_the_unit_that_fits(count: float, text: str):
    """Three digits, in decimal units."""
    assert shown_bytes(count) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.0123, "0.0123/s"), (99.94, "99.9/s"), (99.96, "100/s"), (1e6, "1,000,000/s")],
)
def test_rates_are_shown_without_powers_of_ten(rate: float, text: str):
    """Three digits, or all of a whole number."""
    assert shown_rate(rate) == text


def test_summaries_of_parts_are_merged():
    """All counts are added up, by states that JSON has carried."""
    results = [*(success(n) for n in range(5)), failure(5), failure(6, status=503)]
    merged = SummaryBuilder()
    for part in (results[:3], results[3:], []):
        builder = SummaryBuilder()
        for result in part:
            builder.add(result)
        merged.merge(json.loads(json.dumps(builder.state())))

    found, whole = merged.build(duration=1.0), summary_of(*results)

    for name in ("total", "succeeded", "failed", "kinds", "statuses", "retries", "bytes"):
        assert getattr(found, name) == getattr(whole, name)
    assert found.phases.keys() == whole.phases.keys()
    assert found.elapsed is not None
    assert whole.elapsed is not None
    assert found.elapsed.p50 == pytest.approx(whole.elapsed.p50, rel=1 / 128)
