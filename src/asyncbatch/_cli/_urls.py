"""
URLs from a file or from stdin, line by line, and never more of them than are asked for.

A pipe or a terminal may keep a reader waiting, which must not hold up what is under way: these are
read as async iterators. Files are read as they are.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

import anyio

# utf-8-sig: some editors put a mark before the first line. surrogateescape: a line that is no
# UTF-8 is a URL that cannot be fetched, and no reason to lose the others.
ENCODING, ERRORS = "utf-8-sig", "surrogateescape"
# No URL is longer; an endless line must not fill the memory.
MAX_LINE = 1024 * 1024
PIPE_READ = 65536


@contextmanager
def opened(path: str) -> Generator[Iterable[str] | AsyncIterator[str]]:
    """
    Open a file of URLs, `-` for stdin.

    Raises:
        OSError: If it cannot be opened.
    """
    if path == "-":
        stdin: TextIO | None = sys.stdin  # None in a program started without one
        if stdin is None:
            raise OSError("there is no stdin to read URLs from")
        yield urls_in(stdin.buffer)
        return
    with Path(path).open("rb") as file:
        yield urls_in(file)


def urls_in(file: BinaryIO) -> Iterable[str] | AsyncIterator[str]:
    """Return the URLs in `file`, without blanks and comments."""
    return _awaited_urls(file.fileno()) if _may_wait(file) else _read_urls(file)


def _may_wait(file: BinaryIO) -> bool:
    if os.name != "posix":
        return False  # there only sockets can be waited for
    try:
        mode = os.fstat(file.fileno()).st_mode
    except OSError:  # no real file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()


def _read_urls(file: BinaryIO) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(ENCODING)(ERRORS)
    while line := file.readline(MAX_LINE):
        yield from _url(decoder.decode(line))


async def _awaited_urls(descriptor: int) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder(ENCODING)(ERRORS)
    rest = b""
    while True:
        await anyio.wait_readable(descriptor)
        read = os.read(descriptor, PIPE_READ)
        *lines, rest = (rest + read).split(b"\n")
        if not read or len(rest) > MAX_LINE:
            lines, rest = [*lines, rest], b""
        for line in lines:
            for url in _url(decoder.decode(line)):
                yield url
        if not read:
            return


def _url(line: str) -> Iterator[str]:
    line = line.strip()
    if line and not line.startswith("#"):
        yield line
