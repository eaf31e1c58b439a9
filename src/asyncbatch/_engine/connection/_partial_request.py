"""
A request on its way out: what has to be seen to until all of it is with the kernel.

Most requests go out at once, and have none of this. A body that is produced while it is sent goes
out piece by piece, at the peer's pace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Protocol, cast

from asyncbatch._engine._event_loop import Future, Task, cancelled_class, running_loop
from asyncbatch._engine._exchange import SHORT_BODY, Exchange, Upload
from asyncbatch._engine.http11 import LAST_CHUNK, InvalidRequest, encode_chunk
from asyncbatch._engine.io._transport import Transport
from asyncbatch._runtime._event_loop import runs_on_trio


class PartialRequestConnection(Protocol):
    """The connection that a request is sent on, as far as its sending asks of it."""

    sending: PartialRequest | None
    """None when all of the request is with the kernel."""

    @property
    def exchange(self) -> Exchange | None:
        """The exchange at hand."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether nobody wants the rest of the request."""
        ...

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Fail the exchange when it is over time, or has waited for `limit` seconds."""
        ...

    def fail(self, error: Exception) -> None:
        """End the exchange at hand."""
        ...


class PartialRequest:
    """
    A request that is held up, or whose body is still being produced.

    Its connection has it from the first pause, or the beginning of an upload, until all is out.

    Attributes:
        is_paused: whether bytes of the request wait for the peer to take some.
    """

    __slots__ = ("_connection", "_transport", "_upload", "_waiter", "is_paused")

    def __init__(self, connection: PartialRequestConnection, transport: Transport) -> None:
        self._connection = connection
        self._transport = transport
        # Written by the connection, and here when the pause is over.
        self.is_paused = False
        # What produces the body; None where it is in memory, and once it has ended.
        self._upload: Task[None] | None = None
        # Settled when the pause is over; None unless the upload waits for that.
        self._waiter: Future[None] | None = None

    # What the connection calls.

    def begin_upload(self, upload: Task[None]) -> None:
        """Take the task that produces the body, and will end with `upload_ended`."""
        self._upload = upload

    def resume(self) -> None:
        """Learn that what was written is with the kernel."""
        self.is_paused = False
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._expect_peer()

    def stop(self) -> None:
        """Have the upload end, if there is one."""
        if self._upload is not None:
            self._upload.cancel()

    # What the upload calls.

    async def write(self, content: bytes) -> None:
        """
        Send a piece of the body, and wait until the peer is ready for more.

        Raises:
            ConnectionAbortedError: the connection was closed, so that nobody wants the rest.
        """
        connection = self._connection
        if connection.is_closed:
            raise ConnectionAbortedError("the connection was closed")
        self._transport.write(content)
        exchange = connection.exchange
        if self.is_paused and exchange is not None:
            connection.limit_wait(exchange, exchange.limits.write_timeout)
        await self.wait_while_paused()

    async def wait_while_paused(self) -> None:
        """Wait until the peer has taken what was written."""
        if not self.is_paused:
            return
        self._waiter = running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def upload_ended(self, exchange: Exchange, error: Exception | None) -> None:
        """Take the end of the body, or the reason why there is none."""
        connection = self._connection
        # Still ours? Otherwise the exchange ended first, and an error is the echo of that.
        if connection.exchange is not exchange:
            return
        self._upload = None
        if error is None:
            self._expect_peer()
        else:
            connection.fail(error)

    # Private.

    def _expect_peer(self) -> None:
        """Note that nothing waits to be taken, and end with the request."""
        connection = self._connection
        exchange = connection.exchange
        is_out = self._upload is None
        if is_out:
            connection.sending = None
        if exchange is None:
            return
        if is_out:
            exchange.sent_at = monotonic()
        # Before the next piece of an upload it is not the peer that is waited for.
        connection.limit_wait(exchange, exchange.limits.read_timeout if is_out else None)


def write_with_body(transport: Transport, head: bytes, body: bytes) -> None:
    """Write a request whose body is in memory, in as few calls as pay."""
    if len(body) <= SHORT_BODY:
        transport.write(head + body)
    else:
        transport.write(head)
        transport.write(body)


async def send_upload(sending: PartialRequest, exchange: Exchange, upload: Upload) -> None:
    """
    Send a body piece by piece; runs in a task of its own, next to the wait for the response.

    So an early response ends the upload, and a limit of time ends it even while the iterable
    has nothing to give. An exception of the iterable becomes the exchange's, unless it ends the
    event loop: on trio there is none to end.
    """
    try:
        await _send_pieces(sending, upload)
    except cancelled_class():
        raise
    except BaseException as exc:
        if not runs_on_trio() and isinstance(exc, KeyboardInterrupt | SystemExit):
            raise
        # No `Exception` perhaps, but whoever waits for the answer would wait for ever.
        sending.upload_ended(exchange, cast("Exception", exc))
    else:
        sending.upload_ended(exchange, None)


async def _send_pieces(sending: PartialRequest, upload: Upload) -> None:
    pieces = aiter(upload.pieces)
    try:
        await _send_each(sending, pieces, upload.length)
    finally:
        # Else a generator that breaks off is left to the garbage collector, as trio tells.
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


async def _send_each(
    sending: PartialRequest, pieces: AsyncIterator[bytes], remaining: int | None
) -> None:
    async for piece in pieces:
        if remaining is None:
            await sending.write(encode_chunk(piece))
            continue
        remaining -= len(piece)
        if remaining < 0:
            raise InvalidRequest("the request body is longer than its Content-Length")
        await sending.write(piece)
    if remaining is None:
        await sending.write(LAST_CHUNK)
    elif remaining:
        raise InvalidRequest("the request body is shorter than its Content-Length")
    # Where there was no piece, the head may not be out.
    await sending.wait_while_paused()
