"""
`ClientSession`: the state of one HTTP/2 connection (RFC 9113), over ngh2.

Sans-IO: no socket, no clock. This is the only module that knows ngh2, which is libnghttp2: that
checks frames, states and flow control. Limits of heads are checked here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import ngh2
from ngh2 import events

from asyncbatch._engine.http11 import (
    MAX_INFORMATIONAL,
    ExchangeError,
    ProtocolError,
    ResponseTooLarge,
)

from ._fields import HeadReader, head_size, trailers_of
from ._limits import (
    CONNECTION_WINDOW,
    GLITCHES,
    HARD_FIELDS,
    HARD_FIELDS_BYTES,
    INITIAL_STREAMS,
    MAX_CONTINUATIONS,
    MAX_FRAME,
    MAX_QUEUED_ACKS,
    MAX_SETTINGS,
    STREAM_WINDOW,
    ErrorCode,
    code_name,
)
from ._owner import SessionOwner

_CONFIGURATION = ngh2.Configuration(
    auto_window_update=False,
    max_outbound_ack=MAX_QUEUED_ACKS,
    max_settings=MAX_SETTINGS,
    max_continuations=MAX_CONTINUATIONS,
    glitch_rate_limit=GLITCHES,
    max_inbound_header_list_size=HARD_FIELDS_BYTES,
    max_inbound_header_count=HARD_FIELDS,
    max_reserved_remote_streams=0,
)
_SETTINGS = {
    ngh2.Setting.ENABLE_PUSH: 0,
    ngh2.Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    ngh2.Setting.MAX_FRAME_SIZE: MAX_FRAME,
    ngh2.Setting.MAX_HEADER_LIST_SIZE: HARD_FIELDS_BYTES,
}
_MAX_STREAMS = int(ngh2.Setting.MAX_CONCURRENT_STREAMS)
_UNLIMITED = 1 << 20


class ClientSession:
    """
    One connection to a server: requests in, bytes out; bytes in, calls of its owner out.

    Whenever a method was called, `take_outgoing` may have something to send.

    Args:
        owner: Handles the events.

    Attributes:
        max_streams: How many streams the server allows at a time.
        has_settings: Whether the server has said so.
        is_leaving: Whether no more streams can be opened.
        requires_http11: Whether the server leaves because it requires HTTP/1.1.
        is_over: Whether the session has ended.
    """

    __slots__ = (
        "_connection",
        "_handlers",
        "_heads",
        "_informational",
        "_live",
        "_owner",
        "has_settings",
        "is_leaving",
        "is_over",
        "max_streams",
        "requires_http11",
    )

    def __init__(self, owner: SessionOwner) -> None:
        self._owner = owner
        self._connection = ngh2.Connection(ngh2.Role.CLIENT, _CONFIGURATION)
        self._connection.initiate_connection(_SETTINGS)
        self._connection.set_local_window_size(CONNECTION_WINDOW)
        self._heads = HeadReader()
        # How many informational responses a stream had, and their size; only of streams with one.
        self._informational: dict[int, tuple[int, int]] = {}
        # Streams that the owner hears of: those that it has opened, until they are reset or closed;
        # and whether their final head was told.
        self._live: dict[int, bool] = {}
        self.max_streams = INITIAL_STREAMS
        self.has_settings = False
        self.is_leaving = False
        self.requires_http11 = False
        self.is_over = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.ResponseReceived: self._head,
            events.DataReceived: self._content,
            events.StreamClosed: self._closed,
            events.TrailersReceived: self._trailers,
            events.StreamReset: self._stream_reset,
            events.InformationalResponseReceived: self._inform,
            events.SettingsReceived: self._settings,
            events.GoAwayReceived: self._goaway,
            events.ConnectionClosed: self._connection_closed,
        }

    # Requests.

    def open_stream(self, fields: Iterable[tuple[bytes, bytes]], *, is_end: bool) -> int:
        """
        Open a stream by the head of a request, and return its number.

        Args:
            fields: Those of the head, pseudo-header fields first.
            is_end: Whether there is no body.

        Raises:
            ProtocolError: The server is leaving, or the connection has used all numbers.
        """
        try:
            stream = self._connection.send_request(fields, end_stream=is_end)
        except ngh2.NGH2Error as exc:
            self.is_leaving = True
            raise ProtocolError(str(exc)) from exc
        self._live[stream] = False
        return stream

    def send_body(self, stream: int, content: bytes, *, is_end: bool) -> None:
        """Queue bytes of a body; the server's windows decide when they are sent."""
        self._try(self._connection.send_data, stream, content, end_stream=is_end)

    def end_body(self, stream: int) -> None:
        """End a body after all bytes that are queued."""
        self._try(self._connection.end_stream, stream)

    def unsent(self, stream: int) -> int:
        """Return the number of queued bytes of a body."""
        return self._connection.queued_body_size(stream)

    def reset_stream(self, stream: int, code: int = ErrorCode.CANCEL) -> None:
        """Give up a stream; the owner hears no more of it."""
        self._live.pop(stream, None)
        self._try(self._connection.reset_stream, stream, int(code))

    def consume(self, stream: int, size: int) -> None:
        """Give back the window of bytes that were taken, or will not be."""
        try:
            self._connection.acknowledge_received_data(size, stream)
        except (ngh2.NGH2Error, ValueError):
            return  # the connection has ended, or the stream is unknown by now

    def widen(self, stream: int, window: int) -> None:
        """Let the server send more on a stream before it is taken."""
        self._try(self._connection.set_local_window_size, window, stream_id=stream)

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self._try(self._connection.ping)

    def stop(self) -> None:
        """Call the owner no more."""
        self.is_over = True

    # Bytes.

    def receive(self, content: bytes | memoryview) -> None:
        """Handle received bytes."""
        error: Exception | None = None
        try:
            self._connection.receive_data(content)
        except ngh2.NGH2Error as exc:
            error = exc
        self._tell()
        if error is not None:
            self._fail(ProtocolError(f"the server broke the rules of HTTP/2: {error}"))

    def take_outgoing(self, limit: int) -> bytes:
        """Return bytes to send, `limit` of them at most."""
        try:
            content = self._connection.data_to_send(limit)
        except ngh2.NGH2Error as exc:
            self._fail(ProtocolError(f"the session cannot go on: {exc}"))
            return b""
        self._tell()
        return content

    # Private.

    def _try(self, call: Callable[..., object], *args: object, **options: object) -> None:
        """Call ngh2, unless the stream or the connection has ended meanwhile."""
        with contextlib.suppress(ngh2.NGH2Error, ValueError):
            call(*args, **options)

    def _tell(self) -> None:
        handlers = self._handlers
        for event in self._connection.events():
            if self.is_over:
                return
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)

    def _fail(self, error: ExchangeError) -> None:
        if not self.is_over:
            self.is_over = self.is_leaving = True
            self._owner.session_ended(error)

    def _head(self, event: events.ResponseReceived) -> None:
        stream = event.stream_id
        if stream not in self._live:
            return
        fields = event.headers
        try:
            head = self._heads.read(fields)
            if self._informational and stream in self._informational:
                head_size(fields, self._informational[stream][1])
        except ExchangeError as exc:
            self._refuse(stream, exc)
            return
        self._live[stream] = True
        self._owner.head_received(stream, head, is_end=event.end_stream)

    def _content(self, event: events.DataReceived) -> None:
        stream, content = event.stream_id, event.data
        has_begun = self._live.get(stream)
        if has_begun is None:
            self.consume(stream, len(content))
            return
        if not has_begun:
            # nghttp2 takes DATA without content after an informational response.
            self.consume(stream, len(content))
            self._refuse(stream, ProtocolError("a body before the head of the response"))
            return
        self._owner.content_received(stream, content, is_end=event.end_stream)

    def _trailers(self, event: events.TrailersReceived) -> None:
        # nghttp2 takes fields for trailers only after the head of the response.
        if event.stream_id not in self._live:
            return
        try:
            fields = trailers_of(event.headers)
        except ExchangeError as exc:
            self._refuse(event.stream_id, exc)
            return
        self._owner.trailers_received(event.stream_id, fields)

    def _inform(self, event: events.InformationalResponseReceived) -> None:
        stream = event.stream_id
        if stream not in self._live:
            return
        count, size = self._informational.get(stream, (0, 0))
        try:
            if count == MAX_INFORMATIONAL:
                raise ResponseTooLarge(
                    f"more than {MAX_INFORMATIONAL} informational responses",
                    limit=MAX_INFORMATIONAL,
                )
            self._informational[stream] = count + 1, head_size(event.headers, size)
            self._owner.informational_received(stream)
        except ExchangeError as exc:
            self._refuse(stream, exc)

    def _refuse(self, stream: int, error: ExchangeError) -> None:
        self.reset_stream(stream, ErrorCode.PROTOCOL_ERROR)
        self._owner.stream_failed(stream, error)

    def _stream_reset(self, event: events.StreamReset) -> None:
        stream = event.stream_id
        if self._live.pop(stream, None) is None:
            return
        if event.error_code == ErrorCode.REFUSED_STREAM:
            self._owner.stream_refused(stream)
        else:
            self._owner.stream_reset(stream, event.error_code)

    def _closed(self, event: events.StreamClosed) -> None:
        # After all other events of the stream.
        stream = event.stream_id
        if self._informational:
            self._informational.pop(stream, None)
        if self._live.pop(stream, None) is None:
            return
        code = event.error_code
        if not code:  # `ErrorCode.NO_ERROR`
            return  # the owner has heard of the end
        if code == ErrorCode.REFUSED_STREAM:
            self._owner.stream_refused(stream)
        else:
            error = ProtocolError(f"malformed HTTP/2 response ({code_name(code)})")
            self._owner.stream_failed(stream, error)

    def _settings(self, event: events.SettingsReceived) -> None:
        # Without a value it is as it was, and unlimited at first (RFC 9113 §6.5.2).
        before = self.max_streams if self.has_settings else _UNLIMITED
        self.has_settings = True
        self.max_streams = event.settings.get(_MAX_STREAMS, before)
        self._owner.settings_changed()

    def _goaway(self, event: events.GoAwayReceived) -> None:
        self.is_leaving = True
        self.requires_http11 |= event.error_code == ErrorCode.HTTP_1_1_REQUIRED
        self._owner.server_leaves()

    def _connection_closed(self, event: events.ConnectionClosed) -> None:
        debug = event.debug_data[:80].decode("latin-1")
        reason = f"{code_name(event.error_code)} {debug}".strip()
        self._fail(ProtocolError(f"the HTTP/2 connection ended: {reason}"))
