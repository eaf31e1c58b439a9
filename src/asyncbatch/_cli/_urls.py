"""
Reader of URLs from files or stdin, line by line, only as many as are needed.

Reading a pipe or a terminal may wait, which must not block the requests in flight, so these are
async iterators. Files are plain iterators.
"""

from __future__ import annotations

import codecs
import os
import stat
import sys
import zlib
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import anyio

# Longest line, so that an endless line does not fill the memory.
MAX_LINE = 1024 * 1024
CHUNK = 65536
# Bytes without a line end after which the format is detected.
HEAD = 1024

GZIP = b"\x1f\x8b"
# First bytes of files that are not lists, with the name of their format.
FOREIGN = {
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\x04\x22\x4d\x18": "compressed with lz4",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"\x7fELF": "a program",
    b"SQLite": "a database",
    b"PAR1": "a Parquet file",
}
# utf-8-sig: some editors write a byte order mark. The longer marks come first.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BEGINNINGS = (GZIP, *FOREIGN, *MARKS)


class NotAList(ValueError):
    """The file is not a list of URLs; the message says what it is."""


class Lines:
    """
    Takes the bytes of a list, in pieces of any size, and returns its URLs.

    Args:
        name: The name of the list in messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # The bytes before the format is detected.
        self._start: bytes | None = b""
        # None if the file is not compressed.
        self._inflater: Any = None
        # None until the first line of text, which shows the encoding.
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head = b""
        # The beginning of the unfinished last line.
        self._rest = ""

    def feed(self, data: bytes) -> Iterator[str]:
        """
        Yield the URLs whose lines end in these bytes.

        Raises:
            NotAList: If the bytes so far are not those of a list.
        """
        if self._start is not None:
            self._start += data
            if len(self._start) < 5 and any(b.startswith(self._start) for b in _BEGINNINGS):
                return
            data, self._start = self._start, None
            self._look_at(data)
        for content in self._inflated(data):
            yield from self._urls_in(content)

    def finish(self) -> Iterator[str]:
        """
        Yield the URL of a last line without an end.

        Raises:
            NotAList: If the file is incomplete.
        """
        if self._start is not None:
            data, self._start = self._start, None
            yield from self._urls_in(data)
        if self._inflater is not None and not self._inflater.eof:
            raise NotAList(f"{self._name} is incomplete: its gzip stream has no end")
        if self._decoder is None:
            self._decoder = self._decoder_for(self._head)
        yield from self._lines_in(self._decoder.decode(self._head, final=True))
        yield from self._url_of(self._rest)

    def _url_of(self, line: str) -> Iterator[str]:
        """Yield the URL in a line, if there is one."""
        line = line.strip()
        if line and not line.startswith("#"):
            yield line

    def _look_at(self, start: bytes) -> None:
        for mark, what in FOREIGN.items():
            if start.startswith(mark):
                raise NotAList(f"{self._name} is {what}, not a list of URLs")
        if start.startswith(GZIP):
            self._inflater = zlib.decompressobj(31)

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        if self._inflater is None:
            yield data
            return
        while data:
            try:
                content = self._inflater.decompress(data, CHUNK)
            except zlib.error as error:
                raise NotAList(f"{self._name} is not a valid gzip file: {error}") from None
            if content:
                yield content
            data = self._inflater.unconsumed_tail
            if self._inflater.eof:
                # Several streams in a row make one file; zeros after the last are padding.
                data = self._inflater.unused_data.lstrip(b"\0")
                if data:
                    self._inflater = zlib.decompressobj(31)
            elif not data and len(content) == CHUNK:
                # There may be more output than the limit of one call.
                content = self._inflater.decompress(b"", CHUNK)
                while content:
                    yield content
                    content = self._inflater.decompress(b"", CHUNK)

    def _urls_in(self, content: bytes) -> Iterator[str]:
        if self._decoder is None:
            self._head += content
            if len(self._head) < HEAD and b"\n" not in self._head:
                return
            self._decoder = self._decoder_for(self._head)
            content, self._head = self._head, b""
        yield from self._lines_in(self._decoder.decode(content))

    def _lines_in(self, text: str) -> Iterator[str]:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            yield from self._url_of(line)
        if len(self._rest) > MAX_LINE:
            raise NotAList(f"{self._name} is not a list of URLs: a line is longer than 1 MiB")

    def _decoder_for(self, content: bytes) -> codecs.IncrementalDecoder:
        for mark, encoding in MARKS.items():
            if content.startswith(mark):
                return codecs.getincrementaldecoder(encoding)("replace")
        if b"\0" in content:
            raise NotAList(
                f"{self._name} is not a list of URLs: it contains NUL bytes. If it is UTF-16, "
                "save it with a byte order mark, or as UTF-8"
            )
        # A line that is not UTF-8 becomes a URL that cannot be fetched; the others are not lost.
        return codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")


@contextmanager
def opened(path: str) -> Generator[BinaryIO]:
    """
    Open a file of URLs, `-` for stdin.

    Raises:
        OSError: If it cannot be opened.
    """
    if path == "-":
        stdin: TextIO | None = sys.stdin  # None in a program started without stdin
        if stdin is None:
            raise OSError("there is no stdin to read URLs from")
        yield stdin.buffer
        return
    with Path(path).open("rb") as file:
        yield file


def urls_in(file: BinaryIO, lines: Lines) -> Iterable[str] | AsyncIterator[str]:
    """
    Return the URLs in `file`, without blanks and comments.

    Args:
        file: The file.
        lines: Takes its bytes, and knows what is in them.

    Raises:
        OSError: If it cannot be read.
        NotAList: If it is not a list, and that can be told without waiting.
    """
    if _may_wait(file):
        return _awaited_urls(file.fileno(), lines)
    urls = _read_urls(file, lines)
    # Reads the first one now, to raise for a file that is not a list before anything is fetched.
    return chain(list(_first_of(urls)), urls)


def _first_of(urls: Iterator[str]) -> Iterator[str]:
    for url in urls:
        yield url
        return


def _may_wait(file: BinaryIO) -> bool:
    if os.name != "posix":
        return False  # on Windows, only sockets can be waited for
    try:
        mode = os.fstat(file.fileno()).st_mode
    except OSError:  # not a real file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()


def _read_urls(file: BinaryIO, lines: Lines) -> Iterator[str]:
    # Enough bytes at once to detect the format.
    head = b""
    while len(head) < HEAD and (line := file.readline(CHUNK)):
        head += line
    yield from lines.feed(head)
    while line := file.readline(CHUNK):
        yield from lines.feed(line)
    yield from lines.finish()


async def _awaited_urls(descriptor: int, lines: Lines) -> AsyncIterator[str]:
    while True:
        await anyio.wait_readable(descriptor)
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:  # another reader was faster
            continue
        for url in lines.feed(data) if data else lines.finish():
            yield url
        if not data:
            return
