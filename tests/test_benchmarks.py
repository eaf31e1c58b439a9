"""That what is measured layer by layer can still be measured, and that the docs show the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.layers import LAYERS
from benchmarks.record import Record

ROOT = Path(__file__).parents[1]


@pytest.mark.once
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_can_be_measured(name: str) -> None:
    """Its way through private parts leads somewhere."""
    repeat = LAYERS[name]()

    repeat(3)


def test_the_docs_show_the_record_that_is_kept() -> None:
    """`python -m benchmarks publish benchmarks/results.json` would change neither page."""
    record = Record.read(ROOT / "benchmarks" / "results.json")
    summary = (ROOT / "docs" / "performance.md").read_text()
    page = (ROOT / "docs" / "contributing" / "benchmarks.md").read_text()

    assert report.with_summary(record, summary) == summary
    assert report.page(record) == page
