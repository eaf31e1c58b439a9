"""
One attempt to open a connection, in a task that the pool owns where it takes time.

The task is not the exchange's: a connection that becomes free may serve the exchange first, and
then the dialled one serves the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from asyncbatch._stalls import TimeLimit
from asyncbatch._transport._attaching import attach, attach_nowait
from asyncbatch._transport._errors import ConnectFailed, HandshakeFailed, ResolveFailed, TimedOut
from asyncbatch._transport._exchange import Exchange

if TYPE_CHECKING:
    from asyncbatch._transport._connection import Connection
    from asyncbatch._transport._origin import OriginPool
    from asyncbatch._transport._pool import Pool
    from asyncbatch._transport._sockets import Begun

Phase: TypeAlias = Literal["dns", "connect", "tls"]

RETRY_BACKOFF = 0.5
"""Seconds before the second retry of a connect; the first comes at once, later ones double."""


class Dial:
    """
    Opens a connection for an exchange, or for whoever waits when it is open.

    Attributes:
        exchange: for whom; None once that one was served otherwise.
        is_taken_over: whether it is for another one now than it was begun for.
        dns, connect, tls: seconds each phase took, successful or not; None where it did not occur,
            or is under way.
    """

    __slots__ = (
        "_begun",
        "_limit",
        "_phase",
        "_phase_at",
        "_task",
        "connect",
        "dns",
        "exchange",
        "is_fresh",
        "is_taken_over",
        "origin_pool",
        "pool",
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
        # The phase under way, and since when.
        self._phase: Phase | None = None
        self._phase_at = 0.0
        exchange.dial = self
        # What `begin` has begun, until the task takes it over.
        self._begun: Begun | None = None
        self._task: asyncio.Task[Connection] | None = None
        # While it connects in a task.
        self._limit: TimeLimit | None = None

    def begin(self) -> None:
        """
        Connect at once where nothing has to be waited for, else in a task.

        A plain connection to a known address of this host costs 14 us less without the task.
        """
        exchange = self.exchange
        assert exchange is not None
        pool = self.pool
        connector = pool.connector
        if not connector.retries and exchange.observer is None:
            try:
                begun = self._begun = connector.begin(self.origin_pool.origin, self)
                connection = None
                if begun is not None and begun.is_connected and not self.origin_pool.origin.is_tls:
                    connection = attach_nowait(pool, begun.sock)
                    if connection is None:
                        self._start(attach(pool, begun.sock))
                        return
            except Exception as exc:
                # Not at once: where all that wait fail in turn, the stack would not be deep enough.
                pool.loop.call_soon(pool.dialler.failed, self, exc)
                return
            if connection is not None:
                pool.dialler.succeeded(self, connection)
                return
        self._start(self._run(exchange.terms.connect_timeout))

    def _start(self, opening: Coroutine[Any, Any, Connection]) -> None:
        self._task = self.pool.unfinished.start_task(opening)
        # Not the end of the coroutine: a task cancelled before its first step never enters it.
        self._task.add_done_callback(self._ended)

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """Begin a phase, now or at a time that has passed."""
        self._phase = phase
        self._phase_at = monotonic() if at is None else at

    def leave(self) -> None:
        """End the phase under way, if there is one."""
        if self._phase is not None:
            setattr(self, self._phase, monotonic() - self._phase_at)
            self._phase = None

    def tell(self, exchange: Exchange) -> None:
        """Tell an exchange that ends or is served how long each phase took, or has taken so far."""
        exchange.dns, exchange.connect, exchange.tls = self.dns, self.connect, self.tls
        if self._phase is not None:
            setattr(exchange, self._phase, monotonic() - self._phase_at)

    def observe(self, name: str, **info: Any) -> None:
        """Report a step to the exchange's observer, if it has one."""
        exchange = self.exchange
        if exchange is not None and exchange.observer is not None:
            exchange.observer(name, info)

    def spare(self, exchange: Exchange) -> None:
        """Go on without an exchange that was served otherwise, for the next that waits."""
        exchange.dial = self.exchange = None
        self.origin_pool.spare_dials[self] = None

    def take_over(self, exchange: Exchange) -> None:
        """Go on for an exchange that waits, instead of the one that it was begun for."""
        exchange.dial = self
        self.exchange = exchange
        self.is_taken_over = True

    def cancel(self, exchange: Exchange) -> None:
        """Give up, since the exchange waits no more; the pool learns it when the task has ended."""
        exchange.dial = self.exchange = None
        self.stop()

    def take_out(self, seconds: float) -> None:
        """Take time in which the loop stood still out of the phases and of the limit."""
        self._phase_at += seconds
        if self._limit is not None:
            self._limit.extend(seconds)

    def stop(self) -> None:
        """Have the task end, if there is one."""
        if self._task is not None:
            self._task.cancel()

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
        with TimeLimit(limit) as self._limit:
            begun, self._begun = self._begun, None
            return await self.pool.connector.connect(self.pool, origin, self, begun)
        raise TimedOut("connect")

    def _ended(self, task: asyncio.Task[Connection]) -> None:
        if task.cancelled():
            if self._begun is not None:
                self._begun.sock.close()
            self.pool.dialler.failed(self, None)
        elif (error := task.exception()) is not None:
            assert isinstance(error, Exception), error
            self.pool.dialler.failed(self, error)
        else:
            self.pool.dialler.succeeded(self, task.result())
