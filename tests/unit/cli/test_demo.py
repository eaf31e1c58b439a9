"""The demo's own judgement: it sees what is not as planned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asyncbatch import FailureKind, Results
from asyncbatch._cli import _demo
from asyncbatch._cli._demo import (
    REPORT_NAMES,
    DemoUrls,
    _compared,
    _mixed_up,
    _reported,
    run_demo,
)
from asyncbatch.testing import LoopbackServer, Reply
from tests.samples import failure, success

URLS = ["http://host.test/0", "http://host.test/1"]


def results_of(*results: object) -> Results:
    """Return the results of a batch."""
    return Results(results, duration=1.0)  # type: ignore[arg-type]


def test_what_is_as_planned_is_no_deviation(capsys: pytest.CaptureFixture[str]):
    """The table has a row for the part."""
    plan = [
        DemoUrls("fine", URLS[:1]),
        DemoUrls("dead", URLS[1:], frozenset({FailureKind.connect})),
    ]

    assert list(_compared(plan, results_of(success(0), failure(1)))) == []
    assert "1 connect" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "results"),
    [
        (DemoUrls("fails", URLS), results_of(success(0), failure(1))),
        (DemoUrls("is missing", URLS), results_of(success(0))),
        (
            DemoUrls("should fail", URLS, frozenset({FailureKind.dns})),
            results_of(success(0), success(1)),
        ),
        (
            DemoUrls("fails otherwise", URLS[1:], frozenset({FailureKind.dns})),
            results_of(failure(1)),
        ),
        (DemoUrls("too few retries", URLS[:1], retries=1), results_of(success(0))),
    ],
)
def test_what_is_not_as_planned_is_told(
    capsys: pytest.CaptureFixture[str], part: DemoUrls, results: Results
):
    """Each deviation names its part."""
    (deviation,) = _compared([part], results)

    assert deviation.startswith(f"NOT as planned: {part.what}: ")
    assert part.what in capsys.readouterr().out


def test_results_out_of_order_are_told():
    """So are missing and doubled ones."""
    bodies = [success(0, body=b"0"), success(1, body=b"1")]

    assert list(_mixed_up(URLS, results_of(*bodies))) == []
    assert len(list(_mixed_up(URLS, results_of(*bodies[::-1])))) == 1
    assert len(list(_mixed_up(URLS, results_of(bodies[0])))) == 1
    assert len(list(_mixed_up(URLS, results_of(*bodies, bodies[0])))) == 1


def test_the_body_of_another_request_is_told():
    """A body says by itself where it belongs."""
    (deviation,) = _mixed_up(URLS[:1], results_of(success(0, body=b"1")))

    assert "http://host.test/0" in deviation


def test_the_demo_writes_a_report_and_names_the_next_command(tmp_path: Path):
    """The page is whole, and its name is told."""
    said = _reported(results_of(success(0, elapsed=1.0), failure(1)), tmp_path)

    assert said.startswith("Wrote report.html")
    assert "2 requests in 1 s" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r"asyncbatch.* -f urls.txt --report report.html$", said)


def test_the_demo_overwrites_no_file(tmp_path: Path):
    """It takes the next free name; if there is none, it says so."""
    (tmp_path / "report.html").write_text("mine")

    assert "Wrote report-2.html" in _reported(results_of(success(0)), tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"

    for name in REPORT_NAMES[2:]:
        (tmp_path / name).touch()
    assert "Wrote no report" in _reported(results_of(success(0)), tmp_path)


def test_a_folder_that_cannot_be_written_to_does_not_fail_the_demo(tmp_path: Path):
    """It says why, and what is next all the same."""
    said = _reported(results_of(success(0)), tmp_path / "missing")

    assert said.startswith("The report could not be written: ")
    assert "--report" in said


@pytest.mark.parametrize(
    ("outcomes", "is_planned"),
    [(frozenset(), True), (frozenset({FailureKind.dns}), False)],
)
async def test_the_demo_judges_its_own_batch(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcomes: frozenset[FailureKind],
    is_planned: bool,
):
    """With a plan of two URLs; the summary, the judgement and the report come in this order."""

    def plan(server: LoopbackServer) -> list[DemoUrls]:
        server.on("/*", lambda request: Reply(body=request.path[1:], framing="chunked"))
        return [DemoUrls("two URLs", [server.url("/0"), server.url("/1")], outcomes)]

    monkeypatch.setattr(_demo, "_plan", plan)

    assert await run_demo(tmp_path) is is_planned
    said = capsys.readouterr().out
    judgement = "Everything was as planned." if is_planned else "NOT as planned: two URLs: "
    parts = ["asyncbatch demo", "2 requests in", judgement, "Wrote report.html"]
    assert sorted(parts, key=said.index) == parts
