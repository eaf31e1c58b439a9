"""
Writers of lines for a slow reader: a full pipe slows the batch down, not the event loop.

If it blocked the loop, all requests in flight would time out while a user reads the first screen in
a pager. A pipe or terminal shared with another program may be non-blocking: it accepts a part of a
write, or nothing, and the rest is written when there is room again.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TextIO

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

BACKLOG = 1000
# Bytes that a writable pipe accepts at once (POSIX: PIPE_BUF).
PIECE = 4096
# Interval in seconds at which a writer that waits for room checks whether to stop.
POLL_SECONDS = 0.1


class TextOutput:
    """
    A stream, blocking or not, that texts are written to completely.

    Args:
        stream: The stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self.stopped = False
        """Set this, from any thread, to make a `write` that waits for room give up."""

    def write(self, text: str) -> None:
        """
        Write all of `text`, waiting for room if necessary.

        Raises:
            OSError: If writing fails.
            ValueError: If it is closed.
        """
        # The encoding of the terminal may lack a character of a URL.
        encoding = self._stream.encoding or "utf-8"
        content = text.encode(encoding, "backslashreplace")
        if self._descriptor is None:
            self._stream.write(content.decode(encoding))
            self._stream.flush()
            return
        self._flush(self._descriptor)
        self._write_bytes(self._descriptor, content)

    def _flush(self, descriptor: int) -> None:
        """Flush the text that other code has written to the stream."""
        while not self.stopped:
            try:
                self._stream.flush()
            except BlockingIOError:
                _wait_for_room(descriptor)
            else:
                return

    def _write_bytes(self, descriptor: int, content: bytes) -> None:
        rest = memoryview(content)
        # A regular file never has to be waited for.
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        while rest and not self.stopped:
            if not is_file and not _wait_for_room(descriptor):
                continue
            with suppress(BlockingIOError):
                rest = rest[os.write(descriptor, rest if is_file else rest[:PIECE]) :]


def _descriptor_of(stream: TextIO) -> int | None:
    """Return the descriptor of a stream, if it can be waited for."""
    if os.name != "posix":
        return None
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):  # not a real file, or closed
        return None


def _wait_for_room(descriptor: int) -> bool:
    """Wait briefly, and return whether the descriptor is writable, or in error."""
    if not hasattr(select, "poll"):
        time.sleep(POLL_SECONDS)
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(POLL_SECONDS * 1000))


class LineWriter:
    """
    Writes lines to a stream, in a thread.

    Attributes:
        put: Number of lines queued.
        written: Number of lines written.
        error: The error of the stream, if it raised one.
    """

    def __init__(
        self, stream: TextIO, send: MemoryObjectSendStream[str], stop: anyio.CancelScope
    ) -> None:
        self._sink = TextOutput(stream)
        self._send = send
        self._stop = stop
        self.put = 0
        self.written = 0
        self.error: Exception | None = None

    async def put_line(self, line: str) -> None:
        """
        Queue a line; wait while `BACKLOG` lines are queued.

        Raises:
            anyio.BrokenResourceError: If writing has failed.
        """
        self.put += 1
        await self._send.send(line)

    async def write_all(self, lines: MemoryObjectReceiveStream[str]) -> None:
        """Write the lines as they come."""
        async with lines:
            try:
                async for line in lines:
                    batch = [line, *_waiting(lines)]
                    await anyio.to_thread.run_sync(
                        self._sink.write, "".join(batch), abandon_on_cancel=True
                    )
                    self.written += len(batch)
            except (OSError, ValueError) as error:
                self.error = error
                # Ends the task too if it waits for something other than `put`.
                self._stop.cancel()
            finally:
                self._sink.stopped = True


@asynccontextmanager
async def writing_to(stream: TextIO) -> AsyncGenerator[LineWriter]:
    """
    Yield a writer of lines. When the context ends, all lines are written.

    Raises:
        OSError: If writing fails, which also ends the context at once.
    """
    send, receive = anyio.create_memory_object_stream[str](BACKLOG)
    errors: list[Exception] = []
    body = anyio.CancelScope()
    writer = LineWriter(stream, send, body)
    async with anyio.create_task_group() as tasks:
        with body:
            tasks.start_soon(writer.write_all, receive)
            async with send:
                try:
                    yield writer
                except Exception as error:
                    # Raised after the task group, which would wrap it. If the writer has stopped,
                    # its error, which is raised first, is the cause of this one.
                    errors.append(error)
    if writer.error is not None:
        raise writer.error
    if errors:
        raise errors[0]


def _waiting(lines: MemoryObjectReceiveStream[str]) -> list[str]:
    return [lines.receive_nowait() for _ in range(lines.statistics().current_buffer_used)]
