"""
Dials: attempts to open a connection, in a task unless it is immediate.

The task is not the exchange's. If another connection becomes free first, it serves the exchange,
and the new one serves the next. The pool decides whether there is room for a dial, and what happens
to the exchange if it fails.
"""

from __future__ import annotations

from typing import Protocol, cast

import anyio

from asyncbatch._engine._errors import (
    ConnectFailed,
    HandshakeFailed,
    ProxyFailed,
    ResolveFailed,
    TimedOut,
)
from asyncbatch._engine._event_loop import EventLoop, Task
from asyncbatch._engine._exchange import Exchange
from asyncbatch._engine.connect._connector import Connector
from asyncbatch._engine.connect._phases import ConnectPhases
from asyncbatch._engine.connect._sockets import StartedConnect
from asyncbatch._engine.connection._pooled import PooledConnection
from asyncbatch._engine.io._attach import Attacher
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._transport import Transport
from asyncbatch._engine.pool._origin_pool import OriginPool
from asyncbatch._runtime._stalls import TimeLimit

RETRY_BACKOFF = 0.5
"""Seconds before the second retry of a connect; the first is immediate, later ones double it."""


class DialOwner(Protocol):
    """What a dial calls on the pool."""

    def connection_on(self, transport: Transport, origin_pool: OriginPool) -> PooledConnection:
        """
        Make a connection on an open transport.

        Raises:
            ConnectFailed: The transport cannot be used; it is closed.
        """
        ...

    def dial_succeeded(
        self, dial: Dial, exchange: Exchange | None, connection: PooledConnection
    ) -> None:
        """Use a new connection, first for the exchange that still waits for it."""
        ...

    def dial_failed(self, dial: Dial, exchange: Exchange | None, error: Exception | None) -> None:
        """Handle the exchange that still waits; without an error, the dial was cancelled."""
        ...


