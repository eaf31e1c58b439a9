"""The Parquet file of a shard."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Result
from asyncbatch.cluster._report import ShardReportBuilder
from asyncbatch.cluster._table import TableWriter, check_whole, publish, read_page, read_report
from asyncbatch.testing import failure, success

pq: Any = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.extras


def written(path: Path, results: list[Result], *, first: int = 0, tag: type = str) -> Path:
    figures = ShardReportBuilder()
    for result in results:
        figures.add(result)
    table = TableWriter(path, (tag,))
    places = array("q", range(first, first + len(results)))
    table.write(places[:1], results[:1])
    table.write(places[1:], results[1:])
    text = figures.text(shard=4, tries=2, started=1.0, seconds=2.0)
    table.finish(text, figures.page(seconds=2.0))
    return path


def test_a_file_has_rows_with_their_places_and_a_report(tmp_path: Path) -> None:
    """The place is that in the whole input."""
    path = written(tmp_path / "x", [success(tag=7), failure(), success()], first=100, tag=int)

    rows = pq.read_table(path).to_pylist()
    assert [row["index"] for row in rows] == [100, 101, 102]
    assert [row["ok"] for row in rows] == [True, False, True]
    assert [row["tag"] for row in rows] == [7, None, None]
    assert read_report(path).requests == 3
    assert read_report(path).path == path


@pytest.mark.parametrize("is_foreign", [False, True])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, is_foreign: bool) -> None:
    """One that is damaged, and one of another origin."""
    path = written(tmp_path / "x", [success(), success()])
    if is_foreign:
        pq.write_table(pq.read_table(path).select(["url"]), path)
    else:
        path.write_bytes(path.read_bytes()[:-9])

    for read in (read_report, read_page, check_whole):
        with pytest.raises(ValueError, match=r"x is damaged, or no file of .*: move it away"):
            read(path)


def test_the_first_file_stays(tmp_path: Path) -> None:
    """A shard that was fetched twice has the results of one worker."""
    first = written(tmp_path / "1", [success(), success()])
    second = written(tmp_path / "2", [failure(), failure()])

    publish(first, tmp_path / "out")
    publish(second, tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert read_report(tmp_path / "out").summary().succeeded == 2


def test_what_was_given_up_leaves_no_file(tmp_path: Path) -> None:
    """Readers never see half of a shard."""
    table = TableWriter(tmp_path / "x", ())
    table.write(array("q", [0, 1]), [success(), success()])

    table.remove()

    assert list(tmp_path.iterdir()) == []
