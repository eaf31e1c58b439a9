"""A data set, read in several ways."""

from __future__ import annotations

import sys
from array import array
from pathlib import Path
from typing import Any

import pytest

from asyncbatch._results._limits import Limits
from asyncbatch.cluster import Dataset, open_dataset
from asyncbatch.cluster._layout import Layout
from asyncbatch.cluster._plan_file import plan_text
from asyncbatch.cluster._report import ShardReportBuilder
from asyncbatch.cluster._table import TableWriter
from asyncbatch.testing import failure, success
from tests.markup import errors_in, text_of

pa: Any = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.extras


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two shards with three rows each, a third of which is a failure."""
    return dataset_in(tmp_path, shards=2)


@pytest.fixture
def unfinished(tmp_path: Path) -> Dataset:
    """The same, and two more shards, one of which is under way."""
    Layout(tmp_path).shards.mkdir()
    Layout(tmp_path).unfinished_of(2, 1).touch()
    return dataset_in(tmp_path, shards=4)


def plan_of(layout: Layout, shards: int) -> None:
    layout.plan.write_text(
        plan_text(
            plan_id="p",
            secret="",
            notes={},
            options={},
            tag_type=None,
            shards=[(3 + 1000 * (shard > 1), 0.0) for shard in range(shards)],
        )
    )


def dataset_in(folder: Path, shards: int) -> Dataset:
    layout = Layout(folder, "p")
    layout.make()
    plan_of(layout, shards)
    for shard in range(2):
        results = [success(content=b"abc"), success(content=b"de"), failure(kind="dns")]
        figures = ShardReportBuilder()
        for result in results:
            figures.add(result)
        table = TableWriter(layout.results_of(shard), ())
        table.write(array("q", range(3 * shard, 3 * shard + 3)), results)
        limits = Limits(slots_full=1.5, hosts={"h.test": {"rate": 0.5}})
        text = figures.text(shard=shard, tries=1, started=100.0 + shard, seconds=2.0)
        table.finish(text, figures.page(seconds=2.0, limits=limits))
    return open_dataset(folder)


def test_the_shards_that_are_done_are_one_table(dataset: Dataset) -> None:
    """With the columns of `Results.to_arrow`, and without what a worker is writing."""
    table = dataset.to_arrow()

    assert table["index"].to_pylist() == list(range(6))
    assert b"asyncbatch.report" not in (table.schema.metadata or {})
    assert [path.name for path in dataset.files] == ["000000.parquet", "000001.parquet"]
    assert (dataset.shards, dataset.missing) == (2, ())
    assert repr(dataset).endswith(": 2 shards with 6 requests>")


def test_the_summary_is_merged_from_the_shards(dataset: Dataset) -> None:
    """The rows are not read."""
    summary = dataset.summary()

    assert (summary.total, summary.succeeded, summary.failed, summary.bytes) == (6, 4, 2, 10)
    assert summary.duration == 3.0
    assert [report.shard for report in dataset.reports()] == [0, 1]


def test_the_report_is_merged_from_the_shards(dataset: Dataset, tmp_path: Path) -> None:
    """With what the limits did in each of them; the rows are not read."""
    dataset.report(tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert errors_in(page) == []
    text = text_of(page)
    assert text.startswith("6 requests in 3 s")
    assert "All slots were taken for 75% of the time" in text
    assert "The rate allowed no start33% 1 sat h.test" in text


def test_polars_reads_it_lazily(dataset: Dataset) -> None:
    """A query reads only its columns."""
    pl = pytest.importorskip("polars")

    query = dataset.scan().filter(~pl.col("ok")).select("index", "kind")

    assert isinstance(query, pl.LazyFrame)
    assert query.collect().sort("index").rows() == [(2, "dns"), (5, "dns")]


def test_duckdb_reads_it(dataset: Dataset) -> None:
    """The data set itself, and its files."""
    duckdb = pytest.importorskip("duckdb")

    with duckdb.connect() as connection:
        connection.register("results", pa.RecordBatchReader.from_stream(dataset))
        assert connection.sql("select count(*) from results where ok").fetchall() == [(4,)]
        files = [str(path) for path in dataset.files]
        assert connection.read_parquet(files).count("*").fetchall() == [(6,)]


def test_pyarrow_reads_it_as_a_stream(dataset: Dataset) -> None:
    """A part at a time."""
    reader = pa.RecordBatchReader.from_stream(dataset)

    assert sum(batch.num_rows for batch in reader) == 6


def test_a_data_set_without_shards_is_empty(tmp_path: Path) -> None:
    """That of no requests."""
    plan_of(Layout(tmp_path), shards=0)
    dataset = open_dataset(tmp_path)

    assert repr(dataset).endswith(": 0 shards with 0 requests>")
    assert dataset.to_arrow().num_rows == 0
    assert "status" in dataset.to_arrow().schema.names
    assert dataset.summary().total == 0
    dataset.report(tmp_path / "report.html")
    assert "There were no requests." in (tmp_path / "report.html").read_text(encoding="utf-8")
    pl = pytest.importorskip("polars")
    assert dataset.scan().select(pl.len()).collect().item() == 0


def test_missing_shards_are_told(unfinished: Dataset, tmp_path: Path) -> None:
    """By the data set, its summary and its report, with the number of their requests."""
    said = "2 of 4 shards, with 6 of 2,012 requests"

    summary = unfinished.summary()
    unfinished.report(tmp_path / "report.html")

    assert (unfinished.shards, unfinished.missing) == (4, (2, 3))
    assert repr(unfinished).endswith(f": {said}>")
    assert summary.part == said
    assert f"  part       {said}\n" in str(summary)
    assert said in summary._repr_html_()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert errors_in(page) == []
    assert f"{said} ·" in text_of(page)


def test_the_table_of_a_part_is_read_with_a_warning(unfinished: Dataset) -> None:
    """It cannot say so itself; nor can a stream."""
    pytest.importorskip("polars")
    for read in (unfinished.to_arrow, unfinished.scan, lambda: pa.table(unfinished)):
        with pytest.warns(RuntimeWarning, match="has 2 of 4 shards, with 6 of 2,012") as warned:
            read()

        assert len(warned) == 1
        assert warned[0].filename == __file__


def test_nothing_is_told_of_a_data_set_that_is_whole(dataset: Dataset, tmp_path: Path) -> None:
    """Neither in its summary nor in its report."""
    dataset.report(tmp_path / "report.html")

    assert dataset.summary().part is None
    assert "shards" not in text_of((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_shards_may_all_be_missing(tmp_path: Path) -> None:
    """Before the first is done."""
    plan_of(Layout(tmp_path), shards=2)
    dataset = open_dataset(tmp_path)

    with pytest.warns(RuntimeWarning, match="has 0 of 2 shards, with 0 of 6 requests"):
        assert dataset.to_arrow().num_rows == 0
    assert str(dataset.summary()).endswith("0 of 2 shards, with 0 of 6 requests")


def test_a_damaged_plan_is_told(tmp_path: Path) -> None:
    """Without it, it is not known whether shards are missing."""
    (tmp_path / "plan.json").write_text("{")

    with pytest.raises(ValueError, match=r"plan.json is damaged"):
        open_dataset(tmp_path)


def test_a_folder_without_a_plan_is_no_data_set(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(FileNotFoundError, match="no data set"):
        open_dataset(tmp_path / "nowhere")


def test_without_polars_the_extra_is_named(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "polars", None)

    with pytest.raises(ImportError, match=r"asyncbatch\[polars\]"):
        dataset.scan()
