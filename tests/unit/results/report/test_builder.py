"""The figures of a report: what is counted, what is kept, and that it is little."""

from __future__ import annotations

import gc
import json
import pickle
import weakref
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._results._results import Results
from asyncbatch._results.report import _builder
from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._figures import Figures
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Attempt, Timing
from tests.samples import failure, success

pytestmark = pytest.mark.once

T0 = 1_700_000_000.0


def figures_of(*results: Result, duration: float | None = 10.0) -> Figures:
    """Return the figures of the results."""
    builder = ReportBuilder()
    for result in results:
        builder.add(result)
    return builder.build(duration=duration)


def at(host: str, index: int = 0, **fields: Any) -> Result:
    """Return a success of a host."""
    return success(index, item=f"http://{host}/{index}", **fields)


def attempt(timing: Timing, delay: float = 0.0) -> Attempt:
    return Attempt(status_code=503, error=httpx.ReadError("x"), timing=timing, delay=delay)


def test_results_are_counted_once() -> None:
    """The summary is that of the results themselves."""
    figures = figures_of(success(0), success(1), failure(2))

    assert (figures.summary.total, figures.summary.failed) == (3, 1)
    assert figures.summary.duration == 10.0


def test_the_duration_is_that_of_the_times_if_it_is_not_known() -> None:
    """From the first beginning to the last end."""
    results = (success(0, started=T0, elapsed=1.0), success(1, started=T0 + 3, elapsed=2.0))

    assert figures_of(*results, duration=None).summary.duration == pytest.approx(5.0)
    assert figures_of(duration=None).summary.duration == 0.0


def test_the_time_of_all_tries_counts() -> None:
    """Those of the last try, and of each before it; the waits are sums already."""
    result = success(
        attempts=2,
        timing=Timing(queued=1.0, throttled=2.0, wait=0.5),
        history=(attempt(Timing(queued=1.0, wait=0.25, connect=0.125)),),
    )

    time = figures_of(result).time

    assert time["wait"] == pytest.approx(0.75)
    assert time["connect"] == pytest.approx(0.125)
    assert (time["queued"], time["throttled"]) == (1.0, 2.0)


def test_the_times_of_an_earlier_run_are_left_out() -> None:
    """A result of a journal is counted, but this batch did not wait for it."""
    timing = Timing(queued=9.0, wait=9.0)
    kept = success(0, from_journal=True, started=T0 - 99_999, elapsed=9.0, timing=timing)

    figures = figures_of(kept, success(1, started=T0, elapsed=1.0, timing=Timing(wait=1.0)))

    assert figures.from_journal == 1
    assert figures.time["wait"] == pytest.approx(1.0)
    assert figures.time["queued"] == pytest.approx(0.0)
    assert figures.begun_at == T0
    assert [each.elapsed for each in figures.slowest] == [1.0]


def test_hosts_with_the_most_time_come_first() -> None:
    """Of each: its requests, failures, retries, and how long they took."""
    results = [
        at("a.test", 0, elapsed=1.0),
        at("b.test", 1, elapsed=5.0, attempts=3, body=b"1234"),
        at("b.test", 2, elapsed=1.0),
        failure(3, item="http://b.test/3", attempts=0),
    ]

    (first, b), (second, _) = figures_of(*results).hosts

    assert (first, second) == ("b.test", "a.test")
    assert (b.requests, b.failed, b.retries, b.bytes) == (3, 1, 2, 4)
    assert (b.elapsed, b.slowest) == (6.0, 5.0)


