"""
`Engine`: sends exchanges over a pool that belongs to the running event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
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

    It is bound to the event loop of its first exchange. After that loop was closed, the next
    exchange binds it to another one.

    Args:
        connector: Opens the connections.
        max_connections: Most open connections, idle ones included.
        max_in_use: Most connections being opened or serving an exchange, `max_connections` at most;
            `None`: all that may be open.
        max_idle: Most idle connections to keep; `None`: all of them.
        idle_expiry: Seconds to keep an idle connection.
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
        """Called when the loop was blocked, for other code that measures its exchanges."""
        self.on_error: Callable[[BaseException], bool] | None = None
        """Called with an error of a callback, for which no task waits; returns whether a batch
        ends with it."""
        # Those that errors have closed, until their tasks have ended.
        self._broken: list[Pool] = []
        self.in_clients: set[Exchange] = set()
        """Exchanges that tasks of httpx's clients wait for, which no batch ends."""

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

        The caller must wait for its `future`, or call `abandon`.

        Args:
            origin: The origin of the request.
            method: The method; it must be the one in `payload`.
            payload: The head of the request as encoded by `http11`, with or without a short body.
            body: A longer or streamed body.
            limits: The limits of this exchange.
            deadline: When it must end, on the monotonic clock.
            closes: Whether the request has `Connection: close`.
            observer: Told of the steps of the exchange.
            follow: Called when the response is complete, instead of waking a task; see `Follow`.
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
        try:
            pool.submit(exchange)
        except BaseException as error:
            pool.break_down(error)
            raise
        return exchange

    def begin_again(
        self, exchange: Exchange, origin: Origin, method: bytes, payload: bytes, deadline: float
    ) -> bool:
        """
        Renew and start an exchange that has ended well, and whose future is pending.

        This is `begin` for the holder of the only reference, without making an exchange.

        Returns:
            `False` if it does not belong to the running event loop, or the engine is closed.
        """
        pool = self._pool
        if (
            pool is None
            or asyncio._get_running_loop() is not pool.loop
            or exchange.future.get_loop() is not pool.loop
        ):
            return False
        exchange.renew(origin, method, payload, deadline, monotonic())
        try:
            pool.submit(exchange)
        except BaseException as error:
            pool.break_down(error)
            raise
        return True

    def submit(self, exchange: Exchange) -> None:
        """Start a renewed exchange, outside of the callback that has received its last response."""
        if self._pool is None:
            exchange.fail(EngineClosed("the engine was closed"), monotonic())
        else:
            self._pool.submit(exchange)

    def abandon(self, exchange: Exchange) -> None:
        """
        Give up an exchange in any state, and everything that belongs to it.

        Its connection is closed, since the rest of the response would arrive on it.
        """
        exchange.future.cancel()
        connection = exchange.active_connection
        if connection is not None:
            connection.abandon()
        elif self._pool is not None:
            self._pool.withdraw(exchange)
        if not exchange.is_over:
            exchange.ended_at = monotonic()

    def tell_of_error(self, error: BaseException) -> None:
        """Report an error of a callback of the event loop, for which no task waits."""
        if not self._has_told(error):
            text = "a callback of a request failed"
            running_loop().call_exception_handler({"message": text, "exception": error})

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop, from `before` on, out of everything in flight."""
        if self._pool is not None:
            self._pool.clocks.take_out(seconds, before)

    def close_nowait(self) -> None:
        """Close every connection without waiting for its end; call it in the loop's own thread."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if pool.loop.is_closed():
            pool.close_sockets()
        else:
            pool.close_nowait()

    async def aclose(self) -> None:
        """Close every connection, and fail everything in flight. Takes a second at most."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        broken, self._broken = self._broken, []
        for each in broken:
            await each.closing.wait_until_ended()
        if pool is None:
            return
        if pool.loop is running_loop():
            await pool.aclose()
        elif pool.loop.is_closed():
            pool.close_sockets()

    def counts(self) -> dict[str, int]:
        """Count connections and waiters."""
        return {} if self._pool is None else self._pool.counts()

    def _pool_here(self) -> Pool:
        """Return the pool of the running loop, asyncio's or not."""
        loop = running_loop()
        return (
            self._pool if self._pool is not None and self._pool.loop is loop else self._bind(loop)
        )

    def _bind(self, loop: EventLoop) -> Pool:
        if self._is_closed:
            raise EngineClosed("the engine is closed")
        if self._pool is not None:
            if not self._pool.loop.is_closed():
                raise RuntimeError("the engine belongs to another event loop that is still open")
            self._pool.close_sockets()
        self._pool = pool = Pool(
            loop,
            self.connector,
            max_connections=self._max_connections,
            max_in_use=self._max_in_use,
            max_idle=self._max_idle,
            idle_expiry=self._idle_expiry,
        )
        pool.clocks.on_stall = self._tell_of_stall
        pool.on_error = partial(self._replace_broken, pool)
        return pool

    def _replace_broken(self, pool: Pool, error: BaseException) -> bool:
        if self._pool is pool:
            self._pool = None
            self._broken = [*(each for each in self._broken if each.loop is pool.loop), pool]
        has_told = self._has_told(error)
        # Those that the pool still knows are failed by its end, in this turn.
        waited_for = [one for one in self.in_clients if one.future.get_loop() is pool.loop]
        if waited_for:
            pool.loop.call_soon(_fail_lost, waited_for, error)
        return has_told or bool(waited_for)

    def _has_told(self, error: BaseException) -> bool:
        return self.on_error is not None and self.on_error(error)

    def _tell_of_stall(self, seconds: float, before: float) -> None:
        if self.on_stall is not None:
            self.on_stall(seconds, before)


def take_error(exchange: Exchange) -> Exception:
    """Remove and return the error, so that its traceback and the exchange form no cycle."""
    error = exchange.error
    exchange.error = None
    return InvalidRequest("the exchange has failed before") if error is None else error


def _fail_lost(exchanges: list[Exchange], error: BaseException) -> None:
    """Fail the exchanges that were lost by a pool that `error` has closed."""
    failure = error if isinstance(error, Exception) else EngineClosed("the engine was closed")
    for exchange in exchanges:
        if not exchange.future.done():
            exchange.fail(failure, monotonic())
