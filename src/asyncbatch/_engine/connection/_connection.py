"""
`Connection`: moves bytes between a transport and the current exchange.

It knows no other connections. It passes what the transport reports to the sans-IO core, and tells
the pool after each exchange whether it can be used again.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from asyncbatch._engine._exchange import NEVER, Exchange, Origin, Upload
from asyncbatch._engine.connection._partial_request import (
    PartialRequest,
    send_upload,
    write_with_body,
)
from asyncbatch._engine.connection._partial_response import PartialResponse
from asyncbatch._engine.connection._pooled import MAX_AGE, ConnectionPool
from asyncbatch._engine.connection._proxied import ProxiedRequests, as_proxys_fault
from asyncbatch._engine.connection._resend import begin_again, may_send_again
from asyncbatch._engine.connection._time_limits import give_more_time, passed_limit, take_out
from asyncbatch._engine.http11 import ExchangeError, KnownHeads, ResponseHead, ResponseProtocol
from asyncbatch._engine.io._deadlines import Deadlines
from asyncbatch._engine.io._outbox import WORTH_WAITING, Outbox
from asyncbatch._engine.io._readiness import Poll, never
from asyncbatch._engine.io._refill import Refill
from asyncbatch._engine.io._transport import Transport

GATHERING = 0.2
"""Seconds after its first byte for which the rest of a short response is waited for; see
`ExchangeLimits.gathers`. A server's first flight has 14 KB, and the next one takes a round trip."""


