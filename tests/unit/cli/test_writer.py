"""Writing lines to a reader that may be slow, or gone."""

from __future__ import annotations

import io
import os
import select
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest

from asyncbatch._cli import _writer
from asyncbatch._cli._writer import BACKLOG, TextOutput, writing_to


class Stuck(io.StringIO):
    """A stream that takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.go.wait()
        return super().write(text)


class Gone(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


async def test_lines_are_written_in_order_and_all_of_them():
    """When the context ends, everything is out."""
    stream = io.StringIO()

    async with writing_to(stream) as writer:
        for number in range(3 * BACKLOG):
            await writer.put_line(f"{number}\n")

    assert stream.getvalue().split() == [str(number) for number in range(3 * BACKLOG)]


async def test_a_stuck_reader_holds_up_the_writer_and_not_the_loop():
    """The lines that wait are bounded, and other tasks go on."""
    stream = Stuck()
    put = 0

    async def put_lines() -> None:
        nonlocal put
        async with writing_to(stream) as writer:
            for number in range(3 * BACKLOG):
                await writer.put_line(f"{number}\n")
                put += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(put_lines)
        while put < BACKLOG:
            await anyio.lowlevel.checkpoint()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert put < 3 * BACKLOG
        stream.go.set()

    assert put == 3 * BACKLOG


async def test_a_reader_that_left_ends_the_context_with_its_error():
    """The error is that of the stream, and comes alone."""

    async def put_lines() -> None:
        async with writing_to(Gone()) as writer:
            while True:
                await writer.put_line("x\n")

    with pytest.raises(BrokenPipeError):
        await put_lines()


async def test_an_error_of_the_body_comes_out_as_it_is():
    """No group is made of it, and what was put before is written."""
    stream = io.StringIO()

    async def put_lines() -> None:
        async with writing_to(stream) as writer:
            await writer.put_line("x\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await put_lines()

    assert stream.getvalue() == "x\n"


async def test_a_letter_the_terminal_lacks_is_written_out():
    """A URL with umlauts does not end a batch in the C locale."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")

    async with writing_to(stream) as writer:
        await writer.put_line("http://host.test/\u00fc\n")

    assert raw.getvalue() == b"http://host.test/\\xfc\n"


class Pipe(io.StringIO):
    """A pipe that does not block, and whose buffer in Python cannot be flushed at first."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self.writer = os.pipe()
        for end in (self.reader, self.writer):
            os.set_blocking(end, False)
        self.refusals: list[TextOutput | None] = []

    def fileno(self) -> int:
        return self.writer

    def flush(self) -> None:
        if self.refusals:
            if (stopped := self.refusals.pop()) is not None:
                stopped.stopped = True
            raise BlockingIOError

    def read_all(self) -> bytes:
        with os.fdopen(os.dup(self.reader), "rb") as file:
            return file.read() or b""


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reader)
    os.close(pipe.writer)


posix = pytest.mark.skipif(os.name != "posix", reason="pipes of posix")


@posix
def test_what_others_have_written_comes_first(pipe: Pipe):
    """It is flushed as soon as there is room for it."""
    pipe.refusals = [None, None]

    TextOutput(pipe).write("x")

    assert pipe.refusals == []
    assert pipe.read_all() == b"x"


@posix
def test_a_writer_that_is_stopped_waits_for_no_room(pipe: Pipe):
    """Neither to flush what others have written, nor for its own."""
    output = TextOutput(pipe)
    pipe.refusals = [output]

    output.write("x")

    assert pipe.read_all() == b""


@posix
def test_a_full_pipe_is_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    """Until its reader has read."""
    while True:
        try:
            os.write(pipe.writer, bytes(4096))
        except BlockingIOError:
            break
    monkeypatch.setattr(_writer, "POLL_SECONDS", 0.0)
    wait_for_room, waits = _writer._wait_for_room, list[bool]()

    def wait_and_read(descriptor: int) -> bool:
        waits.append(wait_for_room(descriptor))
        if not waits[-1]:
            pipe.read_all()
        return waits[-1]

    monkeypatch.setattr(_writer, "_wait_for_room", wait_and_read)
    TextOutput(pipe).write("x" * 5000)

    assert waits == [False, True, True]
    assert pipe.read_all() == b"x" * 5000


@posix
def test_without_poll_a_pipe_is_written_too(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    """As under eventlet, which takes it away."""
    monkeypatch.delattr(select, "poll")
    monkeypatch.setattr(_writer, "POLL_SECONDS", 0.0)

    TextOutput(pipe).write("x" * 5000)

    assert pipe.read_all() == b"x" * 5000


def test_where_no_stream_can_be_waited_for_it_blocks(pipe: Pipe, monkeypatch: pytest.MonkeyPatch):
    """As on Windows."""
    monkeypatch.setattr(_writer, "os", SimpleNamespace(name="nt"))

    TextOutput(pipe).write("x")

    assert pipe.getvalue() == "x"
