"""
The connections of one engine on one event loop: who gets which, and when one is closed.

Between two awaits code is atomic, and nothing here awaits except closing. So there are no locks,
and no moment at which a connection belongs to nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import Any, TypeVar

from asyncbatch._http11 import TruncatedResponse
from asyncbatch._transport._causes import causes_of, is_exhausted
from asyncbatch._transport._connection import Connection
from asyncbatch._transport._connector import Connector
from asyncbatch._transport._dial import Dial
from asyncbatch._transport._errors import EngineClosed, Phase, TimedOut
from asyncbatch._transport._exchange import NEVER, Exchange, Origin
from asyncbatch._transport._origin import OriginPool
from asyncbatch._transport._outbox import WORTH_WAITING, Outbox
from asyncbatch._transport._sweep import Sweep
from asyncbatch._transport._waiters import Waiters
from asyncbatch._transport._watch import watch_on

T = TypeVar("T")

RECEIVE_BUFFER = 128 * 1024
CLOSE_GRACE = 1.0
"""Seconds that closing waits at most for what it has cancelled."""
IDLE_GRACE = 0.05
"""Seconds a surplus connection stays idle before it is closed: in a busy pool many are idle for
the moment between two exchanges, and closing those would mean connecting anew for each."""


class Pool:
    """
    Hands connections to exchanges.

    Args:
        loop: the event loop it lives on.
        connector: opens connections.
        max_connections: open ones, those being opened included.
        max_idle: idle ones that are kept.
        idle_expiry: seconds an idle one is kept; the server's `Keep-Alive` may shorten it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connector: Connector,
        *,
        max_connections: int,
        max_idle: int,
        idle_expiry: float,
    ) -> None:
        self.loop = loop
        self.connector = connector
        self.buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.sweep = Sweep(loop, self._look)
        self.watch = watch_on(loop)
        self.outbox = Outbox(loop, self.watch.look)
        self._max_connections = max_connections
        self._max_idle = max_idle
        self._idle_expiry = idle_expiry
        self._origins: dict[Origin, OriginPool] = {}
        # Every connection that counts against the limit, from its adoption to its closing.
        self._connections: set[Connection] = set()
        # Idle connections of all origins, the longest idle first.
        self._idle: dict[Connection, None] = {}
        self._dials: dict[Dial, None] = {}
        self.waiters = Waiters(self.sweep)
        # Transports that the event loop has not let go of yet, and tasks not ended.
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False
        # Closing only: settled when the last transport is gone.
        self._all_lost: asyncio.Future[None] | None = None

    # What the engine calls.

    def submit(self, exchange: Exchange) -> None:
        """Start the exchange, now or as soon as there is a connection for it."""
        origin_pool = self._origins.get(exchange.origin)
        if origin_pool is None:
            origin_pool = self._origins[exchange.origin] = OriginPool(exchange.origin)
        idle = origin_pool.idle
        while idle:
            connection, _ = idle.popitem()
            del self._idle[connection]
            # Bytes or an end that have come and not been read yet are not the answer to a
            # request that has not been sent. Asking the kernel costs 0.3 µs; not asking, a
            # lost response or, worse, a foreign one.
            if not connection.poll(0):
                connection.start(exchange, exchange.begun_at)
                return
            connection.close()
            origin_pool = self._origins.setdefault(exchange.origin, origin_pool)
        self._wait(origin_pool, exchange)

    def withdraw(self, exchange: Exchange) -> None:
        """Forget an exchange that nobody wants any more, and its dial."""
        if exchange not in self.waiters.everyone:
            return
        self._stop_waiting(exchange)
        if exchange.dial is not None:
            exchange.dial.cancel()
            exchange.dial = None

    def close_nowait(self) -> None:
        """Fail what is under way and close everything, without waiting for its end."""
        self._is_closed = True
        self.sweep.stop()
        for dial in list(self._dials):
            dial.stop()
        for exchange in list(self.waiters.everyone):
            self._fail_waiting(exchange, EngineClosed("the engine was closed"))
        for connection in list(self._connections):
            connection.fail(EngineClosed("the engine was closed"))
        # Results refer to their connections, and these to their pool: with one pool for each batch,
        # every kept result would keep a buffer.
        self.buffer = memoryview(bytearray())

    async def aclose(self) -> None:
        """Fail what is under way and close everything, within `CLOSE_GRACE`."""
        self.close_nowait()
        tasks = self._tasks - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_GRACE / 2)
        if self._open:
            # Aborted transports let go of their sockets within the next rounds of the loop.
            self._all_lost = self.loop.create_future()
            await asyncio.wait([self._all_lost], timeout=CLOSE_GRACE / 2)

    def counts(self) -> dict[str, int]:
        """Count what there is, for `repr` and statistics."""
        return {
            "connections": len(self._connections),
            "idle": len(self._idle),
            "connecting": len(self._dials),
            "waiting": len(self.waiters.everyone),
            "origins": len(self._origins),
        }

    # What connections call.

    def is_busy(self) -> bool:
        """Whether so much is under way that requests are sent together."""
        return len(self._connections) - len(self._idle) >= WORTH_WAITING

    def connection_opened(self, connection: Connection) -> None:
        """Remember a transport until the event loop lets go of it."""
        self._open.add(connection)

    def connection_lost(self, connection: Connection) -> None:
        """Forget a transport."""
        self._open.discard(connection)
        if self._all_lost is not None and not self._open and not self._all_lost.done():
            self._all_lost.set_result(None)

    def release(self, connection: Connection, now: float, idle_timeout: int | None) -> None:
        """
        Take back a connection that can serve another exchange.

        Args:
            connection: it.
            now: the time.
            idle_timeout: seconds after which the server closes it, where the server said so.
        """
        if now >= connection.retire_at or self._is_closed:
            connection.close()
            return
        if self.waiters.everyone and self._serve_next(connection):
            return
        connection.origin_pool.idle[connection] = None
        self._idle[connection] = None
        expiry = self._idle_expiry
        if idle_timeout is not None:
            # Ahead of the server by a second, or it closes while we write.
            expiry = min(expiry, max(idle_timeout - 1.0, idle_timeout / 2))
        connection.idle_since = now
        connection.deadline = deadline = now + expiry
        if deadline < self.sweep.next_at:
            self.sweep.by(deadline)
        if len(self._idle) > self._max_idle:
            self.sweep.by(now + IDLE_GRACE)

    def forget(self, connection: Connection) -> None:
        """Give up a connection that was closed, and use its place."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        origin_pool = connection.origin_pool
        origin_pool.known_head = connection.protocol.known_head
        origin_pool.connections -= 1
        origin_pool.idle.pop(connection, None)
        self._idle.pop(connection, None)
        self._tidy(origin_pool)
        if self.waiters.starved:
            # Not at once: whoever closes may be about to use the place itself.
            self.loop.call_soon(self._dial_starved)

    def resend(self, exchange: Exchange) -> None:
        """Send an exchange again, on a connection that is opened for it alone."""
        if self._is_closed:
            exchange.fail(EngineClosed("the engine was closed"), monotonic())
            return
        origin_pool = self._origins.get(exchange.origin)
        if origin_pool is None:
            origin_pool = self._origins[exchange.origin] = OriginPool(exchange.origin)
        self.waiters.add(exchange)
        # The place of the connection that has just died is free.
        self._dial(origin_pool, exchange, is_fresh=True)

    # What dials call.

    def dial_succeeded(self, dial: Dial, connection: Connection) -> None:
        """Take over a new connection and put it to use."""
        self._dials.pop(dial, None)
        exchange = self._end_dial(dial)
        if connection.is_closed or self._is_closed:
            connection.close()
            if exchange is not None:
                # It ended between being opened and being used.
                error = TruncatedResponse("the server closed at once", received=False)
                self._fail_waiting(exchange, error)
            self._tidy(dial.origin_pool)
            self._dial_starved()
            return
        origin = dial.origin_pool.origin
        origin_pool = self._origins.setdefault(origin, dial.origin_pool)
        origin_pool.connections += 1
        connection.origin_pool = origin_pool
        connection.protocol.known_head = origin_pool.known_head
        self._connections.add(connection)
        if exchange is not None:
            self._serve(connection, exchange)
        else:
            self.release(connection, monotonic(), None)

    def dial_failed(self, dial: Dial, error: Exception | None) -> None:
        """Fail the exchange that the connection was for, and let another one try."""
        exchange = self._end_dial(dial)
        if exchange is not None and dial.is_taken_over and isinstance(error, TimedOut):
            # The limit began before this exchange came.
            if not self._dial_now(self._origins[exchange.origin], exchange):
                self.waiters.starve(exchange)
        elif exchange is not None and error is not None and self._may_share(exchange, error):
            # Nor does another one get a connection now: they wait for those that there are.
            self.waiters.starve(exchange)
            return
        elif exchange is not None:
            self._fail_waiting(exchange, error or EngineClosed("the engine was closed"))
        self._tidy(dial.origin_pool)
        self._dial_starved()

    def _may_share(self, exchange: Exchange, error: Exception) -> bool:
        """Whether this machine has no connection to give, but others to the origin serve."""
        origin_pool = self._origins.get(exchange.origin)
        if origin_pool is None or not origin_pool.connections or self._is_closed:
            return False
        return any(map(is_exhausted, causes_of(error)))

    def _end_dial(self, dial: Dial) -> Exchange | None:
        """Forget a dial and return the exchange that still waits for it."""
        self._dials.pop(dial, None)
        dial.origin_pool.orphans.pop(dial, None)
        exchange, dial.exchange = dial.exchange, None
        if exchange is None:
            return None
        exchange.dial = None
        exchange.dns, exchange.connect, exchange.tls = dial.dns, dial.connect, dial.tls
        return exchange

    def start_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that closing waits for."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Waiting.

    def _wait(self, origin_pool: OriginPool, exchange: Exchange) -> None:
        self.waiters.add(exchange)
        origin_pool.waiting[exchange] = None
        if origin_pool.orphans:
            dial, _ = origin_pool.orphans.popitem()
            dial.exchange = exchange
            dial.is_taken_over = True
            exchange.dial = dial
        elif not self._dial_now(origin_pool, exchange):
            self.waiters.starve(exchange)

    def _stop_waiting(self, exchange: Exchange) -> None:
        self.waiters.discard(exchange)
        origin_pool = self._origins.get(exchange.origin)
        if origin_pool is not None:
            origin_pool.waiting.pop(exchange, None)
            self._tidy(origin_pool)

    def _fail_waiting(self, exchange: Exchange, error: Exception) -> None:
        self._stop_waiting(exchange)
        if exchange.dial is not None:
            exchange.dial.cancel()
            exchange.dial = None
        exchange.fail(error, monotonic())

    def _serve(self, connection: Connection, exchange: Exchange) -> None:
        self._stop_waiting(exchange)
        dial = exchange.dial
        if dial is not None:
            # It goes on, for the next who waits, or to be idle.
            exchange.dial = None
            dial.exchange = None
            dial.origin_pool.orphans[dial] = None
        connection.start(exchange, monotonic())

    def _serve_next(self, connection: Connection) -> bool:
        """Serve who has waited longest, if anybody waits whom this connection helps."""
        origin_pool = connection.origin_pool
        mine = next(iter(origin_pool.waiting), None)
        starved = self.waiters.first_starved()
        if starved is not None and (mine is None or starved.order < mine.order):
            # Whoever has waited longest needs another origin, and there is no place but this.
            connection.close()
            return True
        if mine is None:
            return False
        self._serve(connection, mine)
        return True

    # Dialling.

    def _dial_now(self, origin_pool: OriginPool, exchange: Exchange) -> bool:
        if len(self._connections) + len(self._dials) >= self._max_connections:
            if not self._idle:
                return False
            next(iter(self._idle)).close()
        self._dial(origin_pool, exchange, is_fresh=False)
        return True

    def _dial(self, origin_pool: OriginPool, exchange: Exchange, *, is_fresh: bool) -> None:
        self._origins.setdefault(origin_pool.origin, origin_pool)
        dial = Dial(self, origin_pool, exchange, is_fresh=is_fresh)
        self._dials[dial] = None
        self.waiters.feed(exchange)
        dial.begin()

    def _dial_starved(self) -> None:
        while not self._is_closed:
            exchange = self.waiters.first_starved()
            if exchange is None:
                return
            if not self._dial_now(self._origins[exchange.origin], exchange):
                return

    def _tidy(self, origin_pool: OriginPool) -> None:
        # By identity: a dial may outlive the record it was begun for.
        if origin_pool.is_empty and self._origins.get(origin_pool.origin) is origin_pool:
            del self._origins[origin_pool.origin]

    # Time.

    def _look(self, now: float) -> float:
        """Act on every deadline that has passed, and return the next one."""
        following = NEVER
        for connection in list(self._connections):
            deadline = connection.deadline
            if deadline <= now:
                connection.expire(now)
            elif deadline < following:
                following = deadline
        ended, next_end = self.waiters.split(now)
        for exchange in ended:
            self._expire_waiting(exchange, now)
        return min(following, next_end, self._close_surplus(now))

    def _expire_waiting(self, exchange: Exchange, now: float) -> None:
        phase: Phase = "total" if now >= exchange.deadline else "pool"
        self._fail_waiting(exchange, TimedOut(phase))

    def _close_surplus(self, now: float) -> float:
        """Close idle connections beyond the limit, and say when to look again."""
        while len(self._idle) > self._max_idle:
            connection = next(iter(self._idle))
            close_at = connection.idle_since + IDLE_GRACE
            if close_at > now:
                return close_at
            connection.close()
        return NEVER
