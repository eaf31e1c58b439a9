"""URLs line by line, from files and from pipes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from asyncbatch._cli import _urls
from asyncbatch._cli._urls import Lines, NotAList, opened, urls_in

# What has been waited for is there: reading it does not block, although the pipe is one that may.
pytestmark = pytest.mark.may_block

TEXT = (
    b"\xef\xbb\xbf# a comment\n\nhttp://one.test/\n  http://two.test/ # \r\n   \n\t#x\nhttp://\xff/"
)
URLS = ["http://one.test/", "http://two.test/ #", "http://\udcff/"]


def read(urls: Iterable[str] | AsyncIterator[str]) -> list[str]:
    """Return the URLs of a file that does not keep its reader waiting."""
    assert isinstance(urls, Iterable)
    return list(urls)


def test_a_file_has_one_url_on_each_line(tmp_path: Path):
    """Blank lines and comments are none, a mark of the encoding is no part of one."""
    path = tmp_path / "urls"
    path.write_bytes(TEXT)

    with opened(str(path)) as file:
        assert read(urls_in(file, Lines("urls"))) == URLS


def test_a_file_is_read_as_far_as_asked(tmp_path: Path):
    """A list of a billion lines costs no memory."""
    path = tmp_path / "urls"
    path.write_text("http://one.test/\n" * 100_000)

    with path.open("rb") as file:
        urls = urls_in(file, Lines("urls"))
        assert isinstance(urls, Iterable)
        next(iter(urls))

        assert file.tell() <= _urls.CHUNK


def test_stdin_may_be_no_file_at_all(monkeypatch: pytest.MonkeyPatch):
    """Tests and notebooks put a buffer there."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))

    with opened("-") as file:
        assert read(urls_in(file, Lines("stdin"))) == URLS


def test_without_a_stdin_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    """A program started without one has `None`."""
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(OSError, match="no stdin"), opened("-"):
        pass


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch):
    """`-f /dev/zero` does not fill the memory, and a blob of text is no list."""
    monkeypatch.setattr(_urls, "MAX_LINE", 4)

    with pytest.raises(NotAList, match="mine is not a list of URLs: a line is longer"):
        read(urls_in(io.BytesIO(b"abcdefgh"), Lines("mine")))


def forms() -> dict[str, bytes]:
    """Return the same list in every form that is read."""
    plain = TEXT.decode("utf-8-sig", "surrogateescape").replace("\udcff", "\u00ff")
    packed = gzip.compress(plain.encode())
    return {
        "utf-16": plain.encode("utf-16"),
        "utf-16, big end first": b"\xfe\xff" + plain.encode("utf-16-be"),
        "utf-32": plain.encode("utf-32"),
        "gzip": packed,
        "gzip in parts": gzip.compress(plain[:9].encode()) + gzip.compress(plain[9:].encode()),
        "gzip, padded": packed + b"\0" * 9,
        "gzip of utf-16": gzip.compress(plain.encode("utf-16")),
        "gzip of much": gzip.compress(b"#" * 300_000 + b"\n" + plain.encode()),
    }


