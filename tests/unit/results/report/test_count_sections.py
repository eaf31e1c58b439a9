"""The sections of a page that count: figures at the top, failures, hosts and statuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from asyncbatch._results._limits import Limits
from asyncbatch._results.report import _builder
from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._count_sections import distribution, failures, hosts, tiles
from asyncbatch._results.report._figures import Figures
from asyncbatch._values._result import Result
from tests.markup import text_of
from tests.samples import failure, success


def figures_of(results: list[Result], **limits: Any) -> Figures:
    """Return the figures of the results."""
    builder = ReportBuilder()
    for result in results:
        builder.add(result)
    return builder.build(duration=10.0, limits=Limits(**limits))


def test_what_is_cut_off_is_counted() -> None:
    """Hosts, messages and statuses."""
    results: list[Result] = [success(n, item=f"http://h{n}.test/", elapsed=1.0) for n in range(25)]
    results += [failure(n, error=httpx.ConnectError("x" * n)) for n in range(1, 24)]
    results += [success(n, status=200 + n) for n in range(22)]

    figures = figures_of(results)

    assert "other hosts" in text_of(hosts(figures))
    assert "And 11 more, of other messages." in text_of(failures(figures))
    assert "And 2 other statuses." in text_of(distribution(figures.summary))


def test_the_figures_at_the_top_are_those_of_the_summary() -> None:
    """With the most frequent kinds of failures, and the time of a request in the middle."""
    results: list[Result] = [success(n, elapsed=2.0, body=b"x" * 500) for n in range(8)]
    results += [failure(8), failure(9, status=404)]

    shown = text_of(tiles(figures_of(results).summary))

    assert "Succeeded8 80.0%" in shown
    assert "Failed2" in shown
    assert "connect 1" in shown
    assert "Median request2 s" in shown


def test_nothing_is_shown_of_no_results() -> None:
    """Neither statuses nor times."""
    assert distribution(figures_of([]).summary) == ""


def test_hosts_that_were_not_kept_are_in_the_row_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With their requests."""
    monkeypatch.setattr(_builder, "HOSTS", 2)
    results: list[Result] = [success(n, item=f"http://h{n}.test/", elapsed=n) for n in range(9)]

    figures = figures_of(results)

    assert figures.more_hosts > 0
    shown = len(figures.hosts)
    assert f"{9 - shown} other hosts{9 - shown}" in text_of(hosts(figures))
