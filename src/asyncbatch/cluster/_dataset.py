"""
`open_dataset`: the results of all shards that are done, read lazily.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from asyncbatch import Summary
from asyncbatch._results import _arrow
from asyncbatch._results.report._report import MergedReport

from ._layout import SUFFIX, Layout
from ._report import ShardReport, summary_of
from ._table import check_whole, parquet, read_page, read_report


class Dataset:
    """
    The results in a folder, one row for each; made by `open_dataset`.

    It has the shards that are done at the moment of each call, also while workers add to them. It
    is read lazily by what takes Arrow's C stream, such as pyarrow, DuckDB and pandas; polars reads
    it by `scan`, and anything else by its `files`.
    """

    def __init__(self, out: Path) -> None:
        self._layout = Layout(out)

    def __repr__(self) -> str:
        return f"<Dataset {os.fspath(self._layout.out)!r}: {len(self.files)} files>"

    @property
    def files(self) -> tuple[Path, ...]:
        """The Parquet files, one for each shard that is done; none is empty."""
        return tuple(sorted(self._layout.shards.glob(f"[!.]*{SUFFIX}")))

    def reports(self) -> tuple[ShardReport, ...]:
        """Return the reports of the shards that are done."""
        return tuple(read_report(path) for path in self.files)

    def summary(self) -> Summary:
        """
        Return the figures of all results; printing them shows a report.

        Only the reports of the shards are read. Quantiles are within 0.8 % of the true values. The
        duration is that from the first start to the last end, with the pauses between two calls.
        """
        return summary_of(self.reports())

    def report(self, path: str | os.PathLike[str]) -> None:
        """
        Write a report of all results to a file, as one HTML page that needs no other file.

        Only the reports of the shards are read. It says which limit held requests back, at which
        host, and what to change; see `Results.report`. Its duration is that of `summary`.

        Args:
            path: The file; it is overwritten.

        Raises:
            OSError: If the file cannot be written.
        """
        merged = MergedReport()
        for each in self.files:
            merged.merge(read_page(each))
        merged.write(path, duration=self.summary().duration)

    def to_arrow(self) -> Any:
        """Return all results as a `pyarrow.Table`; they are in the order of the shards."""
        return self._dataset().to_table()

    def scan(self) -> Any:
        """
        Return a `polars.LazyFrame` of all results, which reads only what a query needs.

        Raises:
            ImportError: If polars is not installed; the message names the extra.
        """
        polars = _arrow.library("polars", "polars")
        files = self.files
        return polars.scan_parquet(files) if files else polars.from_arrow(self.to_arrow()).lazy()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the results as a stream of Arrow's C interface, which reads a part at a time."""
        return self._dataset().scanner().to_reader().__arrow_c_stream__(requested_schema)

    def _dataset(self) -> Any:
        dataset = _arrow.library("pyarrow.dataset", "arrow")
        files = self.files
        for each in files[:1]:  # what is wrong with the others names them
            check_whole(each)
        schema = parquet().read_schema(files[0]) if files else _arrow.schema()
        # Without the report of the first file, which is not that of all.
        return dataset.dataset(list(map(str, files)), schema=schema.remove_metadata())


def open_dataset(out: str | os.PathLike[str]) -> Dataset:
    """
    Open the folder that `fetch_sharded` writes to. Nothing is read yet.

    Args:
        out: The folder.

    Raises:
        FileNotFoundError: If it holds no data set.
        ImportError: If pyarrow is not installed; the message names the extra.
    """
    parquet()
    folder = Path(out).absolute()
    if not Layout(folder).plan.exists():
        raise FileNotFoundError(f"no data set of asyncbatch.cluster: {os.fspath(out)!r}")
    return Dataset(folder)
