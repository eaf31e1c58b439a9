"""
`SessionWriter`: opens the streams of requests, and writes what an HTTP/2 session has to send, as
the kernel and the server take it.

It knows no pool and receives nothing. The connection decides when it writes.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from asyncbatch._engine._exchange import Exchange, Origin, Upload
from asyncbatch._engine.connection._proxied import ProxiedRequests
from asyncbatch._engine.connection._signs_of_life import SignsOfLife
from asyncbatch._engine.connection._stream import Stream
from asyncbatch._engine.http2 import RequestTranslator, unchunked
from asyncbatch._engine.io._transport import Transport

if TYPE_CHECKING:
    from asyncbatch._engine.http2._session import ClientSession

PIECE = 256 * 1024
"""Most bytes that are written at once, so that no second copy of a large upload exists."""


class SessionWriter:
    """
    Writes requests, their bodies, and everything else that a session has to send.

    Args:
        session: The session.
        transport: Sends the bytes.
        signs: Are told when a request was written.
        origin: The origin of the requests.

    Attributes:
        unsent: The streams whose head is not written.
        uploads: The streams whose body is not all written, by number.
        is_stopped: Whether nothing more is written.
    """

    __slots__ = (
        "_is_paused",
        "_proxied",
        "_session",
        "_signs",
        "_translator",
        "_transport",
        "is_stopped",
        "unsent",
        "uploads",
    )

    def __init__(
        self, session: ClientSession, transport: Transport, signs: SignsOfLife, origin: Origin
    ) -> None:
        # `None` once stopped, as `_transport` and `_translator`.
        self._session: ClientSession = session
        self._transport: Transport = transport
        self.unsent: list[Stream] = []
        self.uploads: dict[int, Stream] = {}
        self._signs = signs
        self._translator: RequestTranslator = RequestTranslator(is_tls=origin.is_tls)
        # Removes credentials for a proxy from requests; `None` without one.
        self._proxied = None if origin.route is None else ProxiedRequests(origin, origin.route)
        self.is_stopped = False
        self._is_paused = False

    def open(self, stream: Stream, exchange: Exchange) -> None:
        """
        Queue the head of a request, and its body if that is in memory.

        Raises:
            InvalidRequest: It cannot be sent over HTTP/2.
            ProtocolError: No more streams can be opened.
        """
        payload, body = exchange.payload, exchange.body
        if self._proxied is not None:
            payload = self._proxied.rewrite(payload)
        fields, content, is_chunked = self._translator.translate(payload)
        if body is not None and not isinstance(body, Upload):
            content = unchunked(body) if is_chunked else body
        has_body = bool(content) or isinstance(body, Upload)
        stream.number = number = self._session.open_stream(fields, is_end=not has_body)
        if has_body:
            self.uploads[number] = stream
        if content:
            self._session.send_body(number, content, is_end=True)

    def send_body(self, stream: Stream, content: bytes, *, is_end: bool) -> int:
        """Send bytes of a body; return how many of its bytes wait for the server."""
        session, number = self._session, stream.number
        if is_end and not content:
            session.end_body(number)
        else:
            session.send_body(number, content, is_end=is_end)
        self.uploads[number] = stream
        self.flush()
        return 0 if self.is_stopped else session.unsent(number)

    def consume(self, stream: Stream, size: int) -> None:
        """Let the server send as many bytes as the reader of a stream has taken."""
        if not self.is_stopped:
            self._session.consume(stream.number, size)
            self.flush()

    def widen(self, stream: Stream, window: int) -> None:
        """Let the server send more before it is taken."""
        self._session.widen(stream.number, window)

    def flush(self) -> None:
        """Write what the session has, as long as the kernel takes it."""
        while not (self._is_paused or self.is_stopped):
            content = self._session.take_outgoing(PIECE)
            if not content or self.is_stopped:
                break
            self._transport.write(content)
        if self.is_stopped or not (self.unsent or self.uploads):
            return
        now = monotonic()
        if self.unsent:
            self._note_sent(now)
        for number, stream in list(self.uploads.items()):
            if stream.sent(self._session.unsent(number), now):
                self.uploads.pop(number, None)

    def write_last(self) -> None:
        """Write what tells the server why the session has ended."""
        if not (self._is_paused or self.is_stopped):
            self._transport.write(self._session.take_outgoing(PIECE))

    def pause(self) -> None:
        """Write no more for now: what waits stays in the session, which bounds it."""
        self._is_paused = True

    def resume(self) -> None:
        """Write on."""
        self._is_paused = False
        self.flush()

    def stop(self) -> None:
        """Write nothing more, and drop everything."""
        self.is_stopped = True
        self._session = self._transport = self._translator = None  # type: ignore[assignment]
        self.unsent, self.uploads = [], {}

    def _note_sent(self, now: float) -> None:
        unsent, self.unsent = self.unsent, []
        if not self._signs.asked_at:
            self._signs.asked_at = now
        for stream in unsent:
            exchange = stream.exchange
            if exchange is None:
                continue
            if stream.number not in self.uploads:
                exchange.sent_at = now
                if exchange.limits.read_timeout is not None:
                    stream.limit_wait(exchange, exchange.limits.read_timeout)
            if exchange.observer is not None:
                exchange.observer("sent", {"protocol": "http2"})
