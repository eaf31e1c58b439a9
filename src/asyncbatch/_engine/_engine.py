"""
The engine: exchanges in, responses out, over a pool that belongs to the running event loop.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from asyncbatch._engine._errors import EngineClosed
from asyncbatch._engine._event_loop import EventLoop, running_loop
from asyncbatch._engine._exchange import (
    NEVER,
    Body,
    Exchange,
    ExchangeLimits,
    Follow,
    Observer,
    Origin,
)
from asyncbatch._engine.connect._connector import Connector
from asyncbatch._engine.http11 import InvalidRequest
from asyncbatch._engine.pool._pool import Pool
from asyncbatch._runtime._stalls import TakeOut

DEFAULT_LIMITS = ExchangeLimits()


class Engine:
    """
    Sends HTTP/1.1 requests over kept connections, on asyncio, uvloop and trio.

    Bound to the event loop of its first exchange; when that loop has been closed, the next
    exchange binds it anew.

    Args:
        connector: opens its connections.
        max_connections: open connections at a time, idle ones included.
        max_in_use: connections being opened or serving an exchange; None: all that may be open.
        max_idle: idle connections to keep; None keeps all of them.
        idle_expiry: seconds an idle connection is kept.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        max_connections: int = 100,
        max_in_use: int | None = None,
        max_idle: int | None = None,
        idle_expiry: float = 4.0,
    ) -> None:
        self.connector = connector
        self._max_connections = max_connections
        self._max_in_use = max_connections if max_in_use is None else max_in_use
        self._max_idle = max_connections if max_idle is None else max_idle
        self._idle_expiry = idle_expiry
        self._pool: Pool | None = None
        self._is_closed = False
        self.on_stall: TakeOut | None = None
        """Called where the loop stood still, for whoever else keeps the time of its exchanges."""

    async def exchange(
        self,
        origin: Origin,
        method: bytes,
        payload: bytes,
        body: Body = None,
        *,
        limits: ExchangeLimits = DEFAULT_LIMITS,
        deadline: float = NEVER,
        closes: bool = False,
    ) -> Exchange:
        """
        Send a request and return the exchange, complete or, with `limits.streams`, begun.

        Args:
            origin: where to.
            method: the method; it must be the one in `payload`.
            payload: the request's head as encoded by `_http11`, with or without a short body.
            body: a longer or streamed body.
            limits: of this exchange.
            deadline: when to give up, on the monotonic clock.
            closes: whether the request says `Connection: close`.

        Raises:
            ExchangeError: there is no complete response; see `_errors`.
            Exception: whatever a streamed body raised.
        """
        exchange = self.begin(origin, method, payload, body, limits, deadline, closes)
        try:
            await exchange.future
        except BaseException:
            self.abandon(exchange)
            raise
        # A streamed body brings its error where it breaks off, behind what came.
        if exchange.error is not None and (exchange.head is None or not limits.streams):
            raise take_error(exchange)
        return exchange

    def begin(
        self,
        origin: Origin,
        method: bytes,
        payload: bytes,
        body: Body = None,
        limits: ExchangeLimits = DEFAULT_LIMITS,
        deadline: float = NEVER,
        closes: bool = False,
        observer: Observer | None = None,
        follow: Follow | None = None,
    ) -> Exchange:
        """
        Start an exchange without waiting for it.

        Whoever begins one must wait for its `future` or `abandon` it.
        """
        loop = asyncio._get_running_loop()
        pool = self._pool
        if loop is None or pool is None or pool.loop is not loop:
            pool = self._pool_here()
        exchange = Exchange(
            pool.loop.create_future(),
            origin,
            method,
            payload,
            body,
            limits,
            deadline,
            closes,
            monotonic(),
        )
        if observer is not None:
            exchange.observer = observer
        exchange.follow = follow
        pool.submit(exchange)
        return exchange

    def abandon(self, exchange: Exchange) -> None:
        """
        Give an exchange up at any point of its way: nothing of it stays behind.

        A connection that it is on is closed, since the rest of its response would come on it.
        """
        exchange.future.cancel()
        connection = exchange.active_connection
        if connection is not None:
            connection.abandon()
        elif self._pool is not None:
            self._pool.withdraw(exchange)
        if not exchange.is_over:
            exchange.ended_at = monotonic()

    def take_out(self, seconds: float, before: float) -> None:
        """Take time in which the loop stood still, from `before` on, out of what is under way."""
        if self._pool is not None:
            self._pool.take_out(seconds, before)

    def close_nowait(self) -> None:
        """Close every connection without waiting for its end; in the loop's own thread."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close_nowait()

    async def aclose(self) -> None:
        """Close every connection; what is under way fails. Takes a second at most."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is running_loop():
            await pool.aclose()

    def counts(self) -> dict[str, int]:
        """Count connections and waiters."""
        return {} if self._pool is None else self._pool.counts()

    def _pool_here(self) -> Pool:
        """Return the pool of the running loop, be it asyncio's or not."""
        loop = running_loop()
        return (
            self._pool if self._pool is not None and self._pool.loop is loop else self._bind(loop)
        )

    def _bind(self, loop: EventLoop) -> Pool:
        if self._is_closed:
            raise EngineClosed("the engine is closed")
        if self._pool is not None and not self._pool.loop.is_closed():
            raise RuntimeError("the engine belongs to another event loop that is still open")
        self._pool = Pool(
            loop,
            self.connector,
            max_connections=self._max_connections,
            max_in_use=self._max_in_use,
            max_idle=self._max_idle,
            idle_expiry=self._idle_expiry,
        )
        self._pool.on_stall = self._tell_of_stall
        return self._pool

    def _tell_of_stall(self, seconds: float, before: float) -> None:
        if self.on_stall is not None:
            self.on_stall(seconds, before)


def take_error(exchange: Exchange) -> Exception:
    """Take the error out, so that its traceback and the exchange do not keep one another."""
    error = exchange.error
    exchange.error = None
    return InvalidRequest("the exchange has failed before") if error is None else error
