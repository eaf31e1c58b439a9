"""
`Stream`: one exchange on a connection that it shares with others, until it ends.

To the code that began the exchange it is the connection.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Protocol

from asyncbatch._engine._exchange import NEVER, Exchange
from asyncbatch._engine._minimum_rate import ReceivedRate
from asyncbatch._engine.connection._partial_request import PartialRequest
from asyncbatch._engine.connection._time_limits import give_more_time, passed_limit, take_out
from asyncbatch._engine.http2 import LONG_WINDOW, STREAM_WINDOW
from asyncbatch._engine.http11 import (
    ExchangeError,
    GrowingBody,
    ResponseHead,
    ResponseTooLarge,
    UnjoinedBody,
    body_too_large,
    longest_transfer,
)


class StreamWriter(Protocol):
    """What a stream calls to send something."""

    def send_body(self, stream: Stream, content: bytes, *, is_end: bool) -> int:
        """Send bytes of a body; return how many of its bytes wait for the server."""
        ...

    def consume(self, stream: Stream, size: int) -> None:
        """Let the server send as many bytes as the reader has taken."""
        ...

    def widen(self, stream: Stream, window: int) -> None:
        """Let the server send more before it is taken."""
        ...


class StreamConnection(Protocol):
    """The connection, for a stream."""

    response_builder: Any

    @property
    def writer(self) -> StreamWriter:
        """Sends for all streams."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it serves no further exchange."""
        ...

    def give_up_stream(self, stream: Stream, error: Exception) -> None:
        """Reset a stream, and fail its exchange."""
        ...

    def abandon_stream(self, stream: Stream) -> None:
        """Reset a stream whose exchange was abandoned."""
        ...

    def watch_deadline(self, deadline: float) -> None:
        """Call `expire` of the stream soon after `deadline`."""
        ...

    def get_extra_info(self, name: str) -> object:
        """Return what asyncio's transports return."""
        ...


