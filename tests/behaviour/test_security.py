"""The page about security: each test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_promise_names_a_test_that_there_is(file: str, test: str) -> None:
    """Or it would promise what nothing shows."""
    source = (ROOT / file).read_text()

    assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE)


def test_every_promise_names_a_test() -> None:
    """Each row of the tables that are headed so."""
    tables = re.findall(r"\| promise \| shown by \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE)
    promises = [row for table in tables for row in table.splitlines()]

    assert len(tables) == 3
    assert len(promises) >= 15
    assert [row for row in promises if "::test_" not in row] == []


def test_the_summary_names_files_that_there_are() -> None:
    """The paths in `SECURITY.md`."""
    summary = (ROOT / "SECURITY.md").read_text()
    paths = re.findall(r"(?:`|\]\()([a-z-]+/[a-z0-9_/-]+\.(?:py|md))", summary)

    assert len(paths) >= 5
    assert [path for path in paths if not (ROOT / path).is_file()] == []