@pytest.mark.parametrize("form", forms())
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_list_is_read_in_all_its_forms(form: str, size: int):
    """However its bytes are cut."""
    content, lines = forms()[form], Lines("urls")
    if len(content) > 10_000 and size == 1:
        size = 1000

    found = [
        url
        for start in range(0, len(content), size)
        for url in lines.feed(content[start : start + size])
    ]

    assert [*found, *lines.finish()] == [*URLS[:2], "http://\u00ff/"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bz2.compress(TEXT), "mine is compressed with bzip2"),
        (lzma.compress(TEXT), "mine is compressed with xz"),
        (b"\x28\xb5\x2f\xfd\x20", "mine is compressed with zstd"),
        (b"PK\x03\x04" + TEXT, "mine is a zip archive"),
        (b"%PDF-1.7\n", "mine is a PDF"),
        (
            TEXT.decode("latin-1").encode("utf-16-le"),
            "mine is not a list of URLs: it contains NUL bytes",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "mine is an image"),
        (gzip.compress(TEXT, mtime=0)[:-9], "mine is incomplete"),
        (gzip.compress(TEXT, mtime=0) + b"rubbish", "mine is not a valid gzip file"),
        (b"\x1f\x8b" + b"x" * 99, "mine is not a valid gzip file"),
        (gzip.compress(b"\0" * 99, mtime=0), "mine is not a list of URLs: it contains NUL bytes"),
    ],
)
def test_what_is_no_list_is_told_by_its_name(content: bytes, said: str):
    """And nothing of it is taken for a URL, wherever it is cut."""
    with pytest.raises(NotAList, match=said):
        read(urls_in(io.BytesIO(content), Lines("mine")))
    lines = Lines("mine")
    parts = [content[start : start + 1] for start in range(len(content))]
    with pytest.raises(NotAList, match=said):
        [*chain.from_iterable(map(lines.feed, parts)), *lines.finish()]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_pipe_has_the_same_urls_however_they_come(size: int):
    """Cut anywhere, between the bytes of a letter too."""
    reader, writer = os.pipe()
    found: list[str] = []

    async def write() -> None:
        for start in range(0, len(TEXT), size):
            os.write(writer, TEXT[start : start + size])
            await anyio.lowlevel.checkpoint()
        os.close(writer)

    with os.fdopen(reader, "rb") as file:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            urls = urls_in(file, Lines("stdin"))
            assert isinstance(urls, AsyncGenerator)
            async for url in urls:
                found.append(url)  # noqa: PERF401

    assert found == URLS


async def test_a_silent_pipe_keeps_nobody_else_waiting():
    """While nothing comes, other tasks run, and the wait can be cancelled."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        urls = urls_in(file, Lines("stdin"))
        assert isinstance(urls, AsyncGenerator)

        async def wait() -> None:
            await anext(urls, None)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    os.close(writer)


async def test_an_endless_line_of_a_pipe_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As one of a file is."""
    monkeypatch.setattr(_urls, "MAX_LINE", 4)
    monkeypatch.setattr(_urls, "HEAD", 4)
    reader, writer = os.pipe()
    os.write(writer, b"abcdefgh")
    with os.fdopen(reader, "rb") as file:
        urls = urls_in(file, Lines("stdin"))
        assert isinstance(urls, AsyncGenerator)

        async with aclosing(urls):
            with pytest.raises(NotAList):
                await anext(urls)
    os.close(writer)


def test_a_list_that_is_packed_well_comes_out_whole(monkeypatch: pytest.MonkeyPatch):
    """One byte of it is hundreds of the list, more than are unpacked at once."""
    monkeypatch.setattr(_urls, "CHUNK", 10)
    packed = gzip.compress(b"#" + b"a" * 5000 + b"\nhttp://one.test/\n")
    lines = Lines("urls")

    found = [url for byte in packed for url in lines.feed(bytes([byte]))]

    assert [*found, *lines.finish()] == ["http://one.test/"]


def test_a_pipe_is_read_like_a_file_where_it_cannot_be_waited_for(
    monkeypatch: pytest.MonkeyPatch,
):
    """On Windows, only sockets can be."""
    reader, writer = os.pipe()
    os.write(writer, TEXT)
    os.close(writer)
    monkeypatch.setattr(_urls, "os", SimpleNamespace(name="nt"))

    with os.fdopen(reader, "rb") as file:
        assert read(urls_in(file, Lines("stdin"))) == URLS


async def test_a_pipe_that_another_reader_emptied_is_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
):
    """It was readable, and is not any more."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    waits: list[int] = []

    async def say_readable(descriptor: int) -> None:
        waits.append(descriptor)
        if len(waits) == 2:
            os.write(writer, TEXT)
            os.close(writer)

    monkeypatch.setattr(_urls.anyio, "wait_readable", say_readable)
    with os.fdopen(reader, "rb") as file:
        urls = urls_in(file, Lines("stdin"))
        assert isinstance(urls, AsyncGenerator)

        assert [url async for url in urls] == URLS
    assert len(waits) == 3
