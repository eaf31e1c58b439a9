"""
Tables that are written to a file while their results come, in bounded memory.

The file gets its name when it is complete. Until then the rows are in a hidden file beside it, with
a unique name. So a program that dies leaves no table that looks complete, and two writers of one
file do not disturb each other. Nothing here waits for results; writing may block.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
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

KEPT_OF_NAME = 50
"""Characters of a name that are in that of the hidden file: 200 of the 255 bytes it may have."""

PathTypes = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class TableFile(ABC):
    """
    A file that results are written to. Use it once: `open`, `add` and `write`, and then `close`.

    Args:
        path: Where the file will be.
    """

    def __init__(self, path: PathTypes) -> None:
        self._path = Path(os.fsdecode(path))
        # Something else than a file, such as a pipe, has no place to be moved to. Set by `open`.
        self._is_moved = False
        self.part = self._path
        """Where the file is while it is not whole; set by `open`."""
        self._file: BinaryIO | None = None
        self._held: list[Result] = []
        self._bytes = 0
        self.taken = 0
        """Number of results that were taken, written or not."""

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
        self._is_moved = self._path.is_file() or not self._path.exists()
        self._file = self._open_part() if self._is_moved else self._path.open("wb")
        try:
            self._write_start(self._file)
        except BaseException:
            self.discard()
            raise

    def _open_part(self) -> BinaryIO:
        name = self._path.name[:KEPT_OF_NAME]
        self.part = self._path.with_name(f".{name}.{secrets.token_hex(4)}.part")
        mode = stat.S_IMODE(self._path.stat().st_mode) if self._path.exists() else None
        try:
            # With no more rights than the file has that it will replace, from the beginning.
            file = self.part.open("xb") if mode is None else _created(self.part, mode)
        except OSError as error:
            error.filename = str(self._path)
            raise
        return file

    def add(self, result: Result) -> bool:
        """Take a result; return whether to call `write` now."""
        self.taken += 1
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
        Write what is left, end the file, and give it its name, if it is whole, or that of a part.

        Raises:
            OSError: If writing fails; there is no file then.
        """
        file = self._file
        assert file is not None
        try:
            self.write()
            self._write_end()
            file.flush()
            if self._is_moved:
                os.fsync(file.fileno())
            file.close()
            if self._is_moved and is_whole:
                self.part.replace(self._path)
        except BaseException:
            self._drop()
            raise
        if self._is_moved and not is_whole:
            self._put_aside()

    def discard(self) -> None:
        """Remove the file, after an error, unless it has been closed."""
        if self._file is not None and not self._file.closed:
            self._drop()

    def _drop(self) -> None:
        assert self._file is not None
        self._held = []
        with contextlib.suppress(Exception):
            self._write_end()
        with contextlib.suppress(OSError):
            self._file.close()
        if self._is_moved:
            self.part.unlink(missing_ok=True)

    def _put_aside(self) -> None:
        """Give a file that is not whole the name `NAME.part`, unless there is such a file."""
        aside = self._path.with_name(f"{self._path.name}.part")
        if not os.path.lexists(aside):
            with contextlib.suppress(OSError):  # the name may be too long
                self.part = self.part.replace(aside)

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
    def _write_start(self, file: BinaryIO) -> None:
        """Write what comes before the results, and keep `file`."""

    @abstractmethod
    def _write(self, results: list[Result]) -> None:
        """Write some results."""

    @abstractmethod
    def _write_end(self) -> None:
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

    def _write_start(self, file: BinaryIO) -> None:
        self._lines = file

    def _write(self, results: list[Result]) -> None:
        self._lines.write(json_lines(results, self._tag_types))

    def _write_end(self) -> None:
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

    def _write_start(self, file: BinaryIO) -> None:
        parquet = library("pyarrow.parquet", "arrow")
        self._writer = parquet.ParquetWriter(file, schema(self._tag_types), compression="zstd")

    def _write(self, results: list[Result]) -> None:
        self._writer.write_batch(record_batch(results, self._tag_types))

    def _write_end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _created(path: Path, mode: int) -> BinaryIO:
    """Create a file with a mode that the umask does not change."""
    file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode))  # noqa: SIM115
    with contextlib.suppress(OSError):  # some file systems have none
        path.chmod(mode)
    return file
