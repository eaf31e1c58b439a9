"""Writing lines to a reader that may be slow, or gone."""

from __future__ import annotations

import io
import threading

import anyio
import anyio.lowlevel
import pytest

from asyncbatch._cli._writer import BACKLOG, writing_to


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
