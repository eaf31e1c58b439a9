"""
One attempt to open a connection, in a task that the pool owns.

The task is not the exchange's: a connection that becomes free may serve the exchange first, and
then the dialled one serves the next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncbatch._transport._errors import ConnectFailed, HandshakeFailed, ResolveFailed, TimedOut
from asyncbatch._transport._exchange import Exchange

if TYPE_CHECKING:
    from asyncbatch._transport._connection import Connection
    from asyncbatch._transport._origin import OriginPool
    from asyncbatch._transport._pool import Pool

RETRY_BACKOFF = 0.5
"""Seconds before the second retry of a connect; the first comes at once, later ones double."""


class Dial:
    """
    Opens a connection for an exchange, or for whoever waits when it is open.

    Attributes:
        exchange: for whom; None once that one was served otherwise.
        is_taken_over: whether it is for another one now than it was begun for.
        dns, connect, tls: seconds each phase took, None where it did not occur.
    """

    __slots__ = (
        "connect",
        "dns",
        "exchange",
        "is_fresh",
        "is_taken_over",
        "origin_pool",
        "pool",
        "task",
        "tls",
    )

    def __init__(
        self, pool: Pool, origin_pool: OriginPool, exchange: Exchange, *, is_fresh: bool
    ) -> None:
        self.pool = pool
        self.origin_pool = origin_pool
        self.exchange: Exchange | None = exchange
        # Whether the exchange must not be served by any other connection.
        self.is_fresh = is_fresh
        self.is_taken_over = False
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        exchange.dial = self
        self.task = pool.start_task(self._run(exchange.terms.connect_timeout))
        # Not the end of the coroutine: a task cancelled before its first step never enters it.
        self.task.add_done_callback(self._ended)

    def observe(self, name: str, **info: Any) -> None:
        """Report a step to the exchange's observer, if it has one."""
        exchange = self.exchange
        if exchange is not None and exchange.observer is not None:
            exchange.observer(name, info)

    def cancel(self) -> None:
        """Give up; the pool learns it when the task has ended."""
        self.exchange = None
        self.task.cancel()

    async def _run(self, limit: float | None) -> Connection:
        retries = self.pool.connector.retries
        delay = 0.0
        while True:
            try:
                return await self._connect(limit)
            except (ConnectFailed, HandshakeFailed, ResolveFailed, TimedOut):
                if retries <= 0:
                    raise
            retries -= 1
            self.observe("connection.retry.started")
            await asyncio.sleep(delay)
            self.observe("connection.retry.complete", return_value=None)
            delay = delay * 2 or RETRY_BACKOFF

    async def _connect(self, limit: float | None) -> Connection:
        origin = self.origin_pool.origin
        try:
            async with asyncio.timeout(limit):
                return await self.pool.connector.connect(self.pool, origin, self)
        except TimeoutError as exc:
            raise TimedOut("connect") from exc

    def _ended(self, task: asyncio.Task[Connection]) -> None:
        if task.cancelled():
            self.pool.dial_failed(self, None)
        elif (error := task.exception()) is not None:
            assert isinstance(error, Exception), error
            self.pool.dial_failed(self, error)
        else:
            self.pool.dial_succeeded(self, task.result())
