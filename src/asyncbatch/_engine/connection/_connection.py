"""
One connection: moves bytes between a socket and the exchange at hand.

Knows nothing of other connections. What it is told by the event loop it hands to the sans-IO
core, and when an exchange is over it tells the pool whether it may be used again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Coroutine, Sized
from time import monotonic
from typing import Any, Protocol

from asyncbatch._engine._event_loop import Task
from asyncbatch._engine._exchange import NEVER, Exchange, Origin, Upload
from asyncbatch._engine.connection._partial_request import (
    PartialRequest,
    send_upload,
    write_with_body,
)
from asyncbatch._engine.connection._partial_response import PartialResponse
from asyncbatch._engine.connection._proxied import ProxiedRequests, as_proxys_fault
from asyncbatch._engine.connection._resend import may_send_again, passed_limit
from asyncbatch._engine.http11 import ExchangeError, ResponseProtocol
from asyncbatch._engine.io._deadlines import Deadlines
from asyncbatch._engine.io._outbox import WORTH_WAITING, Outbox
from asyncbatch._engine.io._readiness import Poll, never
from asyncbatch._engine.io._transport import Transport

MAX_AGE = 300.0
"""Seconds after which a connection serves no further exchange, so that changed names are seen."""


class ConnectionPool(Protocol):
    """The pool that a connection belongs to, as far as the connection asks of it."""

    @property
    def in_use(self) -> Sized:
        """The connections that serve an exchange."""
        ...

    @property
    def waiting(self) -> Sized:
        """The exchanges that have no connection."""
        ...

    def submit(self, exchange: Exchange) -> None:
        """Start an exchange that cannot be sent here, on another connection."""
        ...

    def resend(self, exchange: Exchange) -> None:
        """Send an exchange again that failed here, on a connection opened for it alone."""
        ...

    def release(self, connection: Connection, now: float, idle_timeout: int | None) -> None:
        """Take back a connection that can serve another exchange."""
        ...

    def forget(self, connection: Connection) -> None:
        """Give up a connection that is closed."""
        ...

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> Task[None]:
        """Start a task that the pool's end waits for."""
        ...


