"""
Tables that are written to a file while their results come, in bounded memory.

The file has its name only when it is whole: until then it is `NAME.part`, so that a program that
died leaves no table that looks complete. Nothing here waits for results; what writes may block.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Collection, Iterable
from pathlib import Path
from typing import Any, BinaryIO

from asyncbatch._results._arrow import library, record_batch, schema
from asyncbatch._results._jsonl import json_lines
from asyncbatch._results._record import SIMPLE
from asyncbatch._values._result import Result

MOST_ROWS = 16_384
MOST_BYTES = 32 * 1024 * 1024
"""Results, and bytes of their bodies, that are held before they are written: a row group."""

PathTypes = str | os.PathLike[str]


class TableFile(ABC):
    """
    A file that results are written to. Use it once: `open`, `add` and `write`, and then `close`.

    Args:
        path: Where the file will be.
    """

    def __init__(self, path: PathTypes) -> None:
        self._path = Path(path)
        self.part = self._path
        """Where the file is until it is whole; set by `open`."""
        self._file: BinaryIO | None = None
        self._held: list[Result] = []
        self._bytes = 0

    @property
    def is_closed(self) -> bool:
        """Whether it has been opened, and closed or discarded."""
        return self._file is not None and self._file.closed

    def open(self) -> None:
        """
        Begin the file.

        Raises:
            OSError: If it cannot be written.
            ImportError: If the library for it is not installed.
        """
        # Through a link, the file that it points to is replaced.
        self._path = Path(os.path.realpath(self._path))
        self.part = self._path.with_name(f"{self._path.name}.part")
        # Something else than a file, such as a pipe, has no place to be moved to.
        is_special = self._path.exists() and not self._path.is_file()
        self._file = (self._path if is_special else self.part).open("wb")
        try:
            self._begin(self._file)
        except BaseException:
            self.discard()
            raise

    def add(self, result: Result) -> bool:
        """Take a result; return whether to call `write` now."""
        self._held.append(result)
        self._bytes += len(result.content)
        return len(self._held) >= MOST_ROWS or self._bytes >= MOST_BYTES

    def write(self) -> None:
        """Write the results that are held."""
        held, self._held, self._bytes = self._held, [], 0
        if held:
            self._write(held)

    def close(self, *, is_whole: bool = True) -> None:
        """
        Write what is left, end the file, and give it its name if it is whole.

        Raises:
            OSError: If writing fails; there is no file then.
        """
        file = self._file
        assert file is not None
        try:
            self.write()
            self._end()
            file.flush()
            if file.name == str(self.part):
                os.fsync(file.fileno())
            file.close()
            if is_whole and file.name == str(self.part):
                self.part.replace(self._path)
        except BaseException:
            self._drop()
            raise

    def discard(self) -> None:
        """Remove the file, after an error, unless it has been closed."""
        if self._file is not None and not self._file.closed:
            self._drop()

    def _drop(self) -> None:
        assert self._file is not None
        self._held = []
        with contextlib.suppress(Exception):
            self._end()
        with contextlib.suppress(OSError):
            self._file.close()
        if self._file.name == str(self.part):
            self.part.unlink(missing_ok=True)

    def write_all(self, results: Iterable[Result]) -> None:
        """Write a whole file of results."""
        self.open()
        try:
            for result in results:
                if self.add(result):
                    self.write()
        except BaseException:
            self.discard()
            raise
        self.close()

    async def write_all_async(self, results: AsyncIterable[Result]) -> None:
        """Write a whole file of results that come one by one; a thread does what blocks."""
        from anyio import CancelScope, to_thread

        try:
            await to_thread.run_sync(self.open)
            async for result in results:
                if self.add(result):
                    await to_thread.run_sync(self.write)
            await to_thread.run_sync(self.close)
        except BaseException:
            with CancelScope(shield=True):
                await to_thread.run_sync(self.discard)
            raise

    @abstractmethod
    def _begin(self, file: BinaryIO) -> None:
        """Write what comes before the results, and keep `file`."""

    @abstractmethod
    def _write(self, results: list[Result]) -> None:
        """Write some results."""

    @abstractmethod
    def _end(self) -> None:
        """Write what comes after the results; called twice after an error."""


class JsonLinesFile(TableFile):
    """
    A file of JSON Lines.

    Args:
        path: Where the file will be.
        tag_types: The types of tags that stay as they are.
    """

    _lines: BinaryIO

    def __init__(self, path: PathTypes, tag_types: Collection[type] = SIMPLE) -> None:
        super().__init__(path)
        self._tag_types = tag_types

    def _begin(self, file: BinaryIO) -> None:
        self._lines = file

    def _write(self, results: list[Result]) -> None:
        self._lines.write(json_lines(results, self._tag_types))

    def _end(self) -> None:
        self._lines.flush()


class ParquetFile(TableFile):
    """
    A Parquet file.

    Args:
        path: Where the file will be.
        tag_types: The type of tags that stay as they are, at most one. Of others `repr` is taken,
            and the column is text.
    """

    def __init__(self, path: PathTypes, tag_types: Collection[type] = (str,)) -> None:
        super().__init__(path)
        self._tag_types = tag_types
        # None before the beginning and after the end.
        self._writer: Any = None

    def _begin(self, file: BinaryIO) -> None:
        parquet = library("pyarrow.parquet", "arrow")
        self._writer = parquet.ParquetWriter(file, schema(self._tag_types), compression="zstd")

    def _write(self, results: list[Result]) -> None:
        self._writer.write_batch(record_batch(results, self._tag_types))

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
