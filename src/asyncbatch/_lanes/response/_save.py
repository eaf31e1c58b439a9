"""
Hand the body of a response over to a sink, piece by piece as it arrives.
"""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterable, Callable
from typing import Any

import anyio

from asyncbatch._decoding import decoder_into
from asyncbatch._engine._minimum_rate import ReceivedRate
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.response._body import abandon, close, consumed_content, drop_stream
from asyncbatch._lanes.response._head_fields import coding_of
from asyncbatch._values._errors import TooSlow
from asyncbatch._values._sink import Refill, Sink

_PIECE = 256 * 1024


async def save_body(
    response: Any, binding: Binding, sink: Sink, minimum_rate: float | None
) -> None:
    """
    Read the body of a client's response to its end into `sink`, and close the response.

    Afterwards `response.content` is empty. The response is closed after any failure, and after a
    cancellation.

    Raises:
        SinkFailure: The body cannot be written.
        DecodingFailure: It cannot be decoded.
        TooSlow: It arrives slower than `minimum_rate` bytes per second.
        CallersError: The caller's code has taken the body and not kept it.
        Exception: What the client raises.
    """
    if response.is_stream_consumed:
        content = memoryview(consumed_content(response, binding))
        for start in range(0, len(content), _PIECE):
            await sink.write(bytes(content[start : start + _PIECE]))
    else:
        coding = coding_of(response.status_code, response.headers.get("content-encoding"))
        if coding:
            sink.decode_by(functools.partial(decoder_into, coding))
        chunks = response.aiter_raw()
        try:
            if await write_all(chunks, sink, minimum_rate) is None:
                assert minimum_rate is not None
                raise binding.error(TooSlow)(minimum_rate, request=response.request)
        except BaseException:
            await close(response)
            await abandon(chunks)
            raise
    # As `ClientBodyReader` does.
    response._content = b""
    drop_stream(response, binding)


async def leave_body(response: Any, binding: Binding) -> None:
    """Close a client's response without its body, so that its content is empty."""
    await close(response)
    response._content = b""
    drop_stream(response, binding)


def _no_refill() -> None:
    return None


async def write_all(
    pieces: AsyncIterable[bytes | memoryview],
    sink: Sink,
    minimum_rate: float | None,
    refill: Callable[[], Refill | None] = _no_refill,
) -> int | None:
    """
    Write all pieces to `sink`.

    Args:
        pieces: The pieces.
        sink: Takes them.
        minimum_rate: Least bytes per second.
        refill: Returns what receives the bytes after the last piece, if `sink` may do so itself.

    Returns:
        The number of their bytes; `None` if they arrive slower than `minimum_rate`.
    """
    received = 0
    if minimum_rate is None:
        async for piece in pieces:
            received += await sink.write(piece, refill())
        return received
    pace = ReceivedRate(minimum_rate, anyio.current_time())
    with anyio.CancelScope(deadline=pace.too_slow_at) as scope:
        async for piece in pieces:
            # While the disk is slow, the server is not.
            scope.deadline = math.inf
            began = anyio.current_time()
            pace.add(len(piece), began)
            taken = await sink.write(piece, refill())
            received += taken
            now = anyio.current_time()
            if now - began >= 1.0:
                pace.take_out(now - began)
            pace.add(taken - len(piece), now)
            scope.deadline = pace.too_slow_at
        return received
    return None
