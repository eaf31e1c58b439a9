"""URLs line by line, from files and from pipes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest

from asyncbatch._cli import _urls
from asyncbatch._cli._urls import opened, urls_in

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

    with opened(str(path)) as urls:
        assert read(urls) == URLS


def test_a_file_is_read_as_far_as_asked(tmp_path: Path):
    """A list of a billion lines costs no memory."""
    path = tmp_path / "urls"
    path.write_text("http://one.test/\n" * 100_000)

    with path.open("rb") as file:
        urls = urls_in(file)
        assert isinstance(urls, Iterable)
        next(iter(urls))

        assert file.tell() < 1000


def test_stdin_may_be_no_file_at_all(monkeypatch: pytest.MonkeyPatch):
    """Tests and notebooks put a buffer there."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))

    with opened("-") as urls:
        assert read(urls) == URLS


def test_without_a_stdin_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch):
    """A program started without one has `None`."""
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(OSError, match="no stdin"), opened("-"):
        pass


def test_a_line_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch):
    """`-f /dev/zero` does not fill the memory."""
    monkeypatch.setattr(_urls, "MAX_LINE", 4)

    assert read(urls_in(io.BytesIO(b"abcdefgh\n"))) == ["abcd", "efgh"]


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
            urls = urls_in(file)
            assert isinstance(urls, AsyncGenerator)
            async for url in urls:
                found.append(url)  # noqa: PERF401

    assert found == URLS


async def test_a_silent_pipe_keeps_nobody_else_waiting():
    """While nothing comes, other tasks run, and the wait can be cancelled."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file:
        urls = urls_in(file)
        assert isinstance(urls, AsyncGenerator)

        async def wait() -> None:
            await anext(urls, None)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    os.close(writer)


async def test_an_endless_line_of_a_pipe_is_cut(monkeypatch: pytest.MonkeyPatch):
    """As one of a file is."""
    monkeypatch.setattr(_urls, "MAX_LINE", 4)
    reader, writer = os.pipe()
    os.write(writer, b"abcdefgh")
    with os.fdopen(reader, "rb") as file:
        urls = urls_in(file)
        assert isinstance(urls, AsyncGenerator)

        async with aclosing(urls):
            assert await anext(urls) == "abcdefgh"
    os.close(writer)
