"""
Read the body of a client's response, and decode it within a limit.

httpx's decoders are not used: they have no bound, stop at the first gzip member, and take a cut
stream for a whole one (httpx 0.28).
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio

from asyncbatch._decoding import BodyLimitExceeded
from asyncbatch._engine._minimum_rate import Pace
from asyncbatch._engine.http11 import UNJOINED, UnjoinedBody, longest_transfer
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.response._head_fields import coding_of
from asyncbatch._lanes.response._turn import EXCHANGE, wait_turn
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder, join
from asyncbatch._values._errors import TooSlow
from asyncbatch._values._timeouts import CLOSE_SECONDS

# How many buffered chunks a transport may return after a body is given up.
ABANDONED_CHUNKS = 1000

# How much of a redirect's own body is read to keep the connection; beyond that it is closed.
REDIRECT_BODY_LIMIT = 64 * 1024

# RFC 9110 §8.6. Bounded, since `int` refuses too many digits.
_LENGTH = re.compile("[0-9]{1,100}")


async def read_body(
    response: Any, binding: Binding, limit: int | None, minimum_rate: float | None
) -> None:
    """
    Read `response` to its end, decode it, and close it.

    Afterwards `response.content` is the decoded body, as after httpx's own `aread()`. The response
    is closed after any failure, and after a cancellation.

    Raises:
        BodyLimitExceeded: If the decoded body is longer than `limit` bytes.
        BodyCut: If the compressed stream ends early.
        CorruptBody: If it does not decode.
        TooSlow: If it arrives slower than `minimum_rate` bytes per second.
        Exception: What the client raises.
    """
    try:
        await wait_turn(EXCHANGE)
        if response.is_stream_consumed:  # an event hook, or a transport that answers from memory
            content = response.content
            _check_size(len(content), limit)
        else:
            content = await _read(response, binding, limit, minimum_rate)
    except BaseException:
        await close(response)
        raise
    # A private name, but the same in every httpx since 0.7 and in httpx2. There is no public way to
    # give a response content that has been decoded elsewhere.
    response._content = content
    drop_stream(response, binding)


def redirect_limit(limit: int | None) -> int:
    """Return the most bytes to read of a redirect's body; `limit` applies to all bodies."""
    return REDIRECT_BODY_LIMIT if limit is None else min(limit, REDIRECT_BODY_LIMIT)


async def read_redirect_body(
    response: Any, binding: Binding, limit: int | None, minimum_rate: float | None
) -> None:
    """Read the body of a redirect if it is short; else close the connection, with empty content."""
    try:
        await read_body(response, binding, redirect_limit(limit), minimum_rate)
    except BodyLimitExceeded:
        response._content = b""
        drop_stream(response, binding)


async def close(response: Any) -> None:
    """Close `response` even while being cancelled, within a bounded time."""
    # An error of the closing would hide the error that led to it.
    with anyio.move_on_after(CLOSE_SECONDS, shield=True), contextlib.suppress(Exception):
        await response.aclose()


async def _read(
    response: Any, binding: Binding, limit: int | None, minimum_rate: float | None
) -> bytes:
    headers = response.headers
    coding = coding_of(response.status_code, headers.get("content-encoding"))
    longest = limit
    if coding:
        # Decoded when all of it has arrived: a decoder for each body in progress would take up to
        # 16 MiB each.
        longest = None if limit is None else longest_transfer(limit)
    elif _has_body(response):
        declared = headers.get("content-length", "")
        _check_size(int(declared) if _LENGTH.fullmatch(declared) else 0, limit)
    raw = _Raw(limit, longest)
    chunks = response.aiter_raw()
    try:
        if minimum_rate is None:
            async for chunk in chunks:
                raw.add(chunk)
        elif not await _add_in_pace(raw, chunks, minimum_rate):
            raise binding.error(TooSlow)(minimum_rate, request=response.request)
    except BaseException:
        # Close first: otherwise `abandon` would read what a fast server goes on sending, and take
        # longer than the body did.
        await close(response)
        await abandon(chunks)
        raise
    content = await raw.content()
    if not coding:
        return content
    return await WholeBodyDecoder(limit).decode(content, coding)


class _Raw:
    """Collects the pieces of a body, up to `longest` bytes; `limit` is named in the error."""

    def __init__(self, limit: int | None, longest: int | None) -> None:
        self._limit = limit
        self._longest = sys.maxsize if longest is None else longest
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._longest:
            raise BodyLimitExceeded(self._limit or 0)
        self._pieces.append(piece)

    async def content(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        if self._size < UNJOINED or len(pieces) == 1:
            # `join` returns a single piece as the same object.
            return b"".join(pieces)
        return await join(UnjoinedBody(pieces, self._size))


async def _add_in_pace(raw: _Raw, chunks: AsyncIterator[bytes], minimum_rate: float) -> bool:
    """Add all chunks to `raw`; return `False` if they arrive too slowly."""
    pace = Pace(minimum_rate, anyio.current_time())
    with anyio.CancelScope(deadline=pace.too_slow_at) as scope:
        async for chunk in chunks:
            raw.add(chunk)
            pace.add(len(chunk), anyio.current_time())
            scope.deadline = pace.too_slow_at
        return True
    return False


async def abandon(chunks: AsyncIterator[bytes]) -> None:
    """
    End the reading of a body before its end.

    httpx and httpcore read through some five nested generators. Closing the outer one leaves the
    others to the garbage collector; a cancellation ends the innermost first.
    """
    with anyio.CancelScope(shield=True) as scope, contextlib.suppress(Exception):
        scope.cancel()
        for _ in range(ABANDONED_CHUNKS):  # buffered chunks are returned without waiting
            await anext(chunks)


def _has_body(response: Any) -> bool:
    # RFC 9110 §6.4.1. Their `Content-Length` is that of the body which a GET or a 200 would have.
    return response.request.method != "HEAD" and response.status_code not in (204, 304)


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise BodyLimitExceeded(limit)


def drop_stream(response: Any, binding: Binding) -> None:
    """
    Release the connection that the response holds by its stream.

    In httpx 0.28 response and stream refer to each other, so every response stays until the cyclic
    garbage collector runs (encode/httpx#3733).
    """
    try:
        elapsed = response.elapsed
    except RuntimeError:  # never set, because the stream was not the client's
        elapsed = None
    response.stream = binding.library.ByteStream(b"")
    if elapsed is not None:
        response.elapsed = elapsed