class Dialler:
    """
    What the dials of a pool share, and the set of those in progress.

    Args:
        owner: Makes connections on the transports, and receives the result of each dial.
        loop: The event loop.
        connector: Opens the transports.
        attacher: Makes the transports of sockets.
        closing: Runs the tasks.
    """

    __slots__ = ("attacher", "closing", "connector", "dials", "loop", "owner")

    def __init__(
        self,
        owner: DialOwner,
        loop: EventLoop,
        connector: Connector,
        attacher: Attacher,
        closing: Closing,
    ) -> None:
        self.owner = owner
        self.loop = loop
        self.connector = connector
        self.attacher = attacher
        self.closing = closing
        # The dials in progress. Each dial adds and removes itself.
        self.dials: dict[Dial, None] = {}

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of all dials in progress."""
        for dial in self.dials:
            dial.take_out(seconds)

    def stop(self) -> None:
        """Cancel all dials in progress."""
        for dial in list(self.dials):
            dial.stop()


class Dial:
    """
    Opens a connection for an exchange, or for another one that waits once it is open.

    Args:
        dialler: What it shares with the other dials.
        origin_pool: The pool of its origin.
        exchange: The exchange that waits for it.
        is_fresh: Whether no other connection may serve that exchange.

    Attributes:
        exchange: The exchange that waits for it; `None` after another connection has served that.
        is_taken_over: Whether `exchange` is not the one that it was begun for.
    """

    __slots__ = (
        "_begun",
        "_dialler",
        "_limit",
        "_phases",
        "_task",
        "exchange",
        "is_fresh",
        "is_taken_over",
        "origin_pool",
    )

    def __init__(
        self, dialler: Dialler, origin_pool: OriginPool, exchange: Exchange, *, is_fresh: bool
    ) -> None:
        self._dialler = dialler
        self.origin_pool = origin_pool
        self.exchange: Exchange | None = exchange
        self.is_fresh = is_fresh
        self.is_taken_over = False
        self._phases = ConnectPhases(exchange.observer)
        exchange.dial = self
        dialler.dials[self] = None
        # What `begin` has opened, until the task uses it.
        self._begun: StartedConnect | None = None
        self._task: Task[PooledConnection] | None = None
        # Set while the task connects.
        self._limit: TimeLimit | None = None

    def begin(self) -> None:
        """
        Connect at once if nothing has to be waited for, otherwise in a task.

        A plain connection to a known address of this host costs 14 µs less without the task.
        """
        exchange = self.exchange
        assert exchange is not None
        dialler = self._dialler
        connector = dialler.connector
        if not connector.retries and exchange.observer is None:
            origin = self.origin_pool.origin
            try:
                begun = connector.begin(origin, self._phases, dialler.attacher)
                if begun is None or isinstance(begun, StartedConnect):
                    self._begun = begun
                else:
                    self._succeeded(dialler.owner.connection_on(begun, self.origin_pool))
                    return
            except Exception as exc:
                # Not at once: if all waiting exchanges failed in turn, the recursion would be too
                # deep.
                dialler.loop.call_soon(self._failed, exc)
                return
        self._task = dialler.closing.start_task(self._run(exchange.limits.connect_timeout))
        # A callback, since a task that is cancelled before its first step never runs its coroutine.
        self._task.add_done_callback(self._ended)

    def tell(self, exchange: Exchange) -> None:
        """Copy the duration of each phase so far to an exchange that was served or has ended."""
        self._phases.tell(exchange)

    def spare(self, exchange: Exchange) -> None:
        """Continue for the next waiting exchange, since this one was served otherwise."""
        self._leave(exchange)
        self.origin_pool.spare_dials[self] = None

    def take_over(self, exchange: Exchange) -> None:
        """Continue for this exchange, instead of the one that the dial was begun for."""
        exchange.dial = self
        self.exchange = exchange
        self._phases.observer = exchange.observer
        self._phases.count_from_now()
        self.is_taken_over = True

    def pass_on(self, exchange: Exchange, other: Exchange) -> None:
        """Continue for another exchange, since this one waits no more."""
        self._leave(exchange)
        self.take_over(other)

    def cancel(self, exchange: Exchange) -> None:
        """Cancel the dial, since the exchange waits no more; the task calls `dial_failed`."""
        self._leave(exchange)
        self.stop()

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of the phases and the limit."""
        self._phases.take_out(seconds)
        if self._limit is not None:
            self._limit.extend(seconds)

    def stop(self) -> None:
        """Cancel the task, if there is one."""
        if self._task is not None:
            self._task.cancel()

    def _leave(self, exchange: Exchange) -> None:
        exchange.dial = self.exchange = self._phases.observer = None

    async def _run(self, limit: float | None) -> PooledConnection:
        retries = self._dialler.connector.retries
        delay = 0.0
        while True:
            try:
                return await self._connect(limit)
            except (ConnectFailed, HandshakeFailed, ProxyFailed, ResolveFailed, TimedOut) as exc:
                if retries <= 0 or (isinstance(exc, ProxyFailed) and exc.is_lasting):
                    raise
            retries -= 1
            self._phases.begin_again()
            self._phases.observe("connection.retry.started")
            await anyio.sleep(delay)
            self._phases.observe("connection.retry.complete", return_value=None)
            delay = delay * 2 or RETRY_BACKOFF

    async def _connect(self, limit: float | None) -> PooledConnection:
        dialler, origin_pool = self._dialler, self.origin_pool
        with TimeLimit(limit) as self._limit:
            begun, self._begun = self._begun, None
            transport = await dialler.connector.connect(
                origin_pool.origin, self._phases, dialler.attacher, begun
            )
            return dialler.owner.connection_on(transport, origin_pool)
        raise TimedOut("connect")

    def _ended(self, task: Task[PooledConnection]) -> None:
        if task.cancelled():
            if self._begun is not None:
                self._begun.sock.close()
            self._failed(None)
        elif (error := task.exception()) is not None:
            # On trio, it may not be an `Exception`; it is raised where the exchange is awaited.
            self._failed(cast("Exception", error))
        else:
            self._succeeded(task.result())

    def _succeeded(self, connection: PooledConnection) -> None:
        self._dialler.owner.dial_succeeded(self, self._end(), connection)

    def _failed(self, error: Exception | None) -> None:
        self._dialler.owner.dial_failed(self, self._end(), error)

    def _end(self) -> Exchange | None:
        """Remove the dial, and return the exchange that still waits for it."""
        self._dialler.dials.pop(self, None)
        self.origin_pool.spare_dials.pop(self, None)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.dial = None
            self._phases.tell(exchange)
        return exchange
