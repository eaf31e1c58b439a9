"""
The files that the command writes: which of them can be written, and their opening.

All of this comes before the first request. `_main` writes the results to what is opened here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import TextIO, TypeAlias

from asyncbatch import Folder, Result
from asyncbatch._cli._arguments import Arguments
from asyncbatch._cli._input import Source
from asyncbatch._cli._lines import json_line, plain_line
from asyncbatch._results._table_file import ParquetFile

Output: TypeAlias = tuple[Callable[[Result], str], TextIO]


def check_files(arguments: Arguments, source: Source) -> None:
    """
    Refuse a file that is written and is also read or written for something else.

    Opening a file for writing empties it, so this comes before any of them is opened.

    Raises:
        ValueError: Names both options.
    """
    written = list(_written(arguments))
    for option, path in written:
        # A journal that is no journal is refused by itself, and left as it is.
        if option != "--journal" and source.holds(path):
            raise ValueError(f"{option} {path} would overwrite the URLs that are read from it")
    for (option, path), (other, other_path) in combinations(written, 2):
        if _is_same(path, other_path):
            raise ValueError(f"{option} {path} would overwrite the file of {other}")
    _refuse_among_fetched(arguments.folder, written)


def _refuse_among_fetched(to: Folder | None, written: list[tuple[str, Path]]) -> None:
    """
    Refuse a file that is open meanwhile in a folder where a fetched file may replace it.

    What is written at the end, the report and the table, is compared with the fetched files then.

    Raises:
        ValueError: Names the option.
    """
    if to is None or to.exists not in ("overwrite", "refresh"):
        return
    folder = os.path.realpath(to.path)
    for option, path in written:
        if option not in ("--jsonl", "--journal"):
            continue
        if folder in (os.path.realpath(path.parent), os.path.dirname(os.path.realpath(path))):  # noqa: PTH120
            raise ValueError(
                f"{option} {path} is in the folder of --output, where --exists {to.exists} lets a "
                "file that is fetched take its place; write it to another folder"
            )


def _written(arguments: Arguments) -> Iterator[tuple[str, Path]]:
    named = {
        "--jsonl": arguments.jsonl,
        "--parquet": arguments.parquet,
        "--report": arguments.report,
        "--journal": arguments.journal,
    }
    for option, path in named.items():
        if path not in (None, "-"):
            yield option, Path(path)
    if arguments.journal is not None:
        for ending in ("-wal", "-shm"):  # SQLite writes these two
            yield "--journal", Path(f"{arguments.journal}{ending}")


def _is_same(path: Path, other: Path) -> bool:
    with suppress(OSError):
        # Also under two names, through a link or on a disk that does not tell case apart. What is
        # no file, such as `/dev/null`, takes all there is.
        return path.samefile(other) and path.is_file()
    return os.path.realpath(path) == os.path.realpath(other)


def open_lines(arguments: Arguments, files: ExitStack) -> list[Output]:
    """
    Return the format of the results with its stream, or an empty list.

    Raises:
        OSError: If the file of `--jsonl` cannot be opened.
    """
    stdout: TextIO | None = sys.stdout  # None in a program started without stdout
    if arguments.jsonl is None:
        if arguments.parquet is not None:
            return []
        return [] if stdout is None or arguments.quiet else [(plain_line, stdout)]
    if arguments.jsonl != "-":
        return [(json_line, files.enter_context(_created(Path(arguments.jsonl))))]
    return [] if stdout is None else [(json_line, stdout)]


def open_table(arguments: Arguments, files: ExitStack) -> ParquetFile | None:
    """
    Begin the table of `--parquet`, if that option was given.

    Raises:
        OSError: If its file cannot be written.
        ImportError: If `pyarrow` is not installed.
    """
    if arguments.parquet is None:
        return None
    table = ParquetFile(Path(arguments.parquet))
    table.open()
    files.callback(table.discard)  # does nothing once it is closed
    return table


def check_report(arguments: Arguments) -> None:
    """
    Refuse a report that cannot be written.

    Raises:
        OSError: If its file cannot be opened.
    """
    if arguments.report is None:
        return
    path = Path(arguments.report)
    was_there = path.exists()
    # Not truncated: the report of an earlier run stays there until this one has its own.
    with path.open("ab"):
        pass
    if not was_there:
        path.unlink()


@contextmanager
def _created(path: Path) -> Generator[TextIO]:
    for stream in (sys.stdout, sys.stderr):
        if _is_at(stream, path):
            # Not opened again: that would truncate a file, and is impossible for a socket.
            yield stream
            return
    stream = path.open("w", encoding="ascii")
    try:
        yield stream
    finally:
        # Each line was flushed when it was written, so an error now is not new.
        with suppress(OSError):
            stream.close()


def _is_at(stream: TextIO | None, path: Path) -> bool:
    """Whether a stream of this process is open at a path, such as `/dev/stdout`."""
    with suppress(OSError, ValueError, AttributeError):
        assert stream is not None
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    return False
