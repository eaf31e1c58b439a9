"""
`open_dataset`: the results of all shards that are done, read lazily, and which ones are missing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from asyncbatch import Summary
from asyncbatch._api._options import warn_caller
from asyncbatch._results import _arrow
from asyncbatch._results.report._markup import plural
from asyncbatch._results.report._report import MergedReport

from ._layout import SUFFIX, Layout
from ._plan_file import read_plan
from ._report import ShardReport, summary_of
from ._table import check_whole, parquet, read_page, read_report


class Dataset:
    """
    The results in a folder, one row for each; made by `open_dataset`.

    It has the shards that are done at the time of each call, also while workers add to them.
    `missing` has the numbers of the others. If shards are missing, the summary and the report say
    how many, and reading a table gives a `RuntimeWarning` that says so.

    Libraries that take Arrow's C stream, such as pyarrow, DuckDB and pandas, read it lazily. polars
    reads it by `scan`, and other programs by `files`.

    Args:
        out: The folder.
        requests: The number of requests of each shard.
    """

    def __init__(self, out: Path, requests: Sequence[int]) -> None:
        self._layout = Layout(out)
        self._requests = tuple(requests)

    def __repr__(self) -> str:
        return f"<Dataset {os.fspath(self._layout.out)!r}: {self._said(self.files)}>"

    @property
    def files(self) -> tuple[Path, ...]:
        """The Parquet files, one for each shard that is done; none is empty."""
        return tuple(sorted(self._layout.shards.glob(f"[!.]*{SUFFIX}")))

    @property
    def shards(self) -> int:
        """The number of shards, done or not."""
        return len(self._requests)

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the shards that are not done; `fetch_sharded` fetches them."""
        return self._missing_in(self.files)

    def reports(self) -> tuple[ShardReport, ...]:
        """Return the reports of the shards that are done."""
        return tuple(read_report(path) for path in self.files)

    def summary(self) -> Summary:
        """
        Return the figures of all results; printing them shows a report.

        Only the reports of the shards are read. Quantiles are within 0.8 % of the true values. The
        duration is that from the first start to the last end, with the pauses between two calls. If
        shards are missing, its `part` says so.
        """
        return self._summary(self.files)

    def report(self, path: str | os.PathLike[str]) -> None:
        """
        Write a report of all results to a file, as one HTML page that needs no other file.

        Only the reports of the shards are read. It says which limit held requests back, at which
        host, and what to change; see `Results.report`. Its duration is that of `summary`. If shards
        are missing, its head says so.

        Args:
            path: The file; it is overwritten.

        Raises:
            OSError: If the file cannot be written.
        """
        files = self.files
        merged = MergedReport()
        for each in files:
            merged.merge(read_page(each))
        summary = self._summary(files)
        merged.write(path, duration=summary.duration, part=summary.part)

    def to_arrow(self) -> Any:
        """
        Return all results as a `pyarrow.Table`; they are in the order of the shards.

        Warns:
            RuntimeWarning: If shards are missing.
        """
        return self._dataset().to_table()

    def scan(self) -> Any:
        """
        Return a `polars.LazyFrame` of all results, which reads only what a query needs.

        Raises:
            ImportError: If polars is not installed; the message names the extra.

        Warns:
            RuntimeWarning: If shards are missing.
        """
        polars = _arrow.library("polars", "polars")
        files = self._told_files()
        return (
            polars.scan_parquet(files)
            if files
            else polars.from_arrow(_arrow.schema().empty_table()).lazy()
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """
        Return the results as a stream of Arrow's C interface, which reads a part at a time.

        Warns:
            RuntimeWarning: If shards are missing.
        """
        return self._dataset().scanner().to_reader().__arrow_c_stream__(requested_schema)

    def _dataset(self) -> Any:
        dataset = _arrow.library("pyarrow.dataset", "arrow")
        files = self._told_files()
        for each in files[:1]:  # what is wrong with the others names them
            check_whole(each)
        schema = parquet().read_schema(files[0]) if files else _arrow.schema()
        # Without the report of the first file, which is not that of all.
        return dataset.dataset(list(map(str, files)), schema=schema.remove_metadata())

    def _summary(self, files: Sequence[Path]) -> Summary:
        summary = summary_of(map(read_report, files))
        return attrs.evolve(summary, part=self._said(files)) if self._missing_in(files) else summary

    def _told_files(self) -> tuple[Path, ...]:
        """Return the files, and warn if they are not all: a table cannot say so itself."""
        files = self.files
        if self._missing_in(files):
            warn_caller(
                f"{self._layout.out} has {self._said(files)}; fetch_sharded with the same requests "
                "fetches the others"
            )
        return files

    def _missing_in(self, files: Sequence[Path]) -> tuple[int, ...]:
        names = {path.name for path in files}
        return tuple(
            shard
            for shard in range(self.shards)
            if self._layout.results_of(shard).name not in names
        )

    def _said(self, files: Sequence[Path]) -> str:
        missing = self._missing_in(files)
        total = sum(self._requests)
        if not missing:
            return f"{plural(self.shards, 'shard')} with {plural(total, 'request')}"
        done = total - sum(self._requests[shard] for shard in missing)
        return (
            f"{self.shards - len(missing):,} of {plural(self.shards, 'shard')}, with {done:,} of "
            f"{plural(total, 'request')}"
        )


def open_dataset(out: str | os.PathLike[str]) -> Dataset:
    """
    Open the folder that `fetch_sharded` writes to. Only the plan is read yet.

    Some shards may be missing: see `Dataset.missing`.

    Args:
        out: The folder.

    Raises:
        FileNotFoundError: If the folder has no data set.
        ValueError: If its plan is damaged, or of another release.
        ImportError: If pyarrow is not installed; the message names the extra.
    """
    parquet()
    folder = Path(out).absolute()
    if not Layout(folder).plan.exists():
        raise FileNotFoundError(f"no data set of asyncbatch.cluster: {os.fspath(out)!r}")
    return Dataset(folder, [requests for requests, _ in read_plan(folder)["shards"]])
