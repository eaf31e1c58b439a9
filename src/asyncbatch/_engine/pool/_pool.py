"""
`Pool`: the connections of one engine on one event loop, and their assignment to exchanges.

Code between two awaits is atomic, and nothing here awaits except closing. So there are no locks,
and at every moment each connection has an owner.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from asyncbatch._engine._errors import (
    ConnectFailed,
    EngineClosed,
    Phase,
    TimedOut,
)
from asyncbatch._engine._event_loop import EventLoop, call_at_end, forget_at_end
from asyncbatch._engine._exchange import Exchange, Origin, Upload
from asyncbatch._engine.connect._connector import Connector
from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.connection._multiplexed import MultiplexedConnection
from asyncbatch._engine.connection._pooled import PooledConnection, SharedConnection
from asyncbatch._engine.io._attach import Attacher
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._guarded_loop import GuardedLoop
from asyncbatch._engine.io._outbox import WORTH_WAITING, Outbox
from asyncbatch._engine.io._readiness import watch_on
from asyncbatch._engine.io._transport import Transport
from asyncbatch._engine.pool._clocks import PoolClocks
from asyncbatch._engine.pool._dialing import Dialler
from asyncbatch._engine.pool._idle import IdleConnections
from asyncbatch._engine.pool._origin_pool import OriginPool, OriginPools
from asyncbatch._engine.pool._waiters import Waiters

RECEIVE_BUFFER = 128 * 1024


class Pool:
    """
    Assigns connections to exchanges.

    Args:
        loop: The event loop that it is used on.
        connector: Opens connections.
        max_connections: Most connections open or being opened, idle ones included.
        max_in_use: Most connections being opened or serving an exchange.
        max_idle: Most idle connections to keep.
        idle_expiry: Seconds to keep an idle one; the server's `Keep-Alive` may shorten it.
    """

    def __init__(
        self,
        loop: EventLoop,
        connector: Connector,
        *,
        max_connections: int,
        max_in_use: int,
        max_idle: int,
        idle_expiry: float,
    ) -> None:
        self.loop = loop
        # Makes the calls of all that is in the pool.
        self.guarded_loop = calls = GuardedLoop(loop, self.break_down)
        self.on_error: Callable[[BaseException], bool]
        """Called with an error of a callback; returns whether that was told. Set by the engine."""
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER))
        # The adopted connections that are neither idle nor closed. Only this class writes it.
        self.in_use: set[PooledConnection] = set()
        self.clocks = PoolClocks(calls, self.in_use, self._expire_waiting)
        self.deadlines = self.clocks.deadlines
        self.watch = watch_on(calls, self.deadlines)
        self.outbox = Outbox(calls, self.watch.look_at_all)
        self.closing = Closing(loop)
        self.start_task = self.closing.start_task
        self.waiters = Waiters(self.deadlines)
        self.waiting = self.waiters.everyone
        self._attacher = Attacher(loop, self.watch, self.buffer, self.closing, calls)
        self.idle = IdleConnections(self.deadlines, maximum=max_idle, expiry=idle_expiry)
        self.dialler = Dialler(
            self,
            calls,
            connector,
            self._attacher,
            self.closing,
            in_use=self.in_use,
            idle=self.idle,
            waiters=self.waiters,
            max_connections=max_connections,
            max_in_use=max_in_use,
        )
        self._connector = connector
        self._origin_pools = OriginPools(connector.protocols.may_speak_http2)
        self.clocks.watch_over(self.waiters, self.idle, self.dialler)
        self.is_closed = False
        call_at_end(loop, self.close_nowait)

    # Called by the engine.

    def submit(self, exchange: Exchange) -> None:
        """Start the exchange, now or as soon as there is a connection for it."""
        origin_pool = self._origin_pools.kept.get(exchange.origin)
        if origin_pool is None:
            origin_pool = self._origin_pools.find_or_add(exchange.origin)
        if origin_pool.shared:
            shared = origin_pool.take_shared()
            if shared is not None:
                shared.start(exchange, monotonic())
                return
        if origin_pool.idle:
            connection = self._take_idle(origin_pool, exchange)
            if connection is not None:
                connection.start(exchange, exchange.begun_at, connection.served)
                if connection.is_shared:
                    self._share(connection)
                return
            # It may be forgotten by now, since idle ones were closed.
            origin_pool = self._origin_pools.find_or_add(exchange.origin)
        self._wait(origin_pool, exchange)

    def withdraw(self, exchange: Exchange) -> None:
        """Forget an exchange that waits no more, and its dial."""
        if exchange not in self.waiters.everyone:
            return
        self._stop_waiting(exchange)
        if exchange.dial is not None:
            exchange.dial.withdraw(exchange)

    def close_nowait(self) -> None:
        """
        Fail everything in flight and close everything, without waiting for its end.

        Raises:
            BaseException: As raised by the first step that failed; the others have been taken.
        """
        self.is_closed = True
        with contextlib.ExitStack() as steps:  # from the last one on, whatever each raises
            steps.callback(self.watch.stop)
            for connection in [*self.idle.members, *self.in_use][::-1]:
                steps.callback(connection.fail, EngineClosed("the engine was closed"))
            for exchange in [*self.waiters.everyone][::-1]:
                steps.callback(self.fail_waiting, exchange, EngineClosed("the engine was closed"))
            steps.callback(self.dialler.stop)
            steps.callback(self.deadlines.stop)
            steps.callback(forget_at_end, self.loop, self.close_nowait)
        # Results refer to their connections, and these to their pool. With one pool for each batch,
        # every kept result would keep a buffer alive.
        self.buffer = self._attacher.buffer = memoryview(bytearray())

    def close_sockets(self) -> None:
        """
        Close what an event loop has left open that was closed itself, and can make no calls.

        The event loop's own transports are closed with their objects.
        """
        self.is_closed = True
        self.watch.forget_all()
        for connection in [*self.in_use, *self.idle.members]:
            sock = connection.get_extra_info("socket")
            if isinstance(sock, socket.socket):
                sock.close()

    def break_down(self, error: BaseException) -> None:
        """
        Close everything because of an error of a callback, which may have left anything half done.

        No task waits for a callback, and an exchange that it has lost never ends: so the batches of
        the fetcher end with the error. Another pool takes the place of this one.
        """
        is_first, self.is_closed = not self.is_closed, True
        if not self.on_error(error) and is_first:
            text = "a callback of the connections failed, which are closed"
            self.loop.call_exception_handler({"message": text, "exception": error})
        if is_first:
            with contextlib.suppress(BaseException):  # those that follow from this one
                self.close_nowait()

    async def aclose(self) -> None:
        """Fail everything in flight and close everything, in a second at most."""
        self.close_nowait()
        await self.closing.wait_until_ended()

    def counts(self) -> dict[str, int]:
        """Count connections, dials, waiters and origins, for `repr` and statistics."""
        return {
            "connections": len(self.in_use) + len(self.idle.members),
            "idle": len(self.idle.members),
            "connecting": len(self.dialler.dials),
            "waiting": len(self.waiters.everyone),
            "origins": len(self._origin_pools.kept),
        }

    # Called by connections.

    def release(self, connection: PooledConnection, now: float, idle_timeout: int | None) -> None:
        """
        Take back a connection that can serve another exchange.

        Args:
            connection: The connection.
            now: The current time.
            idle_timeout: Seconds after which the server closes it, if the server has stated them.
        """
        if now >= connection.retire_at or self.is_closed:
            connection.close()
            return
        if self.waiters.everyone and self._serve_next(connection):
            return
        self.in_use.discard(connection)
        self.idle.add(connection, now, idle_timeout)
        if self.waiters.starved:
            self._start_starved()

    def forget(self, connection: PooledConnection) -> None:
        """Remove a connection that was closed, and use its place."""
        origin_pool: OriginPool | None = connection.origin_pool
        if origin_pool is None:  # not adopted yet
            return
        if connection.is_shared:
            self._forget_shared(connection, origin_pool)
        if connection in self.in_use:
            self.in_use.discard(connection)
        elif connection in self.idle.members:  # otherwise an error has interrupted its handing on
            self.idle.remove(connection)
            origin_pool.idle.pop(connection, None)
        origin_pool.connections -= 1
        self._origin_pools.tidy(origin_pool)
        if self.waiters.starved:
            # Not at once: the code that closes the connection may be about to use the place.
            self.guarded_loop.call_soon(self._start_starved)

    def offer(self, connection: SharedConnection, now: float) -> None:
        """Use the room of a connection, whose exchanges or limits have changed."""
        if now >= connection.retire_at or self.is_closed:
            connection.retire()
            return
        origin_pool: OriginPool = connection.origin_pool
        if connection.most_exchanges is not None:
            origin_pool.opening.pop(connection, None)
            origin_pool.streams = max(1, connection.most_exchanges)
        while origin_pool.waiting and connection.has_room:
            first = next(iter(origin_pool.waiting))
            if not connection.is_used and self.waiters.is_anothers_turn(first):
                break
            self._serve(connection, first)
        if connection.is_used:
            self._share(connection)
        elif connection.has_room:
            self._rest(connection, now)
        else:
            connection.retire()  # the server takes no more, as one does that will leave
        self.dialler.dial_for_hoping(origin_pool)

    def unshare(self, connection: SharedConnection) -> None:
        """Give a connection no more exchanges."""
        if connection.origin_pool is not None:
            connection.origin_pool.shared.pop(connection, None)

    def require_http11(self, origin: Origin) -> bool:
        """Use HTTP/1.1 for an origin from now on; return whether that is allowed."""
        if not self._connector.protocols.require_http11(origin):
            return False
        origin_pool = self._origin_pools.find_or_add(origin)
        for connection in [*self.in_use, *self.idle.members]:
            if isinstance(connection, MultiplexedConnection) and connection.origin == origin:
                connection.retire()
        origin_pool.streams = 1
        self.guarded_loop.call_soon(self.dialler.dial_for_hoping, origin_pool)
        return True

    def _share(self, connection: Any) -> None:
        """Give a connection in use further exchanges, if it takes them."""
        if connection.has_room:
            connection.origin_pool.shared[connection] = None

    def _rest(self, connection: SharedConnection, now: float) -> None:
        """Keep a connection without an exchange as an idle one, if it takes exchanges again."""
        origin_pool: OriginPool = connection.origin_pool
        origin_pool.shared.pop(connection, None)
        if connection in self.idle.members:
            return
        self.in_use.discard(connection)
        self.idle.add(connection, now, None)
        if self.waiters.starved:
            self._start_starved()

    def _forget_shared(self, connection: Any, origin_pool: OriginPool) -> None:
        origin_pool.shared.pop(connection, None)
        if connection in origin_pool.opening:
            del origin_pool.opening[connection]
            if origin_pool.hoping:
                self.guarded_loop.call_soon(self.dialler.dial_for_hoping, origin_pool)

    def resend(self, exchange: Exchange) -> None:
        """Send an exchange again, on a connection that is opened for it alone."""
        if self.is_closed:
            exchange.fail(EngineClosed("the engine was closed"), monotonic())
            return
        self.waiters.add(exchange)
        # The connection that has just been closed has left a place.
        origin_pool = self._origin_pools.find_or_add(exchange.origin)
        self.dialler.dial(origin_pool, exchange, is_fresh=True)

    # Called by dials.

    def connection_on(self, transport: Transport, origin_pool: OriginPool) -> PooledConnection:
        """
        Make a connection on an open transport, of the protocol that the server speaks.

        Raises:
            ConnectFailed: It cannot be watched, for lack of a descriptor; it is closed.
        """
        connection: Connection | MultiplexedConnection
        origin = origin_pool.origin
        common = self, origin, transport, self.deadlines, self.outbox
        try:
            if self._connector.protocols.speaks_http2(transport, origin):
                connection = MultiplexedConnection(*common)
            else:
                connection = Connection(*common, self.buffer, origin_pool.known_heads)
            try:
                transport.deliver_to(connection)
            except OSError as exc:
                connection.close()
                raise ConnectFailed(f"the connection cannot be watched: {exc}") from exc
        except BaseException:
            transport.abort()
            raise
        return connection

    def connection_opened(
        self, connection: PooledConnection, origin_pool: OriginPool, exchange: Exchange | None
    ) -> None:
        """Use a new connection, first for the exchange that still waits for it."""
        origin_pool.connections += 1
        connection.origin_pool = origin_pool
        self.in_use.add(connection)
        if isinstance(connection, MultiplexedConnection):
            self._begin_sharing(connection, exchange)
            return
        origin_pool.streams = 1
        if exchange is not None:
            self._serve(connection, exchange)
        else:
            self.release(connection, monotonic(), None)
        if origin_pool.hoping:
            self.dialler.dial_for_hoping(origin_pool)

    def _begin_sharing(self, connection: MultiplexedConnection, exchange: Exchange | None) -> None:
        """Use a new connection that takes several exchanges."""
        if not self._connector.protocols.may_speak_http2(connection.origin):
            # Its server has come to require HTTP/1.1 while it was opened.
            origin_pool: OriginPool = connection.origin_pool
            origin_pool.streams = 1
            if exchange is not None:
                self._stop_waiting(exchange)
            connection.retire()
            if exchange is not None:
                self.submit(exchange)
            self.dialler.dial_for_hoping(origin_pool)
            return
        if connection.most_exchanges is None:
            connection.origin_pool.opening[connection] = None
        if exchange is not None:
            self._serve(connection, exchange)
        if not connection.is_closed:
            self.offer(connection, monotonic())

    def fail_waiting(self, exchange: Exchange, error: Exception) -> None:
        """Fail a waiting exchange, and forget its dial."""
        self.withdraw(exchange)
        exchange.fail(error, monotonic())

    def dial_ended(self, origin_pool: OriginPool) -> None:
        """Use the place of a dial that has opened nothing."""
        self._origin_pools.tidy(origin_pool)
        self._start_starved()

    # Waiting.

    def _start_starved(self) -> None:
        """Use the free places for exchanges that wait for one."""
        while not self.is_closed:
            exchange = self.waiters.first_starved()
            if exchange is None:
                return
            origin_pool = self._origin_pools.find_or_add(exchange.origin)
            connection = origin_pool.take_shared() or self._take_idle(origin_pool, exchange)
            if connection is not None:
                self._serve(connection, exchange)
                if connection.is_shared:
                    self._share(connection)
            elif not self.dialler.dial_if_room(origin_pool, exchange):
                return

    def _serve(self, connection: PooledConnection, exchange: Exchange) -> None:
        """Start a waiting exchange on a connection."""
        self._stop_waiting(exchange)
        if exchange.dial is not None:
            exchange.dial.spare(exchange)
        # A connection that has served may have unread bytes. What arrives on a new one is the
        # server's final answer.
        connection.start(exchange, monotonic(), not connection.served)

    def _take_idle(self, origin_pool: OriginPool, exchange: Exchange) -> PooledConnection | None:
        """Take the most recently used idle connection that is still good, if one may be used."""
        idle, dialler = origin_pool.idle, self.dialler
        # All connections are checked together, just before the request is sent with others.
        is_busy = len(self.in_use) >= WORTH_WAITING
        is_looked_at = is_busy and self.watch.can_look and type(exchange.body) is not Upload
        while idle and len(self.in_use) + len(dialler.dials) < dialler.max_in_use:
            # Not `next(reversed(idle))`, which passes over all that were removed before.
            connection, _ = idle.popitem()
            # Bytes or an end that arrived before the request was sent are not the answer to it.
            # Asking the kernel costs 0.3 µs. Not asking could cost a response or, worse, return the
            # wrong one.
            # An unused connection of TLS may have session tickets to read, which are no reason to
            # close it: its request is sent after they were read.
            if (
                not (is_looked_at and connection.served)
                and (connection.served or not connection.origin.is_tls)
                and connection.poll(0)
            ):
                idle[connection] = None  # `forget` removes it
                connection.close()
                continue
            self.idle.remove(connection)
            self.in_use.add(connection)
            return connection
        return None

    def _wait(self, origin_pool: OriginPool, exchange: Exchange) -> None:
        if self.is_closed:
            self._origin_pools.tidy(origin_pool)
            exchange.fail(EngineClosed("the engine was closed"), monotonic())
            return
        self.waiters.add(exchange)
        origin_pool.waiting[exchange] = None
        if origin_pool.spare_dials:
            dial, _ = origin_pool.spare_dials.popitem()
            dial.take_over(exchange)
        elif origin_pool.streams > 1 and origin_pool.has_enough_opening:
            self._hope(origin_pool, exchange)
        elif not self.dialler.dial_if_room(origin_pool, exchange):
            self.waiters.starve(exchange)

    def _hope(self, origin_pool: OriginPool, exchange: Exchange) -> None:
        """Wait for a connection that is being opened for other exchanges."""
        limits = exchange.limits
        origin_pool.hoping[exchange] = None
        is_first = not origin_pool.connections
        limit = limits.connect_timeout if is_first else limits.pool_timeout
        self.waiters.expire_at(exchange, limit)

    def _stop_waiting(self, exchange: Exchange) -> None:
        self.waiters.discard(exchange)
        origin_pool = self._origin_pools.kept[exchange.origin]
        origin_pool.waiting.pop(exchange, None)
        origin_pool.hoping.pop(exchange, None)
        self._origin_pools.tidy(origin_pool)

    def _serve_next(self, connection: PooledConnection) -> bool:
        """Serve the exchange that has waited longest, if of this origin; return whether."""
        origin_pool: OriginPool = connection.origin_pool
        mine = next(iter(origin_pool.waiting), None)
        if mine is None or self.waiters.is_anothers_turn(mine):
            return False
        self._serve(connection, mine)
        return True

    def _expire_waiting(self, exchange: Exchange, now: float) -> None:
        phase: Phase = "pool"
        origin_pool = self._origin_pools.kept[exchange.origin]
        if now >= exchange.deadline:
            phase = "total"
        elif exchange in origin_pool.hoping:
            phase = "pool" if origin_pool.connections else "connect"
        self.fail_waiting(exchange, TimedOut(phase))