def test_hosts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with the most time are kept; the others are counted together."""
    monkeypatch.setattr(_builder, "HOSTS", 10)
    results = [at(f"h{n}.test", n, elapsed=100.0 if n == 3 else 1.0) for n in range(95)]

    figures = figures_of(*results)

    assert len(figures.hosts) <= 20
    assert figures.hosts[0][0] == "h3.test"
    assert figures.others is not None
    kept = sum(each.requests for _, each in figures.hosts)
    assert kept + figures.others.requests == len(figures.hosts) + figures.more_hosts == 95


def test_secrets_are_masked() -> None:
    """In the URLs, and in the messages about them."""
    url = "http://me:pass@host.test/a?token=abcdef"
    error = httpx.ConnectError(f"cannot fetch {url}")
    result = failure(item=url, url=httpx.URL(url), error=error, elapsed=1.0)

    figures = figures_of(result)

    shown = repr([figures.groups, figures.slowest, figures.hosts])
    assert "host.test" in shown
    assert "pass" not in shown
    assert "abcdef" not in shown


def test_no_result_is_kept() -> None:
    """A stream is reported in memory that does not grow."""
    builder = ReportBuilder()
    seen = []
    for number in range(100):
        for result in (success(number, elapsed=1.0), failure(number, status=404), failure(number)):
            builder.add(result)
            # Results have no place for a weak reference.
            seen.append(weakref.ref(result.response or result.error))
    del result
    gc.collect()

    assert not [each for each in seen if each() is not None]


@pytest.mark.parametrize("elapsed", [0.0, -1.0, 1e300])
def test_impossible_times_do_no_harm(elapsed: float) -> None:
    """As of a result that was made by hand."""
    timing = Timing(queued=-1.0, throttled=-2.0, wait=-3.0)
    figures = figures_of(
        success(0, started=T0, elapsed=elapsed, timing=timing),
        success(1, started=-T0, elapsed=1.0),
        failure(2, started=1e300, elapsed=1.0),
    )

    assert figures.summary.total == 3
    assert min(figures.time.values()) >= 0.0


def test_restored_results_are_counted_like_others() -> None:
    """After a journey through a pickle."""
    results = [success(0, started=T0, elapsed=1.0, body=b"abc"), failure(1, status=500)]

    figures = figures_of(*pickle.loads(pickle.dumps(results)))

    assert figures.summary.bytes == 3
    assert figures.begun_at == T0
    assert [each.count for each in figures.groups] == [1]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_merged_figures_are_those_of_all_results(parts: list[int], dice: Any) -> None:
    """But for quantiles, which are inexact, whatever the parts are and in whatever order."""
    whole, builders = ReportBuilder(), [ReportBuilder() for _ in range(4)]
    for index, part in enumerate(parts):
        seconds = dice.choice([0.25, 1.0, 60.0, 4000.0]) + index / 1000
        fields: dict[str, Any] = {
            "item": f"http://h{index % 3}.test/{index}",
            "started": T0 + dice.random() * 1000,
            "elapsed": seconds,
            "timing": Timing(queued=1.0, throttled=0.5, wait=seconds / 2),
        }
        if index % 4 == 3:
            fields |= {"attempts": 2, "history": (attempt(Timing(wait=0.1), delay=0.1),)}
        result = failure(index, **fields) if index % 3 == 2 else success(index, **fields)
        for builder in (whole, builders[part]):
            builder.add(result)
    merged = ReportBuilder()
    for builder in builders:
        merged.merge(json.loads(json.dumps(builder.state())))

    one, other = (each.build(duration=9.0) for each in (whole, merged))
    assert (one.summary.total, one.summary.kinds) == (other.summary.total, other.summary.kinds)
    assert dict(one.hosts).keys() == dict(other.hosts).keys()
    for host, figures in one.hosts:
        expected = attrs.astuple(figures)
        assert attrs.astuple(dict(other.hosts)[host]) == pytest.approx(expected)
    assert one.slowest == other.slowest
    assert [each.count for each in one.groups] == [each.count for each in other.groups]
    assert other.time == pytest.approx(one.time, abs=1e-6)
    assert one.span is not None
    assert other.span is not None
    assert (one.begun_at, one.span.width) == (other.begun_at, other.span.width)
    for mine, its in zip(one.span.bins, other.span.bins, strict=True):
        assert attrs.astuple(mine) == pytest.approx(attrs.astuple(its), abs=1e-3)


def test_what_is_handed_over_is_small() -> None:
    """The rest of it is counted together."""
    builder = ReportBuilder()
    for index in range(2_000):
        error = httpx.ConnectError("x" * (index % 300))
        fields: dict[str, Any] = {"item": f"http://h{index}.test/", "elapsed": 1.0}
        builder.add(failure(index, error=error, **fields))
    merged = ReportBuilder()

    state = json.dumps(builder.state())
    merged.merge(json.loads(state))

    assert len(state) < 100_000
    figures = merged.build(duration=1.0)
    assert len(figures.hosts) + figures.more_hosts == 2_000
    assert sum(each.count for each in figures.groups) + figures.more_failures == 2_000
    assert figures.others is not None
    assert sum(each.requests for _, each in figures.hosts) + figures.others.requests == 2_000


@given(
    st.lists(
        st.sampled_from(
            [
                *("http://a.test/x", "http://a.test/y", "http://A.test/", "http://a.test"),
                *(
                    "http://a.test?/x",
                    "http://a.test:80/",
                    "http://a.test:8080/",
                    "https://a.test/",
                ),
                *("http://b.test#/x", "http://a.tes", "  http://a.test/", "http://me@a.test/"),
                *(
                    "http://a.test\\\\b.test/",
                    "/x",
                    "",
                    "http://xn--e1afmkfd.test/",
                    "http://[::1]/",
                ),
            ]
        )
    )
)
def test_hosts_are_those_of_the_views(urls: list[str]) -> None:
    """Whatever a URL is, and whatever was asked for before it."""
    results = [
        failure(n, item=url, url=httpx.URL("http://final.test/")) for n, url in enumerate(urls)
    ]

    figures = figures_of(*results)

    views = Results(results, duration=1.0).by_host()
    assert {host: each.requests for host, each in figures.hosts} == {
        host: len(own) for host, own in views.items()
    }


def test_spellings_of_a_host_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are remembered to find the host fast, and are one host all the same."""
    monkeypatch.setattr(_builder, "HOSTS", 4)
    builder = ReportBuilder()
    texts = [f"http://{'h' * n}{'H' * (40 - n)}.test/" for n in range(40)]

    for number, text in enumerate(texts):
        builder.add(success(number, item=text))
        assert len(builder._by_start) <= 8

    [(host, totals)] = builder.build(duration=1.0).hosts
    assert (host.lower(), totals.requests) == (f"{'h' * 40}.test", 40)


def test_a_result_of_an_earlier_run_that_was_never_tried_has_no_time_to_leave_out() -> None:
    """It is counted as taken from the journal."""
    waited = Timing(queued=3.0)
    figures = figures_of(failure(0, attempts=0, timing=waited, from_journal=True))

    assert figures.from_journal == 1
    assert figures.summary.failed == 1
