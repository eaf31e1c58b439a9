"""Charts: what their shapes say."""

from __future__ import annotations

import re

import pytest

from asyncbatch._results.report._charts import HEIGHT, area, bar, columns
from tests.markup import errors_in


def test_series_stand_on_each_other() -> None:
    """The second begins where the first ends."""
    chart = columns([("ok", [1.0, 2.0]), ("failed", [1.0, 0.0])], 2.0, "label")

    assert 'class="ok" d="M0 100V50h1V100zM1 100V0h1V100z"' in chart
    assert 'class="failed" d="M0 50V0h1V50z"' in chart
    assert 'viewBox="0 0 2 100"' in chart


def test_an_area_has_steps_and_a_line() -> None:
    """The line is at its value."""
    chart = area("open", [1.0, 4.0], 4.0, "label", 2.0)

    assert 'd="M0 100V75h1V0h1V100z"' in chart
    assert 'd="M0 50H2"' in chart


def test_a_line_may_be_missing() -> None:
    """Where no limit is known."""
    assert "limit" not in area("open", [1.0], 1.0, "label", None)


def test_segments_follow_one_another() -> None:
    """None is longer than the bar; what cannot be seen is left out."""
    chart = bar([("a", 1.0), ("b", 0.0), ("c", 2.0), ("d", 9.0)], 4.0, "label")

    found = re.findall(r'class="(\w)" x="([\d.]+)%" width="([\d.]+)%"', chart)
    assert found == [("a", "0", "25"), ("c", "25", "50"), ("d", "75", "25")]


@pytest.mark.parametrize(
    "chart",
    [
        columns([("ok", [])], 0.0, "label"),
        columns([("ok", [0.0])], 0.0, "label"),
        area("open", [], 0.0, "label", 1.0),
        area("open", [9.0], 1.0, "label", 5.0),
        bar([], 0.0, "label"),
        bar([("a", -1.0), ("b", 2.0)], 1.0, "label"),
    ],
)
def test_nothing_to_show_is_no_error(chart: str) -> None:
    """No value, no scale, or a value beyond it."""
    assert errors_in(chart) == []
    assert not re.search(r"-\d|nan|inf", chart.replace('preserveAspectRatio="none"', ""))
    assert HEIGHT == 100