class Stream:
    """
    The state of one exchange on a connection.

    Args:
        connection: The connection.
        exchange: The exchange.

    Attributes:
        number: The number of the stream, once it is open.
        exchange: The exchange; `None` after its end.
        deadline: When `expire` must be called.
        head: The head of the response, once it has arrived.
        sending: The upload in progress, if there is one.
        unsent: How many bytes of a body in memory wait for the server.
        untaken: How many bytes of a streamed body its reader has not taken.
        has_rest: Whether a piece of the body has come before the last one.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_is_wide",
        "_longest",
        "_rate",
        "_received",
        "deadline",
        "exchange",
        "has_rest",
        "head",
        "number",
        "sending",
        "unsent",
        "untaken",
    )

    def __init__(self, connection: StreamConnection, exchange: Exchange) -> None:
        self._connection = connection
        self.exchange: Exchange | None = exchange
        self.number = 0
        self.deadline = NEVER
        self.head: ResponseHead | None = None
        self.sending: PartialRequest | None = None
        self.unsent = 0
        self.untaken = 0
        self.has_rest = False
        # The part of the body that has arrived and was not taken; `None` before the first piece.
        self._body: GrowingBody | None = None
        self._received = 0
        self._longest = 0
        self._is_wide = False
        # Set with `ExchangeLimits.minimum_rate`, while bytes must come at that rate.
        self._rate: ReceivedRate | None = None

    # Called by the code that began the exchange.

    @property
    def response_builder(self) -> Any:
        """The builder of the connection."""
        return self._connection.response_builder

    @response_builder.setter
    def response_builder(self, builder: Any) -> None:
        self._connection.response_builder = builder

    @property
    def is_closed(self) -> bool:
        """Whether the exchange has ended."""
        return self.exchange is None or self._connection.is_closed

    def abandon(self) -> None:
        """Reset the stream, since the exchange was abandoned."""
        self._connection.abandon_stream(self)

    def lend_body(self) -> None:
        """Do nothing: frames are received elsewhere and copied."""

    def refill(self) -> None:
        """Return nothing, as there is one socket for many bodies."""

    def take_body(self) -> bytes:
        """Return the received bytes of a streamed body, and let the server send as many more."""
        if self._body is None or not self._body.size:
            return b""
        content = self._body.take()
        untaken, self.untaken = self.untaken, 0
        self._connection.writer.consume(self, untaken)
        return content

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Fail the exchange at its deadline, or after waiting `limit` seconds for the server."""
        deadline = exchange.deadline
        if limit is not None:
            deadline = min(deadline, monotonic() + limit)
        if self._rate is not None:
            deadline = min(deadline, self._rate.too_slow_at)
        self.deadline = deadline
        self._connection.watch_deadline(deadline)

    def get_extra_info(self, name: str) -> object:
        """Ask the connection."""
        return self._connection.get_extra_info(name)

    # Called by the upload.

    def write(self, content: bytes) -> None:
        """Send a piece of the body; pause the upload until the server has taken it."""
        if content and self.exchange is not None:
            self._send(content, is_end=False)

    def end_body(self) -> None:
        """End the body."""
        if self.exchange is not None:
            self._send(b"", is_end=True)

    def _send(self, content: bytes, *, is_end: bool) -> None:
        self.unsent = self._connection.writer.send_body(self, content, is_end=is_end)
        if self.sending is not None:
            self.sending.is_paused = self.unsent > 0

    def fail(self, error: Exception) -> None:
        """Fail the exchange by an error of its upload."""
        self._connection.give_up_stream(self, error)

    # Called by the connection.

    def sent(self, unsent: int, now: float) -> bool:
        """Note how much of the request waits for the server; return whether all is sent."""
        exchange = self.exchange
        if exchange is None:
            return True
        before, self.unsent = self.unsent, unsent
        sending, limits = self.sending, exchange.limits
        if unsent:
            if unsent != before:
                self.limit_wait(exchange, limits.write_timeout)
            return False
        if sending is not None:
            if sending.is_paused:
                sending.resume()
            return self.sending is None
        if not exchange.sent_at:
            exchange.sent_at = now
            self.limit_wait(exchange, limits.read_timeout)
        return True

    def begin_body(self, head: ResponseHead) -> ResponseTooLarge | None:
        """Note the head of a response with a body; return the error if that is too long."""
        exchange = self.exchange
        assert exchange is not None
        self.head = head
        limits = exchange.limits
        longest = limits.max_body
        if head.is_coded:
            longest = longest_transfer(longest)
        self._longest = longest
        if head.length > longest:
            return body_too_large(limits.max_body)
        if limits.max_redirect_body is not None and self._is_long_redirect(head.length):
            return self._too_long_redirect()
        if limits.streams:
            # The reader sets the next limit.
            self.deadline = exchange.deadline
            exchange.head = head
            exchange.settle()
            return None
        if head.length > STREAM_WINDOW:
            self._widen()
        if limits.minimum_rate is not None:
            self._count_towards_rate(limits.minimum_rate, 0, exchange.first_byte_at)
        if limits.read_timeout is not None or self._rate is not None:
            self.limit_wait(exchange, limits.read_timeout)
        return None

    def add(self, content: bytes, now: float) -> ResponseTooLarge | None:
        """Keep a piece of the body, which is not the last; return the error if it is too long."""
        exchange = self.exchange
        assert exchange is not None
        error = self.count(content)
        if error is not None:
            return error
        if self._body is None:
            self._body = GrowingBody()
            self.has_rest = True
        self._body.add(content)
        limits = exchange.limits
        if limits.streams:
            self.untaken += len(content)
            exchange.settle()
            return None
        if limits.max_redirect_body is not None and self._is_long_redirect(self._received):
            return self._too_long_redirect()
        if self._received > STREAM_WINDOW and not self._is_wide:
            self._widen()
        if limits.minimum_rate is not None:
            self._count_towards_rate(limits.minimum_rate, len(content), now)
        if limits.read_timeout is not None or self._rate is not None:
            self.limit_wait(exchange, limits.read_timeout)
        return None

    def count(self, content: bytes) -> ResponseTooLarge | None:
        """Count a piece of the body; return the error if the body is too long."""
        self._received += len(content)
        if self._received <= self._longest:
            return None
        assert self.exchange is not None
        return body_too_large(self.exchange.limits.max_body)

    def take_rest(self, last: bytes = b"") -> bytes | UnjoinedBody:
        """Return the rest of the body; a large one may still have to be joined."""
        body = self._body
        if body is None:
            return last
        if last:
            body.add(last)
        assert self.exchange is not None
        return body.take() if self.exchange.limits.streams else body.take_whole()

    def passed_limit(self, now: float) -> ExchangeError:
        """Return the error of the time limit that has passed: total, rate, or a wait."""
        exchange = self.exchange
        assert exchange is not None
        too_slow_at = NEVER if self._rate is None else self._rate.too_slow_at
        waits = self.unsent > 0
        return passed_limit(exchange, now, too_slow_at=too_slow_at, waits_to_send=waits)

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the exchange."""
        if take_out(self, seconds, before) and self._rate is not None:
            self._rate.take_out(seconds)

    def give_more_time(self, seconds: float) -> None:
        """Extend every limit of the exchange."""
        give_more_time(self, seconds)

    # Private.

    def _widen(self) -> None:
        self._is_wide = True
        self._connection.writer.widen(self, LONG_WINDOW)

    def _count_towards_rate(self, rate: float, size: int, now: float) -> None:
        if self._rate is None:
            self._rate = ReceivedRate(rate, now)
        self._rate.add(size, now)

    def _is_long_redirect(self, size: int) -> bool:
        assert self.exchange is not None
        limit = self.exchange.limits.max_redirect_body
        if limit is None or size <= limit:
            return False
        return self.head is not None and self.head.is_redirect

    def _too_long_redirect(self) -> ResponseTooLarge:
        assert self.exchange is not None
        limit = self.exchange.limits.max_redirect_body or 0
        return ResponseTooLarge(f"the redirect's body is larger than {limit} bytes", limit=limit)


class StreamUpload(PartialRequest):
    """An upload on a stream: HTTP/2 frames its pieces, and its end."""

    __slots__ = ("_stream",)

    frames_chunks = False

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream, stream)
        self._stream = stream

    def upload_ended(self, exchange: Exchange, error: Exception | None) -> None:
        """End the body, or fail the exchange."""
        if error is None and self._stream.exchange is exchange:
            self._stream.end_body()
        super().upload_ended(exchange, error)
