"""
`SessionEvents`: the events of an HTTP/2 session, applied to the exchanges that they are about.

It knows no pool and writes nothing: the connection ends exchanges, and starts them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from asyncbatch._engine._exchange import Exchange
from asyncbatch._engine.connection._stream import Stream
from asyncbatch._engine.http2 import ErrorCode, code_name
from asyncbatch._engine.http11 import ExchangeError, ResponseHead, TruncatedResponse

if TYPE_CHECKING:
    from asyncbatch._engine.http2._session import ClientSession


class EventsConnection(Protocol):
    """The connection, for its `SessionEvents`."""

    def complete(
        self, stream: Stream, last: bytes, trailers: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        """End an exchange with its whole response, and start the one that follows it."""
        ...

    def give_up_stream(self, stream: Stream, error: Exception) -> None:
        """Reset a stream, and fail its exchange."""
        ...

    def goes_over_http11(self, stream: Stream, exchange: Exchange) -> bool:
        """Use HTTP/1.1 for this origin; return whether a stream that was reset is sent again."""
        ...

    def settings_changed(self) -> None:
        """Note how many streams the server allows."""
        ...

    def server_leaves(self) -> None:
        """Open no more streams; those that are open go on."""
        ...

    def server_refuses(self) -> None:
        """Start the refused requests elsewhere, after the bytes at hand or this turn."""
        ...

    def session_ended(self, error: ExchangeError) -> None:
        """Send what tells the server why, and fail all exchanges."""
        ...


class SessionEvents:
    """
    The `SessionOwner` of one connection: applies the events of its session.

    Args:
        connection: The connection.
        streams: Its open streams, by number.

    Attributes:
        session: The session.
        refused: Streams that the server has refused, and whose requests are to start elsewhere.
        now: When the bytes at hand have arrived.
    """

    __slots__ = ("_connection", "_streams", "now", "refused", "session")

    def __init__(self, connection: EventsConnection, streams: dict[int, Stream]) -> None:
        # `None` once closed, as `session`.
        self._connection: EventsConnection = connection
        self._streams = streams
        self.session: ClientSession = None  # type: ignore[assignment]  # made with this object
        self.refused: list[Stream] = []
        self.now = 0.0

    def informational_received(self, stream: int) -> None:
        """Note that the server has answered something."""
        found = self._streams.get(stream)
        if found is not None and found.exchange is not None:
            self._note_first_byte(found.exchange)

    def head_received(self, stream: int, head: ResponseHead, *, is_end: bool) -> None:
        """Handle the head of the final response."""
        found = self._streams.get(stream)
        if found is None or found.exchange is None:
            return
        if not found.exchange.first_byte_at:  # as in `_note_first_byte`, without its call
            found.exchange.first_byte_at = self.now
        if is_end:
            found.head = head
            self._connection.complete(found, b"", ())
            return
        error = found.begin_body(head)
        if error is not None:
            self._connection.give_up_stream(found, error)

    def content_received(self, stream: int, content: bytes, *, is_end: bool) -> None:
        """Handle bytes of the body."""
        found = self._streams.get(stream)
        if found is None or found.exchange is None:
            self.session.consume(stream, len(content))
            return
        if is_end:
            self.session.consume(stream, len(content))
            error = found.count(content)
            if error is None:
                self._connection.complete(found, content, ())
        else:
            if not found.exchange.limits.streams:
                self.session.consume(stream, len(content))
            try:
                error = found.add(content, self.now)
            except MemoryError as exc:  # only this body is too large for it
                self._connection.give_up_stream(found, exc)
                return
        if error is not None:
            self._connection.give_up_stream(found, error)

    def trailers_received(self, stream: int, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Handle the trailers, which end the response."""
        found = self._streams.get(stream)
        if found is not None:
            self._connection.complete(found, b"", fields)

    def stream_reset(self, stream: int, code: int) -> None:
        """Handle that the server has ended a stream."""
        found = self._streams.get(stream)
        if found is None or found.exchange is None:
            return
        requires_http11 = code == ErrorCode.HTTP_1_1_REQUIRED
        if requires_http11 and self._connection.goes_over_http11(found, found.exchange):
            self.refused.append(found)
            return
        self._note_first_byte(found.exchange)
        where = "" if found.head is None else " inside the body"
        error = TruncatedResponse(
            f"the server reset the stream{where}: {code_name(code)}", received=True
        )
        self._connection.give_up_stream(found, error)

    def stream_refused(self, stream: int) -> None:
        """Note that the server has not processed a request."""
        found = self._streams.get(stream)
        if found is not None:
            self.refused.append(found)
            self._connection.server_refuses()

    def stream_failed(self, stream: int, error: ExchangeError) -> None:
        """Fail the exchange of a response that is not valid, or too large."""
        found = self._streams.get(stream)
        if found is not None and found.exchange is not None:
            self._note_first_byte(found.exchange)
            self._connection.give_up_stream(found, error)

    def settings_changed(self) -> None:
        """Tell the connection."""
        self._connection.settings_changed()

    def server_leaves(self) -> None:
        """Tell the connection."""
        self._connection.server_leaves()

    def session_ended(self, error: ExchangeError) -> None:
        """Tell the connection."""
        self._connection.session_ended(error)

    def take_refused(self) -> list[Stream]:
        """Return the refused streams once, the oldest first."""
        refused, self.refused = self.refused, []
        return sorted(refused, key=lambda stream: stream.number)

    def stop(self) -> None:
        """Refer to nothing more: the connection is closed, and results refer to it."""
        self._connection = self.session = None  # type: ignore[assignment]

    def _note_first_byte(self, exchange: Exchange) -> None:
        if not exchange.first_byte_at:
            exchange.first_byte_at = self.now
