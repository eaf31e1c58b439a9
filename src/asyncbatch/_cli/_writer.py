"""
Writing lines where the reader may be slow: a full pipe holds up the batch, not its event loop.

If it held up the loop, everything under way would run into its time-out while somebody reads the
first screen in a pager.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TextIO, TypeAlias

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectReceiveStream

BACKLOG = 1000

PutLine: TypeAlias = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def writing_to(stream: TextIO) -> AsyncGenerator[PutLine]:
    """
    Yield a function that writes a line, and waits while `BACKLOG` lines are waiting already.

    Raises:
        OSError: If the stream takes no more, when the context ends; the function ends the context
            for that.
    """
    send, receive = anyio.create_memory_object_stream[str](BACKLOG)
    errors: list[Exception] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write_all, receive, stream, errors)
        async with send:
            try:
                yield send.send
            except Exception as error:
                # Raised behind the task group, which would wrap it. If the writer has stopped,
                # this only says so, and what stopped it is there already.
                errors.append(error)
    if errors:
        raise errors[0]


async def _write_all(
    lines: MemoryObjectReceiveStream[str], stream: TextIO, errors: list[Exception]
) -> None:
    async with lines:
        try:
            async for line in lines:
                text = "".join([line, *_waiting(lines)])
                await anyio.to_thread.run_sync(_write, stream, text)
        except (OSError, ValueError) as error:
            errors.append(error)


def _waiting(lines: MemoryObjectReceiveStream[str]) -> list[str]:
    return [lines.receive_nowait() for _ in range(lines.statistics().current_buffer_used)]


def _write(stream: TextIO, text: str) -> None:
    # The terminal's own encoding may lack a letter of a URL.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
