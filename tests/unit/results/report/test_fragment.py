"""What a notebook shows: small, escaped, and of a bounded size."""

from __future__ import annotations

import pytest

from asyncbatch._results._results import ROWS_SHOWN, SUMMED_AT_ONCE, Results
from asyncbatch._results.report._fragment import fragment
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result
from tests.markup import errors_in, text_of
from tests.samples import failure, success


def shown(results: list[Result]) -> str:
    return Results(results, duration=2.0)._repr_html_()


def test_a_summary_shows_its_figures() -> None:
    """Those that its text has."""
    results = Results(
        [success(0, elapsed=1.0), failure(1, kind=FailureKind.dns, elapsed=3.0)], duration=2.0
    )

    found = results.summary()._repr_html_()

    assert errors_in(found) == []
    text = text_of(found)
    for part in ("2 requests in 2 s", "dns 1", "elapsed", "p99", "3 s"):
        assert part in text


@pytest.mark.parametrize(
    "results",
    [[], [success()], [failure()], [failure(kind=FailureKind.not_started, attempts=0)]],
    ids=["none", "one", "failed", "unsent"],
)
def test_any_results_are_shown(results: list[Result]) -> None:
    """As a valid element, which has no other one's colours."""
    found = shown(results)

    assert errors_in(found) == []
    assert "color:" not in found
    assert f"{len(results)} request" in text_of(found)


def test_the_first_failures_are_shown() -> None:
    """A few of them, with the kind or the status."""
    results = [success(n) for n in range(5)]
    results += [failure(n, status=404) for n in range(5, 10)] + [failure(n) for n in range(10, 20)]

    text = text_of(shown(results))

    assert text.count("http://host.test/") == ROWS_SHOWN
    assert "first failures" in text
    assert "404" in text


def test_the_first_results_are_shown_if_none_failed() -> None:
    """With their status and their time."""
    text = text_of(shown([success(n, elapsed=n / 8, status=201) for n in range(9)]))

    assert "first results" in text
    assert "42010.500http://host.test/4" in text


def test_hostile_urls_do_nothing() -> None:
    """Nor do long ones make it long, nor are secrets in them shown."""
    url = "http://me:pass@host.test/<script>\ud800\u202e?token=abcdef&a=" + "x" * 100_000

    found = shown([failure(n, item=url, url=None) for n in range(9)])

    assert errors_in(found) == []
    assert len(found) < 6_000
    assert "pass" not in found
    assert "abcdef" not in found


def test_a_million_results_are_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their figures are left for `summary`, which takes some seconds."""
    results = Results([success(0)] * (SUMMED_AT_ONCE + 1) + [failure(1)], duration=2.0)
    monkeypatch.setattr(Results, "summary", lambda _: pytest.fail("it was asked for a summary"))

    found = results._repr_html_()

    assert len(found) < 6_000
    assert "100,002 requests" in text_of(found)


def test_an_element_without_a_table_has_none() -> None:
    """Nor has it lines that it was not given."""
    assert "<table" not in fragment("title", [], ["a"], [])
    assert "&lt;" in fragment("<", [("<", "<")], ["<"], [["<"]])