class Connection:
    """
    A connection to one origin.

    Args:
        pool: what it belongs to.
        origin: who is at the other end.
        transport: moves its bytes; it still has to be told to deliver them here.
        deadlines: looks when a limit of the exchange has passed.
        outbox: sends what is put off to the end of the turn.
        buffer: what the transport receives into; nobody keeps anything there.
    """

    __slots__ = (
        "_arrival",
        "_buffer",
        "_deadlines",
        "_is_watched",
        "_outbox",
        "_pool",
        "_proxied",
        "_ssl_object",
        "_transport",
        "deadline",
        "exchange",
        "idle_group",
        "idle_since",
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
    ) -> None:
        self._pool = pool
        self.origin = origin
        self._deadlines = deadlines
        self._outbox = outbox
        # The next three are None once closed.
        self._buffer: memoryview = buffer
        self._transport: Transport = transport
        # How requests are sent by way of a proxy; None where there is none.
        self._proxied = None if origin.route is None else ProxiedRequests(origin, origin.route)
        self.protocol: ResponseProtocol = ResponseProtocol()
        self._ssl_object: object = None
        self._is_watched = transport.is_watched
        # Says whether the socket has something to read that has not been read yet.
        self.poll: Poll = transport.poll
        # None unless a part of the request is not with the kernel. Written by itself when all is.
        self.sending: PartialRequest | None = None
        # None unless a part of the response has come, and not its end.
        self._arrival: PartialResponse | None = None
        # What the pool keeps for the origin, and with the connection: nothing to the connection.
        self.origin_pool: Any = None
        # The exchange at hand; None while idle and once closed.
        self.exchange: Exchange | None = None
        # What whoever follows its exchanges keeps with it, for the next: nothing to the engine.
        self.response_builder: Any = None
        # When the pool's sweep has to look: a limit of the exchange. Nobody asks while it is idle.
        self.deadline = NEVER
        self.retire_at = monotonic() + MAX_AGE
        # Written by `IdleConnections`, as the next.
        self.idle_since = 0.0
        # Those that are idle for as long as it may be, where its server closes it early.
        self.idle_group: OrderedDict[Connection, None] | None = None
        self.served = 0
        self.is_closed = False
        # True while the request waits in the pool's outbox.
        self.is_unsent = False

    # What the transport calls.

    def received(self, content: bytes | memoryview) -> None:
        """Take what was received; it is copied, unless it lies where it stays."""
        exchange = self.exchange
        if exchange is None:
            # An answer to nothing, which must never become the answer to the next request.
            self.close()
            return
        if self.is_unsent:
            self._start_elsewhere(exchange)
            return
        now = monotonic()
        if not exchange.first_byte_at:
            exchange.first_byte_at = now
        self._take(exchange, content, now)

    def eof_received(self) -> None:
        """Take the end of the peer's bytes."""
        self._end(None, is_clean=True)

    def cut_off(self, error: Exception | None) -> None:
        """
        Take an end of the peer's bytes that need not have come from the peer.

        Over TLS, without the closing alert: anybody in between could have made it (RFC 9112 §9.8).
        """
        self._end(error, is_clean=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self._end(exc, is_clean=False)

    def pause_writing(self) -> None:
        """Note that bytes of the request wait for the peer."""
        self._hold_up().is_paused = True

    def resume_writing(self) -> None:
        """Note that the request so far is with the kernel."""
        if self.sending is not None:
            self.sending.resume()

    # What the pool calls.

    def start(self, exchange: Exchange, now: float, is_good: bool = True) -> None:
        """
        Send the request, or have it sent at the end of this turn, and expect the response.

        Put off, it is looked once more whether the connection is still good, just before.

        Args:
            exchange: the request.
            now: the time.
            is_good: whether somebody has looked that there is nothing to read.
        """
        self.exchange = exchange
        exchange.connection = self
        exchange.is_reused = self.served > 0
        exchange.send_at = now
        # On a fresh connection at once: what comes there before the request is sent is the server's
        # last word, and going elsewhere would have no end.
        if self.served and exchange.body is None and len(self._pool.in_use) >= WORTH_WAITING:
            self.is_unsent = True
            self.deadline = exchange.deadline
            senders = self._outbox.senders
            if senders:
                senders.append(self)  # as `put` does, without the call
            else:
                self._outbox.put(self)
        elif not is_good and self.poll(0):
            self._start_elsewhere(exchange)
        else:
            self._send(exchange)

    def send_request(self) -> None:
        """Send the request that was put off, unless it has gone another way meanwhile."""
        exchange = self.exchange
        if exchange is None or not self.is_unsent:
            return
        # Bytes or an end that came meanwhile are not the answer to a request that is not sent. The
        # outbox has had the watch read them; what the event loop reads is asked for one by one.
        if not self._is_watched and self.poll(0):
            self._start_elsewhere(exchange)
            return
        self.is_unsent = False
        self._send(exchange)

    def go_on(self, exchange: Exchange, now: float) -> bool:
        """Start the exchange that follows the last, if it may stay here; say whether it may."""
        if (
            self.is_closed
            or exchange.origin != self.origin
            or self._pool.waiting
            or now >= self.retire_at
        ):
            return False
        self.start(exchange, now, False)
        return True

    def _start_elsewhere(self, exchange: Exchange) -> None:
        """Give up a connection that turned out to be of no use before anything was sent on it."""
        self.exchange = None
        self.is_unsent = False
        self.close()
        exchange.send_at = 0.0
        self._pool.submit(exchange)

    def _send(self, exchange: Exchange) -> None:
        limits, body, payload = exchange.limits, exchange.body, exchange.payload
        if self._proxied is not None:
            payload = self._proxied.rewrite(payload)
        self.protocol.begin(exchange.method == b"HEAD", limits.max_body)
        if body is None:
            self._transport.write(payload)
        elif isinstance(body, Upload):
            self._transport.write(payload)
            if self.exchange is exchange:  # else the write has ended it
                sending = self._hold_up()
                upload = send_upload(sending, exchange, body)
                sending.begin_upload(self._pool.start_task(upload))
        else:
            write_with_body(self._transport, payload, body)
        if self.sending is None and limits.read_timeout is None and exchange.observer is None:
            # `_expect_answer` for the way most exchanges go, without the calls.
            exchange.sent_at = monotonic()
            self.deadline = deadline = exchange.deadline
            if deadline < self._deadlines.next_at:
                self._deadlines.by(deadline)
            return
        self._expect_answer(exchange)

    def _expect_answer(self, exchange: Exchange) -> None:
        """Note that what could be sent at once has been sent, and set the next limit."""
        limits = exchange.limits
        sending = self.sending
        if sending is not None:
            # Before the next piece of an upload it is not the peer that is waited for.
            self.limit_wait(exchange, limits.write_timeout if sending.is_paused else None)
        else:
            exchange.sent_at = monotonic()
            self.limit_wait(exchange, limits.read_timeout)
        if exchange.observer is not None:
            exchange.observer("sent", {})

    def take_out(self, seconds: float, before: float) -> None:
        """Take time in which the loop stood still out of the exchange at hand."""
        exchange = self.exchange
        if exchange is None or exchange.begun_at > before:
            return
        exchange.take_out(seconds, before)
        self.deadline += seconds
        if self._arrival is not None:
            self._arrival.take_out(seconds)

    def give_more_time(self, seconds: float) -> None:
        """Let every limit of the exchange at hand pass later."""
        if self.exchange is not None:
            self.exchange.deadline += seconds
            self.deadline += seconds

    def expire(self, now: float) -> None:
        """Act on a deadline that has passed."""
        exchange = self.exchange
        if exchange is None:
            self.close()
            return
        self.fail(passed_limit(exchange, self.sending, self._arrival, now))

    def close(self) -> None:
        """
        Close at once, without waiting for anything.

        Aborting, since there is nothing left to flush; for TLS it spares the wait for the
        peer's closing alert, which may never come.
        """
        if self.is_closed:
            return
        self.is_closed = True
        self.deadline = NEVER
        if self._arrival is not None:
            self._arrival.leave_place()
        self._pool.forget(self)
        if self.sending is not None:
            self.sending.stop()
        self._ssl_object = self._transport.get_extra_info("ssl_object")
        self._transport.abort()
        self._let_go()

    def _let_go(self) -> None:
        """
        Hold on to nothing but what is asked for after the end.

        Results refer to their connections. With all its parts each costs the garbage collector
        10 µs where every result is kept and has a connection of its own.
        """
        self._transport = self.protocol = self._buffer = None  # type: ignore[assignment]
        self.sending = self._arrival = self.response_builder = self.origin_pool = None
        self.poll = never

    def fail(self, error: Exception) -> None:
        """Close, and end the exchange with an error, or send it again on a fresh connection."""
        exchange = self.exchange
        self.exchange = None
        if exchange is not None and not self.is_unsent:
            # The head tells in what the exchange ended; with what came of the body it is for a
            # reader, who gets the error behind them.
            exchange.head = self.protocol.head
            if exchange.limits.streams:
                exchange.content = self.protocol.take_body()
        self.close()
        if exchange is None:
            return
        if may_send_again(exchange, error):
            exchange.has_resent = True
            self._pool.resend(exchange)
        else:
            exchange.fail(as_proxys_fault(error, exchange), monotonic())

    # What sees to an exchange calls.

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Have the pool look when the exchange is over time, or has waited `limit` seconds."""
        deadline = exchange.deadline
        if limit is not None:
            deadline = min(deadline, monotonic() + limit)
        if self._arrival is not None:
            deadline = min(deadline, self._arrival.too_slow_at)
        self.deadline = deadline
        self._deadlines.by(deadline)

    # What the exchange's owner calls.

    def abandon(self) -> None:
        """Close, since nobody wants the exchange any more."""
        self.exchange = None
        self.close()

    def take_body(self) -> bytes:
        """Hand over what has come of a streamed body, and read on."""
        return b"" if self._arrival is None else self._arrival.take()

    def get_extra_info(self, name: str) -> object:
        """Ask the transport, or tell what is left of it."""
        if self.is_closed:
            return self._ssl_object if name == "ssl_object" else None
        return self._transport.get_extra_info(name)

    # Private.

    def _hold_up(self) -> PartialRequest:
        """Note that not all of the request has gone out."""
        if self.sending is None:
            self.sending = PartialRequest(self, self._transport)
        return self.sending

    def _progress(self, exchange: Exchange, nbytes: int, now: float) -> None:
        """Note that more of the response has come, and not its end."""
        limits = exchange.limits
        protocol = self.protocol
        arrival = self._arrival
        if arrival is None:
            arrival = PartialResponse(limits, protocol, self._transport, self._buffer)
            self._arrival = arrival
        error = arrival.add(nbytes, now)
        if error is not None:
            self.fail(error)
        elif limits.streams and protocol.head is not None:
            # The reader sets the next limit: time it spends elsewhere is not the peer's.
            self.deadline = exchange.deadline
            exchange.head = protocol.head
            if protocol.untaken or not exchange.future.done():
                exchange.settle()
        elif limits.read_timeout is not None or limits.minimum_rate is not None:
            self.limit_wait(exchange, limits.read_timeout)

    def _end_arrival(self, arrival: PartialResponse) -> None:
        """Receive the next response as this one began to be, if there is a next one."""
        self._arrival = None
        if self.protocol.is_reusable:
            arrival.read_on()

    def _take(
        self,
        exchange: Exchange,
        content: bytes | memoryview | None,
        now: float,
        cause: Exception | None = None,
        *,
        is_clean: bool = False,
    ) -> None:
        """
        Take what was received, or its end; hand a whole response over, and the connection back.

        Args:
            exchange: the one at hand.
            content: what was received; None: no more comes.
            now: the time.
            cause: what has ended it.
            is_clean: whether the peer has.
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
        head = protocol.head
        assert head is not None
        self.exchange = None
        if self._arrival is not None:
            self._end_arrival(self._arrival)
        exchange.head = head
        exchange.content = protocol.body
        exchange.trailers = protocol.trailers
        exchange.ended_at = now
        self.served += 1
        # The one place where a connection is kept. A request that is not out completely would
        # go on into the next one; a server that answers early may close or read on.
        is_kept = (
            protocol.is_reusable
            and not exchange.closes
            and self.sending is None
            and (exchange.body is None or self._transport.is_out(exchange.body))
        )
        if not is_kept:
            self.close()
        follow = exchange.follow
        following = None if follow is None else follow(exchange)
        if following is not None and is_kept and self.go_on(following, following.begun_at):
            return
        if is_kept:
            self._pool.release(self, now, head.idle_timeout)
        if following is not None:
            self._pool.submit(following)
        elif follow is None:
            exchange.settle()

    def _end(self, exc: Exception | None, *, is_clean: bool) -> None:
        exchange = self.exchange
        if exchange is None:
            self.close()
            return
        if self.is_unsent:
            self._start_elsewhere(exchange)
            return
        if isinstance(exc, MemoryError):  # it is not the peer that has ended it
            self.fail(exc)
            return
        self._take(exchange, None, monotonic(), exc, is_clean=is_clean)
