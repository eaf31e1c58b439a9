"""
Read the body of a client's response, and decode it within a limit.

httpx's decoders are not used: they have no bound, stop at the first gzip member, and take a cut
stream for a whole one (httpx 0.28).
"""

from __future__ import annotations

import contextlib
import datetime
import re
import sys
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import anyio

from asyncbatch._decoding import BodyLimitExceeded
from asyncbatch._engine import BodyStream, Exchange, is_untouched
from asyncbatch._engine._minimum_rate import ReceivedRate
from asyncbatch._engine.http11 import UNJOINED, UnjoinedBody, longest_transfer
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._httpcore_pool import leave_pool
from asyncbatch._lanes.failures._callers import CallersError
from asyncbatch._lanes.response._head_fields import coding_of, fields_of_body
from asyncbatch._lanes.response._turn import EXCHANGE, TAKEN, LoopTurns
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder, join
from asyncbatch._values._errors import TooSlow
from asyncbatch._values._timeouts import CLOSE_SECONDS

# How many buffered chunks a transport may return after a body is given up.
ABANDONED_CHUNKS = 1000

# How much of a redirect's own body is read to keep the connection; beyond that it is closed.
REDIRECT_BODY_LIMIT = 64 * 1024

# RFC 9110 §8.6. Bounded, since `int` refuses too many digits.
_LENGTH = re.compile(b"[0-9]{1,100}")


class ClientBodyReader:
    """
    Reads the bodies of one client's responses in one batch.

    Args:
        binding: The client's library.
        minimum_rate: Bytes per second below which a body is given up; `None` for no limit.
    """

    __slots__ = ("_binding", "_minimum_rate", "_takes", "turns")

    def __init__(self, binding: Binding, minimum_rate: float | None) -> None:
        self._binding = binding
        self._minimum_rate = minimum_rate
        library = binding.library
        self._takes = is_untouched(library.Response.aiter_raw, library.__name__)
        self.turns = LoopTurns()
        """The turns of the running event loop."""

    async def read(
        self, response: Any, limit: int | None, exchange: Exchange | None = None
    ) -> None:
        """
        Read `response` to its end, decode it, and close it.

        Afterwards `response.content` is the decoded body, as after httpx's own `aread()`. The
        response is closed after any failure, and after a cancellation.

        Args:
            response: The response.
            limit: Most bytes of the decoded body; `None` for no limit.
            exchange: The engine's exchange behind it, if known.

        Raises:
            BodyLimitExceeded: If the decoded body is longer than `limit` bytes.
            BodyCut: If the compressed stream ends early.
            CorruptBody: If it does not decode.
            TooSlow: If it arrives slower than the minimum rate.
            CallersError: If the caller's code has taken the body and not kept it.
            Exception: What the client raises.
        """
        try:
            raw = self._taken(response, exchange)
            cost = EXCHANGE if raw is None else TAKEN
            if not self.turns.spend_nowait(cost):
                await self.turns.spend(cost)
            if response.is_stream_consumed:
                content = consumed_content(response, self._binding)
                _check_size(len(content), limit)
            else:
                content = await self._read(response, limit, raw)
        except BaseException:
            await close(response)
            raise
        # A private name, but the same in every httpx since 0.7 and in httpx2. There is no public
        # way to give a response content that has been decoded elsewhere.
        response._content = content
        drop_stream(response, self._binding)

    async def read_redirect(
        self, response: Any, limit: int | None, exchange: Exchange | None = None
    ) -> None:
        """Read the body of a redirect if it is short; else close it, with empty content."""
        try:
            await self.read(response, redirect_limit(limit), exchange)
        except BodyLimitExceeded:
            response._content = b""
            drop_stream(response, self._binding)

    async def _read(self, response: Any, limit: int | None, taken: bytes | None) -> bytes:
        encoding, declared = fields_of_body(response.headers.raw)
        coding = coding_of(response.status_code, encoding)
        longest = limit
        if coding:
            # Decoded when all of it has arrived: a decoder for each body in progress would take up
            # to 16 MiB each.
            longest = None if limit is None else longest_transfer(limit)
        elif declared is not None and _has_body(response):
            _check_size(int(declared) if _LENGTH.fullmatch(declared) else 0, limit)
        if taken is None:
            raw = await self._read_through_client(response, _Raw(limit, longest))
        else:
            raw = taken
            if longest is not None and len(raw) > longest:
                raise BodyLimitExceeded(limit or 0)
            _end_stream(response, len(raw))
        if not coding:
            return raw
        return await WholeBodyDecoder(limit).decode(raw, coding)

    async def _read_through_client(self, response: Any, raw: _Raw) -> bytes:
        """Read the body through the client."""
        minimum_rate = self._minimum_rate
        chunks = response.aiter_raw()
        try:
            if minimum_rate is None:
                async for chunk in chunks:
                    raw.add(chunk)
            elif not await _add_in_pace(raw, chunks, minimum_rate):
                raise self._binding.error(TooSlow)(minimum_rate, request=response.request)
        except BaseException:
            # Close first: otherwise `abandon` would read what a fast server goes on sending, and
            # take longer than the body did.
            await close(response)
            await abandon(chunks)
            raise
        return await raw.content()

    def _taken(self, response: Any, exchange: Exchange | None) -> bytes | None:
        """
        Return the body if our engine has received all of it, and httpx only passes it on.

        httpx passes it through five nested generators, which cost as much as a sixth of the whole
        request. `None` if anything is between, or not laid out as in httpx 0.28 and httpx2.
        """
        if exchange is None or not exchange.is_over or exchange.error is not None:
            return None
        if not self._takes or response.is_closed or response.is_stream_consumed:
            return None
        content = exchange.content
        if isinstance(content, UnjoinedBody):  # large, and to be joined in a thread
            return None
        library, stream = self._binding.library, response.stream
        try:
            inner = stream._stream
            if type(inner) is library._transports.default.AsyncResponseStream:
                inner = inner._httpcore_stream
            is_direct = (
                type(response) is library.Response
                and type(stream) is library._client.BoundAsyncStream
                and isinstance(inner, BodyStream)
                and inner.exchange is exchange
            )
        except AttributeError:
            return None
        return bytes(content) if is_direct else None


def redirect_limit(limit: int | None) -> int:
    """Return the most bytes to read of a redirect's body; `limit` applies to all bodies."""
    return REDIRECT_BODY_LIMIT if limit is None else min(limit, REDIRECT_BODY_LIMIT)


def consumed_content(response: Any, binding: Binding) -> bytes:
    """
    Return the content of a response that an event hook, or a transport from memory, has read.

    Raises:
        CallersError: If the caller's code has iterated over the stream, which leaves no content;
            with the error of httpx's own `aread`.
    """
    if not hasattr(response, "_content"):
        raise CallersError(binding.library.StreamConsumed())
    content: bytes = response.content
    return content


async def close(response: Any) -> None:
    """Close `response` even while being cancelled, within a bounded time."""
    # An error of the closing would hide the error that led to it.
    with anyio.move_on_after(CLOSE_SECONDS, shield=True), contextlib.suppress(Exception):
        await response.aclose()
    await leave_pool(response)


def _end_stream(response: Any, size: int) -> None:
    """Do what httpx does when it has read a body that our engine has received to its end."""
    response.is_stream_consumed = response.is_closed = True
    response._num_bytes_downloaded = size
    started: float = response.stream._start
    response.elapsed = datetime.timedelta(seconds=perf_counter() - started)


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
    pace = ReceivedRate(minimum_rate, anyio.current_time())
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
