"""
`MultiplexedConnection`: several exchanges at a time on one HTTP/2 connection.

It moves bytes between a transport and the sans-IO session, starts and ends the streams of its
exchanges, and tells the pool when there is room for another one. What arrives on a stream is the
matter of `SessionEvents`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from asyncbatch._engine._errors import EngineClosed
from asyncbatch._engine._exchange import NEVER, Exchange, Origin, Upload
from asyncbatch._engine.connection._partial_request import send_upload
from asyncbatch._engine.connection._pooled import MAX_AGE, SharingPool
from asyncbatch._engine.connection._resend import (
    begin_again,
    may_send_again,
    may_send_over_http11,
    send_refused_again,
)
from asyncbatch._engine.connection._session_events import SessionEvents
from asyncbatch._engine.connection._session_writer import SessionWriter
from asyncbatch._engine.connection._signs_of_life import SignsOfLife
from asyncbatch._engine.connection._stream import Stream, StreamUpload
from asyncbatch._engine.connection._stream_limit import StreamLimit
from asyncbatch._engine.http2 import ErrorCode, new_session
from asyncbatch._engine.http11 import (
    ExchangeError,
    InvalidRequest,
    ProtocolError,
    TruncatedResponse,
)
from asyncbatch._engine.io._deadlines import Deadlines
from asyncbatch._engine.io._outbox import WORTH_WAITING, Outbox
from asyncbatch._engine.io._readiness import Poll, never
from asyncbatch._engine.io._transport import Transport

if TYPE_CHECKING:
    from asyncbatch._engine.http2._session import ClientSession


class MultiplexedConnection:
    """
    An HTTP/2 connection to one origin.

    Args:
        pool: The pool that it belongs to.
        origin: The origin at the other end.
        transport: Moves the bytes; the caller still has to call `deliver_to` on it.
        deadlines: Calls the pool when a limit of an exchange has passed.
        outbox: Sends at the end of the turn what is delayed until then.
    """

    __slots__ = (
        "_deadlines",
        "_events",
        "_has_changed",
        "_is_receiving",
        "_is_scheduled",
        "_limit",
        "_outbox",
        "_pool",
        "_session",
        "_signs",
        "_ssl_object",
        "_streams",
        "_transport",
        "deadline",
        "early_end",
        "is_closed",
        "origin",
        "origin_pool",
        "poll",
        "response_builder",
        "retire_at",
        "served",
        "writer",
    )

    is_shared = True

    exchange: Exchange | None = None
    """Always `None`: what an exchange refers to while it runs is its `Stream`."""

    def __init__(
        self,
        pool: SharingPool,
        origin: Origin,
        transport: Transport,
        deadlines: Deadlines,
        outbox: Outbox,
    ) -> None:
        self._pool = pool
        self.origin = origin
        self._deadlines = deadlines
        self._outbox = outbox
        # `None` once closed, as `_session`.
        self._transport: Transport = transport
        # The streams that are open, by number.
        self._streams: dict[int, Stream] = {}
        self._events = SessionEvents(self, self._streams)
        self._session: ClientSession = new_session(self._events)
        self._events.session = self._session
        self._ssl_object: object = None
        self._signs = SignsOfLife()
        self.writer = SessionWriter(self._session, transport, self._signs, origin)
        self._limit = StreamLimit(self._session.max_streams)
        # Bytes may arrive at any time, so none make an idle connection unusable.
        self.poll: Poll = never
        self.origin_pool: Any = None
        self.response_builder: Any = None
        self.deadline = NEVER
        self.retire_at = monotonic() + MAX_AGE
        self.served = False
        self.early_end: Exception | None = None
        self.is_closed = False
        self._is_receiving = False
        self._is_scheduled = False
        # Whether the pool must be told of a change.
        self._has_changed = False

    # Called by the transport.

    def received(self, content: bytes | memoryview) -> None:
        """Handle received bytes."""
        self._events.now = monotonic()
        if self._signs.heard():
            self._has_changed = True
        self._is_receiving = True
        try:
            self._session.receive(content)
            if self._events.refused:
                self._send_refused_again()
            if self._has_changed:
                self._tell_pool()
        except MemoryError as error:
            if self.origin_pool is None:
                raise  # the pool does not know it yet, and closes its transport
            # Not left to the transport: what it has interrupted may have been to hand an exchange
            # on, which only the pool can end.
            self._pool.break_down(error)
            return
        finally:
            self._is_receiving = False
        self.writer.flush()

    def eof_received(self) -> None:
        """Handle the end of the server's bytes."""
        self._bytes_ended(None)

    def cut_off(self, error: Exception | None) -> None:
        """Handle an end of the bytes that may not come from the server."""
        self._bytes_ended(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        self._bytes_ended(exc)

    def pause_writing(self) -> None:
        """Write no more for now."""
        self.writer.pause()

    def resume_writing(self) -> None:
        """Write on."""
        self.writer.resume()

    # Called by the pool.

    @property
    def has_room(self) -> bool:
        """Whether it takes another exchange now."""
        return not self._signs.doubted_at and self._limit.has_room(len(self._streams))

    @property
    def is_used(self) -> bool:
        """Whether it has an exchange, or waits for a sign of life."""
        return bool(self._streams or self._signs.doubted_at)

    @property
    def most_exchanges(self) -> int | None:
        """How many exchanges the server allows at a time; `None` before it has said so."""
        return self._session.max_streams if self._session.has_settings else None

    def start(self, exchange: Exchange, now: float, is_good: bool = True) -> None:
        """Send a request, now or with others at the end of this turn."""
        stream = Stream(self, exchange)
        exchange.connection = stream
        exchange.is_reused = self.served or bool(self._streams)
        exchange.send_at = now
        try:
            self._open(stream, exchange)
        except InvalidRequest as error:
            self._drop(stream)
            self._schedule()
            exchange.fail(error, now)
            return
        except ProtocolError:
            self._drop(stream)
            self._take_no_more()
            begin_again(exchange, self._pool)
            return
        if exchange.deadline < self.deadline:
            self.watch_deadline(exchange.deadline)
        stream.deadline = exchange.deadline
        self.writer.unsent.append(stream)
        if not (self._is_receiving or self._is_scheduled):
            self._write_soon()

    def send_request(self) -> None:
        """Write what was delayed to the end of the turn."""
        self._is_scheduled = False
        if self.is_closed:
            return
        self.writer.flush()
        if self._has_changed:
            self._events.now = monotonic()
            if self._events.refused:
                self._send_refused_again()
            self._tell_pool()

    def expire(self, now: float) -> None:
        """Fail the exchanges of which a limit has passed."""
        if self._signs.are_overdue(now):
            self._take_no_more()
        self._events.now = now
        for stream in list(self._streams.values()):
            if stream.deadline <= now:
                self.give_up_stream(stream, stream.passed_limit(now))
        self._find_deadline()

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of its exchanges."""
        for stream in self._streams.values():
            stream.take_out(seconds, before)
        self._signs.take_out(seconds)
        self._find_deadline()

    def give_more_time(self, seconds: float) -> None:
        """Extend every limit of its exchanges."""
        for stream in self._streams.values():
            stream.give_more_time(seconds)
        self._find_deadline()

    def retire(self) -> None:
        """Take no more exchanges, and close after the last one."""
        self._take_no_more()
        if not self._streams:
            self.close()

    def fail(self, error: Exception) -> None:
        """Close, and fail all exchanges."""

        def error_of(_: Stream) -> Exception:
            return _again(error)

        self._end_all(error, error_of)

    def close(self) -> None:
        """Close at once, without waiting; all exchanges must have ended."""
        if self.is_closed:
            return
        self.is_closed = self._limit.is_leaving = True
        self.deadline = NEVER
        try:
            self._pool.forget(self)
            self._session.stop()
            self.writer.stop()
            self._ssl_object = self._transport.get_extra_info("ssl_object")
        finally:
            self._transport.abort()
        # Results refer to their connections.
        self._transport = self._session = None  # type: ignore[assignment]
        self._events.stop()
        self.response_builder = self.origin_pool = None

    # Called by an ended exchange, which then refers to this object.

    def get_extra_info(self, name: str) -> object:
        """Ask the transport; once closed, return what was kept of it."""
        if self.is_closed:
            return self._ssl_object if name == "ssl_object" else None
        return self._transport.get_extra_info(name)

    # Called by a stream.

    def give_up_stream(self, stream: Stream, error: Exception) -> None:
        """Reset a stream, and fail its exchange."""
        exchange = stream.exchange
        assert exchange is not None
        exchange.head = stream.head
        if exchange.limits.streams:
            exchange.content = stream.take_rest()
        self._reset_stream(stream)
        exchange.fail(error, monotonic())

    def abandon_stream(self, stream: Stream) -> None:
        """Reset a stream whose exchange was abandoned."""
        self._reset_stream(stream)

    def watch_deadline(self, deadline: float) -> None:
        """Call `expire` soon after `deadline`."""
        if deadline < self.deadline:
            self.deadline = deadline
        if deadline < self._deadlines.next_at:
            self._deadlines.by(deadline)

    # Called by its `SessionEvents`.

    def complete(
        self, stream: Stream, last: bytes, trailers: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        """End an exchange with its whole response, and start the one that follows it."""
        exchange = stream.exchange
        assert exchange is not None
        exchange.head = stream.head
        exchange.content = stream.take_rest(last) if stream.has_rest else last
        exchange.trailers = trailers
        exchange.ended_at = now = self._events.now
        if stream.unsent or stream.sending is not None:
            # An early answer: the server does not need the rest of the request.
            self._session.reset_stream(stream.number, ErrorCode.NO_ERROR)
        self._drop(stream)
        self.served = True
        self._limit.served()
        follow = exchange.follow
        following = None if follow is None else follow(exchange)
        if following is not None:
            # Before any that waits, and so only if none does.
            if (
                self.has_room
                and following.origin == self.origin
                and not self._pool.waiting
                and now < self.retire_at
            ):
                self.start(following, following.begun_at)
            else:
                self._tell_pool()
                self._pool.submit(following)
        elif follow is None:
            exchange.settle()

    def goes_over_http11(self, stream: Stream, exchange: Exchange) -> bool:
        """Use HTTP/1.1 for this origin; return whether a stream that was reset is sent again."""
        return self._pool.require_http11(self.origin) and may_send_over_http11(
            exchange, stream.head
        )

    def settings_changed(self) -> None:
        """Note how many streams the server allows."""
        self._limit.allow(self._session.max_streams)
        self._has_changed = True

    def server_leaves(self) -> None:
        """Open no more streams; those that are open go on."""
        self._take_no_more()
        if self._session.requires_http11:
            self._pool.require_http11(self.origin)

    def server_refuses(self) -> None:
        """Start the refused requests elsewhere, after the bytes at hand or this turn."""
        # What is written while bytes are not received may be refused too: by a `GOAWAY` that came
        # while it waited to be written.
        self._has_changed = True
        self._schedule()

    def session_ended(self, error: ExchangeError) -> None:
        """Send what tells the server why, and fail all exchanges."""
        self._take_no_more()
        if self._events.refused:
            self._send_refused_again()
        self.writer.write_last()
        self.fail(error)

    # Private.

    def _open(self, stream: Stream, exchange: Exchange) -> None:
        """
        Queue a request, and begin to read its body if it is not in memory.

        Raises:
            InvalidRequest: It cannot be sent over HTTP/2.
            ProtocolError: No more streams can be opened.
        """
        self.writer.open(stream, exchange)
        self._streams[stream.number] = stream
        body = exchange.body
        if isinstance(body, Upload):
            stream.sending = sending = StreamUpload(stream)
            sending.begin_upload(self._pool.start_task(send_upload(sending, exchange, body)))

    def _write_soon(self) -> None:
        """Write at the end of the turn or, if few streams are open, now."""
        # Bytes that arrived before a request may have a GOAWAY; the outbox reads them.
        if len(self._streams) < WORTH_WAITING and not (self.served and self._transport.poll(0)):
            self.writer.flush()
            return
        self._schedule()

    def _schedule(self) -> None:
        if not (self._is_scheduled or self._is_receiving or self._pool.loop.is_closed()):
            self._is_scheduled = True
            self._outbox.put(self, monotonic())

    def _drop(self, stream: Stream) -> None:
        """Remove a stream that has ended."""
        exchange, stream.exchange = stream.exchange, None
        assert exchange is not None
        exchange.connection = self
        self._streams.pop(stream.number, None)
        if self.writer.uploads:
            self.writer.uploads.pop(stream.number, None)
        if stream.untaken:
            self._session.consume(stream.number, stream.untaken)
        if stream.sending is not None:
            stream.sending.cancel_upload()
            stream.sending = None
        self._has_changed = True

    def _reset_stream(self, stream: Stream) -> None:
        """Give up a stream; check whether the server is still there if it is silent."""
        self._session.reset_stream(stream.number)
        self._drop(stream)
        now = monotonic()
        if self._signs.begin_doubt(now):
            self._session.ping()
            self._pool.unshare(self)
            self.watch_deadline(self._signs.deadline)
        self._schedule()

    def _take_no_more(self) -> None:
        """Take no more exchanges."""
        if not self._limit.is_leaving:
            self._limit.is_leaving = True
            self._has_changed = True
            self._pool.unshare(self)
            self._signs.end_doubt()
            if not self._is_receiving:
                self._schedule()

    def _tell_pool(self) -> None:
        """Let the pool use the room, or close if nothing is to be expected."""
        if self.is_closed or self.origin_pool is None:  # not adopted yet
            return
        self._has_changed = False
        if self._limit.is_leaving and not self._streams:
            self.close()
        else:
            self._pool.offer(self, self._events.now)

    def _send_refused_again(self) -> None:
        """Start refused requests elsewhere, the oldest first."""
        refused = self._events.take_refused()
        if not self._limit.is_leaving:
            self._limit.refused(len(self._streams) - len(refused))
            self._pool.unshare(self)
        for stream in refused:
            exchange = stream.exchange
            if exchange is not None:  # otherwise it was given up in this turn
                self._drop(stream)
                is_counted = not (self._limit.is_leaving and self.served)
                send_refused_again(exchange, self._pool, self._events.now, is_counted=is_counted)

    def _find_deadline(self) -> None:
        """Find the next limit of all exchanges."""
        limits = (each.deadline for each in self._streams.values())
        self.deadline = min(limits, default=NEVER)
        self.deadline = min(self.deadline, self._signs.deadline)
        if self.deadline < NEVER:
            self._deadlines.by(self.deadline)

    def _bytes_ended(self, cause: Exception | None) -> None:
        """Handle the end of the bytes."""
        if self.is_closed:
            return
        if not (self.served or self._streams):
            self.early_end = cause

        def error_of(stream: Stream) -> Exception:
            if isinstance(cause, MemoryError):  # not caused by the server
                return cause
            has_begun = stream.head is not None
            where = "inside the body" if has_begun else "without a response"
            error = TruncatedResponse(f"the connection ended {where}", received=has_begun)
            error.__cause__ = cause
            return error

        self._end_all(cause, error_of)

    def _end_all(self, cause: Exception | None, error_of: Callable[[Stream], Exception]) -> None:
        """Close, and end all exchanges: fail them, or start them again."""
        # Without memory, another connection could not write them either.
        is_final = isinstance(cause, EngineClosed | MemoryError)
        waiting = [] if is_final else [*self.writer.unsent, *self._events.refused]
        unsent = {stream.number for stream in waiting}
        was_silent = bool(self._signs.asked_at)
        ended: list[tuple[Stream, Exchange, Exception]] = []
        for stream in list(self._streams.values()):
            exchange = stream.exchange
            assert exchange is not None
            ended.append((stream, exchange, error_of(stream)))
            exchange.head = stream.head
            if exchange.limits.streams:
                exchange.content = stream.take_rest()
            self._drop(stream)
        self.close()
        for stream, exchange, error in ended:
            if stream.number in unsent and not isinstance(exchange.body, Upload):
                send_refused_again(exchange, self._pool, monotonic(), is_counted=not self.served)
            elif was_silent and not exchange.has_resent and may_send_again(exchange, error):
                exchange.has_resent = True
                begin_again(exchange, self._pool)
            else:
                exchange.fail(error, monotonic())


def _again(error: Exception) -> Exception:
    """Return another error like this one: each exchange has an error of its own."""
    other = type(error)(str(error))
    other.__cause__ = error.__cause__
    return other