class Connection:
    """
    A connection to one origin.

    Args:
        pool: The pool that it belongs to.
        origin: The origin at the other end.
        transport: Moves the bytes; the caller still has to call `deliver_to` on it.
        deadlines: Calls the pool when a limit of the exchange has passed.
        outbox: Sends the requests that are delayed to the end of the turn.
        buffer: The buffer that the transport receives into. No content stays in it.
        known_heads: The heads of the server that need not be parsed again.
    """

    is_shared = False

    __slots__ = (
        "_arrival",
        "_buffer",
        "_deadlines",
        "_outbox",
        "_poll_after_look",
        "_pool",
        "_proxied",
        "_ssl_object",
        "_transport",
        "deadline",
        "early_end",
        "exchange",
        "is_closed",
        "is_unsent",
        "origin",
        "origin_pool",
        "poll",
        "protocol",
        "response_builder",
        "retire_at",
        "sending",
        "served",
    )

    def __init__(
        self,
        pool: ConnectionPool,
        origin: Origin,
        transport: Transport,
        deadlines: Deadlines,
        outbox: Outbox,
        buffer: memoryview,
        known_heads: KnownHeads | None = None,
    ) -> None:
        self._pool = pool
        self.origin = origin
        self._deadlines = deadlines
        self._outbox = outbox
        # `None` once closed, as `_transport` and `protocol`.
        self._buffer: memoryview = buffer
        self._transport: Transport = transport
        # Rewrites requests for a proxy; `None` without one.
        self._proxied = None if origin.route is None else ProxiedRequests(origin, origin.route)
        self.protocol: ResponseProtocol = ResponseProtocol(known_heads)
        self._ssl_object: object = None
        # Tells whether the socket has unread bytes or an unread end.
        self.poll: Poll = transport.poll
        # The same just before a delayed request is sent; `None` if the watch has told all.
        self._poll_after_look = transport.poll_after_look
        # Set while the kernel has not taken all of the request. `PartialRequest` resets it.
        self.sending: PartialRequest | None = None
        # Set while a part of the response, but not its end, has arrived.
        self._arrival: PartialResponse | None = None
        # The `OriginPool`. Used by the pool only.
        self.origin_pool: Any = None
        # The current exchange; `None` while idle and once closed.
        self.exchange: Exchange | None = None
        # Kept here for later exchanges by the code that follows them; the engine does not use it.
        self.response_builder: Any = None
        # When the pool must check the limits of the exchange. Not read while the connection is
        # idle.
        self.deadline = NEVER
        self.retire_at = monotonic() + MAX_AGE
        self.served = False
        # The error that ended it before it was used.
        self.early_end: Exception | None = None
        self.is_closed = False
        # Whether the request waits in the pool's outbox.
        self.is_unsent = False

    # Called by the transport.

    def received(self, content: bytes | memoryview) -> None:
        """Handle received bytes; they are copied, unless received into the body itself."""
        exchange = self.exchange
        if exchange is None:
            # An answer without a request, which must never become the answer to the next one.
            self.close()
            return
        if self.is_unsent:
            self._start_elsewhere(exchange)
            return
        now = monotonic()
        if not exchange.first_byte_at:
            exchange.first_byte_at = now
        self._parse_received(exchange, content, now, None, False)

    def eof_received(self) -> None:
        """Handle the end of the peer's bytes."""
        self._bytes_ended(None, is_clean=True)

    def cut_off(self, error: Exception | None) -> None:
        """
        Handle an end of the bytes that may not come from the peer.

        Over TLS, it lacks the closing alert: anyone on the path could have caused it (RFC 9112
        §9.8).
        """
        self._bytes_ended(error, is_clean=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the end of the connection."""
        if exc is not None or not self.is_closed:
            self._bytes_ended(exc, is_clean=False)

    def pause_writing(self) -> None:
        """Note that bytes of the request wait to be sent."""
        self._hold_up().is_paused = True

    def resume_writing(self) -> None:
        """Note that the kernel has taken all bytes of the request so far."""
        if self.sending is not None:
            self.sending.resume()

    # Called by the pool.

    def start(self, exchange: Exchange, now: float, is_good: bool = True) -> None:
        """
        Send the request now, or at the end of this turn, and wait for the response.

        If the request is delayed, the connection is checked again just before it is sent.

        Args:
            exchange: The exchange to start.
            now: The current time.
            is_good: Whether the caller has checked that there is nothing to read.
        """
        self.exchange = exchange
        exchange.connection = self
        exchange.is_reused = self.served
        exchange.send_at = now
        # A new connection sends at once. Bytes that arrive on it before the request are the
        # server's final answer: to start elsewhere because of them could go on endlessly.
        is_delayed = (
            self.served
            and type(exchange.body) is not Upload
            and len(self._pool.in_use) >= WORTH_WAITING
        )
        if not is_delayed:
            if is_good or not self.poll(0):
                self._send(exchange)
                return
            if self.served:
                self._start_elsewhere(exchange)
                return
            # TLS: before they are read, nobody knows whether they are more than session tickets.
        self.is_unsent = True
        self.deadline = exchange.deadline
        outbox = self._outbox
        senders = outbox.senders
        if not senders:
            outbox.put(self, now)
            return
        senders.append(self)  # as `Outbox.put`, without the call
        if now >= outbox.send_by:
            outbox.send_overdue(now)

    def send_request(self) -> None:
        """Send the delayed request, unless the exchange was started elsewhere."""
        exchange = self.exchange
        if exchange is None or not self.is_unsent:
            return
        # Bytes or an end that arrived before the request was sent are not the answer to it. The
        # outbox has made the watch read them, but with the event loop as watch, each connection
        # must be asked.
        poll = self._poll_after_look
        if poll is not None and poll(0):
            self._start_elsewhere(exchange)
            return
        self.is_unsent = False
        self._send(exchange)

    def _start_elsewhere(self, exchange: Exchange) -> None:
        """Give up a connection that became unusable before anything was sent on it."""
        self.exchange = None
        self.is_unsent = False
        self.close()
        begin_again(exchange, self._pool)

    def _send(self, exchange: Exchange) -> None:
        limits, body, payload = exchange.limits, exchange.body, exchange.payload
        if self._proxied is not None:
            payload = self._proxied.rewrite(payload)
        self.protocol.begin_response(exchange.method == b"HEAD", limits.max_body)
        if body is None:
            self._transport.write(payload)
        elif isinstance(body, Upload):
            self._transport.write(payload)
            if self.exchange is exchange:  # otherwise the write has ended it
                sending = self._hold_up()
                upload = send_upload(sending, exchange, body)
                sending.begin_upload(self._pool.start_task(upload))
        else:
            write_with_body(self._transport, payload, body)
        if self.sending is None and limits.read_timeout is None and exchange.observer is None:
            # Like `_expect_answer`, for most exchanges, without the calls.
            exchange.sent_at = monotonic()
            self.deadline = deadline = exchange.deadline
            if deadline < self._deadlines.next_at:
                self._deadlines.by(deadline)
            return
        self._expect_answer(exchange)

    def _expect_answer(self, exchange: Exchange) -> None:
        """Note that what could be sent at once is sent, and set the next limit."""
        limits = exchange.limits
        sending = self.sending
        if sending is not None:
            # Between two pieces of an upload, the exchange does not wait for the peer.
            self.limit_wait(exchange, limits.write_timeout if sending.is_paused else None)
        else:
            exchange.sent_at = monotonic()
            self.limit_wait(exchange, limits.read_timeout)
        if exchange.observer is not None:
            exchange.observer("sent", {})

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of the current exchange."""
        if take_out(self, seconds, before) and self._arrival is not None:
            self._arrival.take_out(seconds)

    def give_more_time(self, seconds: float) -> None:
        """Extend every limit of the current exchange."""
        give_more_time(self, seconds)

    def expire(self, now: float) -> None:
        """Fail the exchange, since a limit of it has passed."""
        exchange = self.exchange
        assert exchange is not None  # without one it is idle or closed, and has no limit
        head = self.protocol.head
        if head is not None and self._gathers(exchange):
            self._show(exchange, head)  # the rest stays away
            self._deadlines.by(self.deadline)
            return
        arrival, sending = self._arrival, self.sending
        too_slow_at = NEVER if arrival is None else arrival.too_slow_at
        waits = sending is not None and sending.is_paused
        self.fail(passed_limit(exchange, now, too_slow_at=too_slow_at, waits_to_send=waits))

    def close(self) -> None:
        """
        Close at once, without waiting.

        It aborts, since nothing is left to flush. For TLS, that avoids waiting for the peer's
        closing alert, which may never come.
        """
        if self.is_closed:
            return
        self.is_closed = True
        self.deadline = NEVER
        try:
            if self._arrival is not None:
                self._arrival.leave_place()
            self._pool.forget(self)
            if self.sending is not None:
                self.sending.cancel_upload()
            self._ssl_object = self._transport.get_extra_info("ssl_object")
        finally:
            self._transport.abort()
        self._let_go()

    def _let_go(self) -> None:
        """
        Drop everything that is not needed after the end.

        Results refer to their connections. If every kept result has its own connection with all its
        parts, each costs the garbage collector 10 µs.
        """
        self._transport = self.protocol = self._buffer = None  # type: ignore[assignment]
        self.sending = self._arrival = self.response_builder = self.origin_pool = None
        self.poll, self._poll_after_look = never, None

    def fail(self, error: Exception) -> None:
        """Close, and fail the exchange or send it again on a new connection."""
        exchange = self.exchange
        self.exchange = None
        if exchange is not None and not self.is_unsent:
            # The head shows how far the exchange came. The reader of a body gets what has arrived,
            # and the error after that.
            exchange.head = self.protocol.head
            if exchange.limits.streams:
                exchange.content = bytes(self.protocol.take_body())
        self.close()
        if exchange is None:
            return
        if may_send_again(exchange, error):
            exchange.has_resent = True
            self._pool.resend(exchange)
        else:
            exchange.fail(as_proxys_fault(error, exchange), monotonic())

    # Called by the reader and the sender of an exchange.

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Fail the exchange at its deadline, or after waiting `limit` seconds for the peer."""
        deadline = exchange.deadline
        if limit is not None:
            deadline = min(deadline, monotonic() + limit)
        if self._arrival is not None:
            deadline = min(deadline, self._arrival.too_slow_at)
        self.deadline = deadline
        self._deadlines.by(deadline)

    # Called by the owner of the exchange.

    def abandon(self) -> None:
        """Close, since the exchange was abandoned."""
        self.exchange = None
        self.close()

    def lend_body(self) -> None:
        """See `ExchangeConnection.lend_body`."""
        if self._arrival is not None:
            self._arrival.lend()

    def refill(self) -> Refill | None:
        """See `ExchangeConnection.refill`."""
        return None if self._arrival is None else self._arrival.refill()

    def take_body(self) -> bytes | memoryview:
        """Return the received bytes of a streamed body, and resume reading."""
        return b"" if self._arrival is None else self._arrival.take_body()

    def get_extra_info(self, name: str) -> object:
        """Ask the transport; once closed, return what was kept of it."""
        if self.is_closed:
            return self._ssl_object if name == "ssl_object" else None
        return self._transport.get_extra_info(name)

    # Private.

    def _hold_up(self) -> PartialRequest:
        """Note that a part of the request is not sent yet."""
        if self.sending is None:
            self.sending = PartialRequest(self, self._transport)
        return self.sending

    def _progress(self, exchange: Exchange, nbytes: int, now: float) -> None:
        """Note that a part of the response, but not its end, has arrived."""
        limits = exchange.limits
        protocol = self.protocol
        arrival = self._arrival
        if arrival is None:
            arrival = PartialResponse(limits, protocol, self._transport, self._buffer)
            self._arrival = arrival
        error = arrival.add(nbytes, now, len(self._pool.in_use))
        if error is not None:
            self.fail(error)
        elif limits.streams and protocol.head is not None:
            until = exchange.first_byte_at + GATHERING
            # Afterwards, the exchange must have time enough for its reader.
            if now < until < exchange.deadline - GATHERING and self._gathers(exchange):
                self.deadline = until
                self._deadlines.by(until)
                return
            self._show(exchange, protocol.head)
        elif limits.read_timeout is not None or limits.minimum_rate is not None:
            self.limit_wait(exchange, limits.read_timeout)

    def _gathers(self, exchange: Exchange) -> bool:
        """Whether the rest of the body is waited for before the exchange is settled."""
        head, most = self.protocol.head, exchange.limits.gathers
        return head is not None and 0 < head.length <= most and not exchange.future.done()

    def _show(self, exchange: Exchange, head: ResponseHead) -> None:
        """Settle an exchange whose body is read while it arrives, or wake its reader."""
        # The reader sets the next limit: time that the reader spends elsewhere is not the peer's.
        self.deadline = exchange.deadline
        exchange.head = head
        if self.protocol.untaken or not exchange.future.done():
            exchange.settle()

    def _end_arrival(self, arrival: PartialResponse) -> None:
        """Resume reading for the next response, if the connection can serve another exchange."""
        self._arrival = None
        if self.protocol.is_reusable:
            arrival.leave_place()
            arrival.read_on()

    # None of them keyword-only: CPython 3.11 specialises no call of a function that has such ones.
    def _parse_received(
        self,
        exchange: Exchange,
        content: bytes | memoryview | None,
        now: float,
        cause: Exception | None,
        is_clean: bool,
    ) -> None:
        """
        Parse received bytes, or the end; if the response is complete, end the exchange.

        Args:
            exchange: The current exchange.
            content: The received bytes; `None` at the end.
            now: The current time.
            cause: The error that ended the bytes.
            is_clean: Whether the peer itself ended them.
        """
        protocol = self.protocol
        try:
            if content is None:
                protocol.receive_eof(is_clean=is_clean)
                is_whole = True
            else:
                is_whole = protocol.receive(content)
        except (ExchangeError, MemoryError) as error:
            if content is None:
                error.__cause__ = cause
            self.fail(error)
            return
        if not is_whole:
            assert content is not None
            self._progress(exchange, len(content), now)
            return
        head: Any = protocol.head
        self.exchange = None
        if self._arrival is not None:
            self._end_arrival(self._arrival)
        exchange.head = head
        exchange.content = protocol.body
        exchange.trailers = protocol.trailers
        exchange.ended_at = now
        self.served = True
        # Only here is it decided whether to keep a connection. The rest of a request that is not
        # sent completely would become part of the next one. A server that answers early may close
        # or read on.
        is_kept = protocol.is_reusable and not exchange.closes and self.sending is None
        if not is_kept:
            self.close()
        follow = exchange.follow
        following = None if follow is None else follow(exchange)
        if (
            is_kept
            and following is not None
            and not self.is_closed
            and (following.origin is self.origin or following.origin == self.origin)
            and not self._pool.waiting
            and following.begun_at < self.retire_at
        ):
            self.start(following, following.begun_at, False)
            return
        if is_kept:
            self._pool.release(self, now, head.idle_timeout)
        if following is not None:
            self._pool.submit(following)
        elif follow is None:
            exchange.settle()

    def _bytes_ended(self, exc: Exception | None, *, is_clean: bool) -> None:
        exchange = self.exchange
        if exchange is None:
            if isinstance(exc, MemoryError) and (self.is_closed or self.origin_pool is not None):
                raise exc  # what it has interrupted may have been to hand an exchange on
            if not (self.served or self.is_closed):
                self.early_end = exc
            self.close()
            return
        if self.is_unsent:
            self._start_elsewhere(exchange)
            return
        if isinstance(exc, MemoryError):  # not caused by the peer
            self.fail(exc)
            return
        self._parse_received(exchange, None, monotonic(), exc, is_clean)
