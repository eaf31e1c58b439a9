"""
The Parquet file of a shard: written under another name, and linked to its name when it is complete.

The first link wins: if two workers have fetched a shard, it has the results of one of them.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from asyncbatch import Result
from asyncbatch._results import _arrow

from ._report import KEY, PAGE_KEY, ShardReport, report_from

COMPRESSION = "zstd"

BUFFERED = 256 * 1024
"""Bytes that are written together; a table of one row would be some hundred system calls."""


def parquet() -> Any:
    """
    Return `pyarrow.parquet`.

    Raises:
        ImportError: If it is not installed; the message names the extra.
    """
    return _arrow.library("pyarrow.parquet", "arrow")


class TableWriter:
    """
    Writes results to a file.

    Args:
        path: The file.
        tag_types: The type of all tags, if they have one and it is simple.
    """

    def __init__(self, path: Path, tag_types: Collection[type]) -> None:
        self._path = path
        self._tag_types = tag_types
        schema = _arrow.schema(tag_types)
        self._file = _arrow.arrow().output_stream(path, compression=None, buffer_size=BUFFERED)
        self._writer = parquet().ParquetWriter(self._file, schema, compression=COMPRESSION)

    def write(self, indices: array[int], results: Sequence[Result]) -> None:
        """Write some results, each with its place in the input."""
        batch = _arrow.record_batch(results, self._tag_types)
        places = _arrow.arrow().array(indices, batch.schema.field("index").type)
        self._writer.write_batch(batch.set_column(0, batch.schema.field("index"), places))

    def finish(self, report: bytes, page: bytes) -> None:
        """Write the report, what a page is made from, and the end of the file, to the disk."""
        self._writer.add_key_value_metadata({KEY: report, PAGE_KEY: page})
        self._writer.close()
        self._file.close()
        with self._path.open("r+b") as file:  # Windows writes only what may be written
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Remove the file."""
        try:
            self._writer.close()
        finally:
            try:
                self._file.close()
            finally:
                self._path.unlink(missing_ok=True)


def publish(written: Path, path: Path) -> None:
    """Put a whole file into its place, unless there is one."""
    try:
        path.hardlink_to(written)
    except FileExistsError:
        return
    finally:
        written.unlink(missing_ok=True)


def read_report(path: Path) -> ShardReport:
    """
    Return the report in a file of results.

    Raises:
        ValueError: If the file is damaged.
    """
    return report_from(_metadata(path)[KEY], path)


def read_page(path: Path) -> dict[str, Any]:
    """
    Return what a page is made from, in a file of results.

    Raises:
        ValueError: If the file is damaged.
    """
    found: dict[str, Any] = json.loads(_metadata(path)[PAGE_KEY])
    return found


def check_whole(path: Path) -> None:
    """
    Check the ends of a file of results.

    Raises:
        ValueError: If it is damaged.
    """
    _metadata(path)


def _metadata(path: Path) -> dict[bytes, bytes]:
    lib = _arrow.library("pyarrow.lib", "arrow")
    try:
        found: dict[bytes, bytes] = parquet().read_metadata(path).metadata or {}
    except lib.ArrowInvalid as error:
        raise _damaged(path, str(error)) from None
    if KEY not in found or PAGE_KEY not in found:
        raise _damaged(path, "it has no report of a shard")
    return found


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} is damaged, or no file of asyncbatch.cluster: {why}; its results are lost: move "
        "it away to read the others, and fetch its requests again into another folder"
    )
