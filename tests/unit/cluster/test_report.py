"""The report of a shard, and the figures of several."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from asyncbatch import FailureKind
from asyncbatch.cluster import HostFigures, ShardReport
from asyncbatch.cluster._report import MOST_HOSTS, ShardReportBuilder, report_from, summary_of
from asyncbatch.testing import failure, success


def report(
    shard: int, *, started: float = 100.0, seconds: float = 2.0, count: int = 10
) -> ShardReport:
    figures = ShardReportBuilder()
    for n in range(count):
        figures.add(success(f"http://a.example/{n}", content=b"x" * n, elapsed=float(n)))
    figures.add(failure("http://b.example:81/", kind="connect", elapsed=1.0))
    figures.add(failure("no url", kind="invalid_request"))
    text = figures.text(shard=shard, tries=1, started=started, seconds=seconds)
    return report_from(text, Path(f"{shard}.parquet"))


def test_a_report_has_the_figures_of_its_results() -> None:
    """By JSON, as it is kept in the file of the results."""
    found = report(3)
    summary = found.summary()

    assert (found.shard, found.requests, found.tries, found.ok) == (3, 12, 1, True)
    assert (summary.total, summary.succeeded, summary.bytes) == (12, 10, 45)
    assert summary.kinds == {FailureKind.connect: 1, FailureKind.invalid_request: 1}
    assert summary.statuses == {200: 10}
    assert summary.duration == 2.0
    assert summary.elapsed is not None
    assert (summary.elapsed.count, summary.elapsed.max) == (11, 9.0)
    assert found.hosts == (
        HostFigures("a.example", 10, 0, 45, 45.0),
        HostFigures("b.example:81", 1, 1, 0, 1.0),
        HostFigures("", 1, 1, 0, 0.0),
    )


def test_the_figures_of_several_shards_are_added_up() -> None:
    """From the first start to the last end; a shard that is not done adds nothing."""
    lost = ShardReport(shard=9, requests=5, error="its worker died")

    summary = summary_of([report(0, started=100.0), report(1, started=101.0, seconds=5.0), lost])

    assert (summary.total, summary.failed, summary.duration) == (24, 4, 6.0)
    assert summary.elapsed is not None
    assert summary.elapsed.mean == pytest.approx(report(0).summary().elapsed.mean)  # type: ignore[union-attr]
    assert summary.elapsed.p50 == pytest.approx(4.0, rel=1 / 128)


def test_nothing_adds_up_to_nothing() -> None:
    """A data set of which no shard is done."""
    assert summary_of([]).total == 0


def test_a_report_names_the_hosts_with_the_most_requests() -> None:
    """Not all of a hundred thousand."""
    figures = ShardReportBuilder()
    for n in range(3 * MOST_HOSTS):
        for _ in range(1 + (n == 200)):
            figures.add(success(f"http://h{n}.example/"))

    found = report_from(figures.text(shard=0, tries=1, started=1.0, seconds=1.0), Path("x"))

    assert len(found.hosts) == MOST_HOSTS
    assert found.hosts[0] == HostFigures("h200.example", 2, 0, 0, 0.0)


def test_a_report_pickles() -> None:
    """It comes back from a worker."""
    assert pickle.loads(pickle.dumps(report(1))) == report(1)


def test_results_of_an_earlier_try_are_counted() -> None:
    """They are in the file, and were not fetched again."""
    figures = ShardReportBuilder()
    figures.add(success())

    assert (figures.count, figures.from_journal) == (1, 0)
