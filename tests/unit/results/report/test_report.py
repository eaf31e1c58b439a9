"""`Report`: from results to a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asyncbatch._results._limits import Limits
from asyncbatch._results.report._report import BatchReport, MergedReport, Report
from tests.markup import errors_in, text_of
from tests.samples import failure, success

T0 = 1_700_000_000.0


def test_results_are_given_at_once_or_one_by_one() -> None:
    """It is the same report."""
    results = [success(0, started=T0, elapsed=1.0), failure(1, started=T0, elapsed=2.0)]
    report = Report()
    for result in results:
        report.add(result)

    assert report.html() == Report(results).html()
    assert text_of(report.html()).startswith("2 requests in 2 s")
    assert errors_in(report.html()) == []


def test_it_is_written_in_utf_8_over_what_was_there(tmp_path: Path) -> None:
    """Whatever the locale is."""
    path = tmp_path / "report.html"
    path.write_text("x" * 1_000_000)

    Report([success(item="http://host.test/\u00e4", elapsed=1.0)]).write(str(path), duration=3.0)

    page = path.read_text(encoding="utf-8")
    assert "\u00e4" in page
    assert text_of(page).startswith("1 request in 3 s")


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Which is the caller's to see."""
    with pytest.raises(OSError, match="missing"):
        Report().write(tmp_path / "missing" / "report.html")


def test_the_report_of_a_batch_knows_its_limits() -> None:
    """Which results do not tell."""
    report = BatchReport()
    report.add(success(0, started=T0, elapsed=1.0))

    page = report.html(duration=1.0, limits=Limits(slots=1, slots_full=0.9))

    assert "The only slot was taken for 90% of the time" in text_of(page)


def test_reports_of_batches_are_merged(tmp_path: Path) -> None:
    """Side by side; a host that both asked held requests back for the time of both."""
    merged = MergedReport()
    for number, seconds in enumerate([2.0, 4.0]):
        report = BatchReport()
        report.add(success(number, started=T0 + number, elapsed=1.0))
        limits = Limits(
            slots_full=seconds / 4,
            waits={"rate": 1.0},
            hosts={"host.test": {"rate": 3.0}, f"h{number}.test": {"pause": 1.0}},
        )
        merged.merge(json.loads(json.dumps(report.state(duration=seconds, limits=limits))))

    merged.write(tmp_path / "report.html", duration=8.0)

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert errors_in(page) == []
    text = text_of(page)
    assert text.startswith("2 requests in 8 s")
    assert "The rate held requests back: for 75% of the time at host.test" in text
    assert "All slots were taken25% 2 s" in text


def test_no_batches_are_merged_to_an_empty_report(tmp_path: Path) -> None:
    """As of a data set of which nothing is done."""
    MergedReport().write(tmp_path / "report.html", duration=0.0)

    assert "There were no requests." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_only_results_are_reported() -> None:
    """What is none is named, without its secrets."""
    with pytest.raises(
        TypeError, match=r"must be a Success or a Failure, not 'http://\[secure\]@x/'"
    ):
        Report(["http://a:b@x/"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="not None"):
        Report().add(None)  # type: ignore[arg-type]
