"""
The input of the command: the URLs given as arguments, then those of its files, all counted.

The counts of URLs read and not read show that none is silently left out.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeAlias

from asyncbatch import Request
from asyncbatch._cli._arguments import Arguments
from asyncbatch._cli._columns import PARQUET, CsvRecords, urls_in_parquet
from asyncbatch._cli._urls import Lines, opened, urls_in

Urls: TypeAlias = Iterable[str] | AsyncIterator[str]

# Most lines that are counted without being fetched.
MOST_COUNTED = 1_000_000


class UsageError(ValueError):
    """The arguments are valid, but not together with the files that they name."""


class Source:
    """
    The requests of the command.

    Args:
        arguments: The arguments of the command.
        files: Closes the files that are opened here.

    Attributes:
        read: Number of requests read.
        is_exhausted: Whether all requests have been read.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file is not a list, or is given twice.
    """

    def __init__(self, arguments: Arguments, files: ExitStack) -> None:
        self._arguments = arguments
        self._parts: list[Urls] = [iter(arguments.urls)]
        self.read = 0
        self.is_exhausted = False
        self._opened: list[tuple[str, BinaryIO]] = []
        for path in arguments.files:
            self._open(path, files)
        self._is_awaited = any(isinstance(part, AsyncIterator) for part in self._parts)
        # None if reading may have to wait.
        self._plain = None if self._is_awaited else self._checked(self._read_plain())

    def requests(self) -> Iterable[Request] | AsyncIterable[Request]:
        """Return the requests, to be read once."""
        if self._plain is None:
            return self._read_awaited()
        # Without files, a list, whose length a progress bar can show.
        return self._plain if self._arguments.files else list(self._plain)

    def refuse_nothing(self) -> None:
        """
        Raise if the files contained no URL.

        Raises:
            UsageError: If the whole input was read, and no URL was in it.
        """
        if self.is_exhausted and not self.read:
            names = " and ".join("stdin" if path == "-" else path for path, _ in self._opened)
            raise UsageError(f"there is no URL in {names}")

    def holds(self, path: Path) -> bool:
        """Whether this is one of the input files."""
        try:
            found = path.stat()
        except OSError:
            return False
        return any(_is_same(found, file) for _, file in self._opened)

    def unread(self) -> str:
        """Return a text about the URLs not read; empty if all were read."""
        if self.is_exhausted:
            return ""
        if self._plain is None:
            return "the rest of the input was"
        count = sum(1 for _ in islice(self._plain, MOST_COUNTED))
        self.read -= count
        if not count:
            return ""
        more = "more than " if count == MOST_COUNTED else ""
        return f"{more}{count:,} {'URL was' if count == 1 else 'URLs were'}"

    def _open(self, path: str, files: ExitStack) -> None:
        file = files.enter_context(opened(path))
        stat = _stat_of(file)
        for earlier, other in self._opened:
            if earlier == path or (stat is not None and _is_same(stat, other)):
                raise UsageError(f"-f {path} is given twice")
        name = "stdin" if path == "-" else path
        self._parts.append(_urls_in(file, name, self._arguments.column))
        self._opened.append((path, file))

    def _checked(self, requests: Iterator[Request]) -> Iterator[Request]:
        first = next(requests, None)
        self.refuse_nothing()
        return requests if first is None else chain([first], requests)

    def _read_plain(self) -> Iterator[Request]:
        for part in self._parts:
            assert isinstance(part, Iterable)
            for url in part:
                self.read += 1
                yield self._arguments.request(url)
        self.is_exhausted = True

    async def _read_awaited(self) -> AsyncIterator[Request]:
        for part in self._parts:
            if isinstance(part, AsyncIterator):
                async for url in part:
                    self.read += 1
                    yield self._arguments.request(url)
            else:
                for url in part:
                    self.read += 1
                    yield self._arguments.request(url)
        self.is_exhausted = True


def _urls_in(file: BinaryIO, name: str, column: str | None) -> Urls:
    """Return the URLs in a file: a list, or a table with a column of them."""
    ending = Path(name.removesuffix(".gz")).suffix.lower()
    if name != "stdin" and file.seekable() and _starts_as_parquet(file):
        return urls_in_parquet(file, name, column or "url")
    if ending == ".parquet":
        raise UsageError(f"{name} is not a Parquet file")
    if column is not None:
        return urls_in(file, CsvRecords(name, column))
    if ending in (".csv", ".tsv"):
        raise UsageError(f"{name} is a table; say which column has the URLs, as in --column url")
    return urls_in(file, Lines(name))


def _starts_as_parquet(file: BinaryIO) -> bool:
    start = file.read(len(PARQUET))
    file.seek(0)
    return start == PARQUET


def _stat_of(file: BinaryIO) -> os.stat_result | None:
    try:
        return os.fstat(file.fileno())
    except OSError:  # not a real file
        return None


def _is_same(found: os.stat_result, file: BinaryIO) -> bool:
    stat = _stat_of(file)
    return stat is not None and os.path.samestat(found, stat)
