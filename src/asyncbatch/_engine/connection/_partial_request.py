"""
State of a request of which only a part has been sent.

Most requests are sent at once, and need none. A body that is produced while it is sent goes out
piece by piece, as fast as the peer reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Protocol, cast

from asyncbatch._engine._event_loop import Future, Task, cancelled_class, ends_loop, running_loop
from asyncbatch._engine._exchange import SHORT_BODY, Exchange, Upload
from asyncbatch._engine.http11 import LAST_CHUNK, InvalidRequest, encode_chunk
from asyncbatch._engine.io._transport import Transport


class PartialRequestConnection(Protocol):
    """The connection, for a partial request."""

    sending: PartialRequest | None
    """`None` when the kernel has taken all of the request."""

    @property
    def exchange(self) -> Exchange | None:
        """The current exchange."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether the rest of the request is no longer needed."""
        ...

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Fail the exchange at its deadline, or after waiting `limit` seconds for the peer."""
        ...

    def fail(self, error: Exception) -> None:
        """Close, and fail the current exchange."""
        ...


class UploadTransport(Protocol):
    """Where the bytes of a request go."""

    def write(self, content: bytes) -> None:
        """Send; keep what the peer does not take at once."""
        ...


class PartialRequest:
    """
    A request that waits to be sent, or whose body is still produced.

    Its connection refers to it from the first pause, or the beginning of an upload, until all is
    sent.

    Attributes:
        is_paused: Whether bytes of the request wait for the peer.
    """

    __slots__ = ("_connection", "_transport", "_upload", "_waiter", "is_paused")

    frames_chunks = True
    """Whether a body of unknown length is framed by chunks."""

    def __init__(self, connection: PartialRequestConnection, transport: UploadTransport) -> None:
        self._connection = connection
        self._transport = transport
        # Set by the connection, and reset here.
        self.is_paused = False
        # The task that produces the body; `None` for a body in memory, and once it has ended.
        self._upload: Task[None] | None = None
        # Set at the end of the pause; `None` unless the upload waits for it.
        self._waiter: Future[None] | None = None

    # Called by the connection.

    def begin_upload(self, upload: Task[None]) -> None:
        """Set the task that produces the body, and calls `upload_ended` at its end."""
        self._upload = upload

    def resume(self) -> None:
        """Note that the kernel has taken all that was written."""
        self.is_paused = False
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._expect_peer()

    def cancel_upload(self) -> None:
        """Cancel the upload, if there is one."""
        if self._upload is not None:
            self._upload.cancel()

    # Called by the upload.

    async def write(self, content: bytes) -> None:
        """
        Send a piece of the body, and wait until the peer can take more.

        Raises:
            ConnectionAbortedError: The connection was closed, so that the rest is not needed.
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
        """Wait until the kernel has taken all that was written."""
        if not self.is_paused:
            return
        self._waiter = running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def upload_ended(self, exchange: Exchange, error: Exception | None) -> None:
        """Handle the end of the body, or the error that ended it."""
        connection = self._connection
        # Otherwise the exchange ended first, and the error is only a consequence.
        if connection.exchange is not exchange:
            return
        self._upload = None
        if error is None:
            self._expect_peer()
        else:
            connection.fail(error)

    # Private.

    def _expect_peer(self) -> None:
        """Set the next limit, after all that was written is sent; end with the request."""
        connection = self._connection
        exchange = connection.exchange
        assert exchange is not None  # a connection closes with its exchange until all is sent
        is_out = self._upload is None
        if is_out:
            connection.sending = None
            exchange.sent_at = monotonic()
        # Between two pieces of an upload, the exchange does not wait for the peer.
        connection.limit_wait(exchange, exchange.limits.read_timeout if is_out else None)


def write_with_body(transport: Transport, head: bytes, body: bytes) -> None:
    """Write a request whose body is in memory, with the cheapest number of calls."""
    if len(body) <= SHORT_BODY:
        transport.write(head + body)
    else:
        transport.write(head)
        transport.write(body)


async def send_upload(sending: PartialRequest, exchange: Exchange, upload: Upload) -> None:
    """
    Send a body piece by piece; runs in its own task, beside the wait for the response.

    So an early response ends the upload, and a time limit ends it even while the iterable yields
    nothing. An exception of the iterable becomes the exchange's. `KeyboardInterrupt` and
    `SystemExit` end the event loop instead, except on trio, where there is none.
    """
    try:
        await _send_pieces(sending, upload)
    except cancelled_class():
        raise
    except BaseException as exc:
        if ends_loop(exc):
            raise
        # It may not be an `Exception`, but without this call the exchange would never end.
        sending.upload_ended(exchange, cast("Exception", exc))
    else:
        sending.upload_ended(exchange, None)


async def _send_pieces(sending: PartialRequest, upload: Upload) -> None:
    pieces = aiter(upload.pieces)
    try:
        await _send_each(sending, pieces, upload.length)
    finally:
        # Otherwise an unfinished generator is left to the garbage collector, and trio warns of it.
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


async def _send_each(
    sending: PartialRequest, pieces: AsyncIterator[bytes], remaining: int | None
) -> None:
    async for piece in pieces:
        if remaining is None:
            await sending.write(encode_chunk(piece) if sending.frames_chunks else piece)
            continue
        remaining -= len(piece)
        if remaining < 0:
            raise InvalidRequest("the request body is longer than its Content-Length")
        await sending.write(piece)
    if remaining is None:
        await sending.write(LAST_CHUNK if sending.frames_chunks else b"")
    elif remaining:
        raise InvalidRequest("the request body is shorter than its Content-Length")
    # If there was no piece, the head may not be sent yet.
    await sending.wait_while_paused()
