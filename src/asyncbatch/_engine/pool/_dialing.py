"""
`Dialler`: opens connections for exchanges that wait, as many as there is room for.

A `Dial` opens one, in a task unless it is immediate. The task is not the exchange's. If another
connection becomes free first, it serves the exchange, and the new one serves the next. The pool
decides which exchange needs a connection, and which one a new connection serves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sized
from functools import partial
from typing import Protocol, cast

import anyio

from asyncbatch._engine._errors import (
    ConnectFailed,
    EngineClosed,
    HandshakeFailed,
    ProxyFailed,
    ResolveFailed,
    TimedOut,
    causes_of,
    is_exhausted,
    lacks_descriptors,
)
from asyncbatch._engine._event_loop import Task
from asyncbatch._engine._exchange import Exchange
from asyncbatch._engine.connect._connector import Connector
from asyncbatch._engine.connect._phases import ConnectPhases
from asyncbatch._engine.connect._sockets import StartedConnect
from asyncbatch._engine.connection._pooled import PooledConnection
from asyncbatch._engine.connection._proxied import as_proxys_fault
from asyncbatch._engine.http11 import TruncatedResponse
from asyncbatch._engine.io._attach import Attacher
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._guarded_loop import GuardedLoop
from asyncbatch._engine.io._transport import Transport
from asyncbatch._engine.pool._idle import IdleConnections
from asyncbatch._engine.pool._origin_pool import OriginPool
from asyncbatch._engine.pool._waiters import Waiters
from asyncbatch._runtime._stalls import TimeLimit

RETRY_BACKOFF = 0.5
"""Seconds before the second retry of a connect; the first is immediate, later ones double it."""


class DialOwner(Protocol):
    """The pool, for the dialler and its dials."""

    def connection_on(self, transport: Transport, origin_pool: OriginPool) -> PooledConnection:
        """
        Make a connection on an open transport.

        Raises:
            ConnectFailed: The transport cannot be used; it is closed.
        """
        ...

    def connection_opened(
        self, connection: PooledConnection, origin_pool: OriginPool, exchange: Exchange | None
    ) -> None:
        """Use a new connection, first for the exchange that still waits for it."""
        ...

    def fail_waiting(self, exchange: Exchange, error: Exception) -> None:
        """Fail an exchange that still waits."""
        ...

    def dial_ended(self, origin_pool: OriginPool) -> None:
        """Use the place of a dial that has opened nothing."""
        ...


class Dialler:
    """
    Begins dials if there is room, and decides about the exchanges of those that fail.

    Args:
        owner: Makes connections on the transports, and uses them.
        loop: The event loop.
        connector: Opens the transports.
        attacher: Makes the transports of sockets.
        closing: Runs the tasks.
        in_use: The connections that serve exchanges.
        idle: The idle connections, which make room if needed.
        waiters: The exchanges that have no connection.
        max_connections: Most connections open or being opened, idle ones included.
        max_in_use: Most connections being opened or serving an exchange; `max_connections` at most.

    Attributes:
        dials: The dials in progress. Each dial adds and removes itself.
        is_stopped: Whether nothing more is opened.
    """

    __slots__ = (
        "_idle",
        "_in_use",
        "_max_connections",
        "attacher",
        "closing",
        "connector",
        "dials",
        "is_stopped",
        "loop",
        "max_in_use",
        "owner",
        "waiters",
    )

    def __init__(
        self,
        owner: DialOwner,
        loop: GuardedLoop,
        connector: Connector,
        attacher: Attacher,
        closing: Closing,
        *,
        in_use: Sized,
        idle: IdleConnections,
        waiters: Waiters,
        max_connections: int,
        max_in_use: int,
    ) -> None:
        self.owner = owner
        self.loop = loop
        self.connector = connector
        self.attacher = attacher
        self.closing = closing
        self._in_use = in_use
        self._idle = idle
        self.waiters = waiters
        self._max_connections = max_connections
        self.max_in_use = max_in_use
        self.dials: dict[Dial, None] = {}
        self.is_stopped = False

    def dial_if_room(self, origin_pool: OriginPool, exchange: Exchange) -> bool:
        """Open a connection if there is room, closing an idle one if needed; return whether."""
        in_use = len(self._in_use) + len(self.dials)
        if in_use >= self.max_in_use:
            return False
        if in_use + len(self._idle.members) >= self._max_connections:
            # There is an idle one, since `max_in_use` is not above `max_connections`.
            self._idle.close_oldest()
        self.dial(origin_pool, exchange)
        return True

    def dial(self, origin_pool: OriginPool, exchange: Exchange, *, is_fresh: bool = False) -> None:
        """Open a connection, whether there is room or not; `is_fresh` as for `Dial`."""
        self.waiters.dial_begun(exchange)
        Dial(self, origin_pool, exchange, is_fresh=is_fresh).begin()

    def dial_for_hoping(self, origin_pool: OriginPool) -> None:
        """Open as many connections as those need that wait for other exchanges' connections."""
        hoping = origin_pool.hoping
        while hoping and not self.is_stopped and not origin_pool.has_enough_opening:
            exchange, _ = hoping.popitem(last=False)
            if not self.dial_if_room(origin_pool, exchange):
                self.waiters.starve(exchange)

    def dial_failed(self, dial: Dial, exchange: Exchange | None, error: Exception | None) -> None:
        """
        Fail the exchange that waits for this dial, or have it dial or wait again.

        Args:
            dial: The dial, which has ended.
            exchange: The exchange that still waits for it.
            error: Why it has failed; `None` if it was cancelled.
        """
        origin_pool = dial.origin_pool
        waits_for_others = exchange is not None and self._waits_for_others(dial, exchange, error)
        # Not before: it keeps the `OriginPool` while connections are closed to make room.
        origin_pool.opening.pop(dial, None)
        if not waits_for_others:
            self.dial_for_hoping(origin_pool)
            self.owner.dial_ended(origin_pool)

    def _waits_for_others(self, dial: Dial, exchange: Exchange, error: Exception | None) -> bool:
        """Fail an exchange or dial again; return whether only open connections can serve it."""
        origin_pool = dial.origin_pool
        if error is None:
            self.owner.fail_waiting(exchange, EngineClosed("the engine was closed"))
        elif dial.is_taken_over and isinstance(error, TimedOut):
            # The time limit began before the dial took over this exchange.
            if not self.dial_if_room(origin_pool, exchange):
                self.waiters.starve(exchange)
        elif self._can_make_room(error):
            self.dial(origin_pool, exchange, is_fresh=dial.is_fresh)
        elif self._may_share(origin_pool, error):
            # No other exchange gets a new connection now, either.
            origin_pool.waiting[exchange] = None
            self.waiters.starve(exchange)
            return True
        else:
            self.owner.fail_waiting(exchange, error)
        return False

    def _can_make_room(self, error: Exception) -> bool:
        """Close an idle connection if descriptors were lacking; return whether one was closed."""
        if self.is_stopped or not any(map(lacks_descriptors, causes_of(error))):
            return False
        return self._idle.close_oldest()

    def _may_share(self, origin_pool: OriginPool, error: Exception) -> bool:
        """Whether this machine can open no connection, but others to the origin are open."""
        if self.is_stopped or not origin_pool.connections:
            return False
        return any(map(is_exhausted, causes_of(error)))

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of all dials in progress."""
        for dial in self.dials:
            dial.take_out(seconds)

    def stop(self) -> None:
        """Cancel all dials in progress, and begin no more for exchanges that hope."""
        self.is_stopped = True
        for dial in list(self.dials):
            dial.cancel()


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
        origin_pool.opening[self] = None
        # The transport that `begin` has opened, until the task uses it.
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
            connection: PooledConnection | None = None
            try:
                begun = connector.begin_connect(origin, self._phases, dialler.attacher)
                if begun is None or isinstance(begun, StartedConnect):
                    self._begun = begun
                else:
                    connection = dialler.owner.connection_on(begun, self.origin_pool)
            except Exception as exc:
                # Not at once: if all waiting exchanges failed in turn, the recursion would be too
                # deep.
                dialler.loop.call_soon(self._failed, exc)
                return
            if connection is not None:
                self._succeeded(connection)
                return
        self._task = dialler.closing.start_task(self._run(exchange.limits.connect_timeout))
        # A callback, since a task that is cancelled before its first step never runs its coroutine.
        self._task.add_done_callback(partial(dialler.loop.call, self._ended))

    def spare(self, exchange: Exchange) -> None:
        """Continue for the next waiting exchange, since this one was served otherwise."""
        self._detach(exchange)
        self.origin_pool.spare_dials[self] = None

    def take_over(self, exchange: Exchange) -> None:
        """Continue for this exchange, instead of the one that the dial was begun for."""
        exchange.dial = self
        self.exchange = exchange
        self._phases.observer = exchange.observer
        self._phases.count_from_now()
        self.is_taken_over = True

    def withdraw(self, exchange: Exchange) -> None:
        """Continue for an exchange that hopes for a connection, since this one waits no more."""
        # A caller whose time limit ended the exchange reads how long each phase took.
        self._phases.tell(exchange)
        self._detach(exchange)
        hoping = self.origin_pool.hoping
        if not hoping:
            self.cancel()  # the task calls `dial_failed`
            return
        other, _ = hoping.popitem(last=False)
        self.take_over(other)
        self._dialler.waiters.dial_begun(other)

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out of the phases and the limit."""
        self._phases.take_out(seconds)
        if self._limit is not None:
            self._limit.extend(seconds)

    def cancel(self) -> None:
        """Cancel the task, if there is one."""
        if self._task is not None:
            self._task.cancel()

    def _detach(self, exchange: Exchange) -> None:
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
        dialler, origin_pool = self._dialler, self.origin_pool
        try:
            exchange = self._leave_dialler()
            if not (connection.is_closed or dialler.is_stopped):
                del origin_pool.opening[self]
                dialler.owner.connection_opened(connection, origin_pool, exchange)
                return
        except BaseException:
            # The pool may not know it yet, and is about to break down.
            with contextlib.suppress(BaseException):
                connection.close()
            raise
        connection.close()
        error: Exception | None = None
        if exchange is not None:
            # The connection ended after it was opened and before it was used.
            error = TruncatedResponse("the server closed at once", received=False)
            error.__cause__ = connection.early_end
            error = as_proxys_fault(error, exchange)
        dialler.dial_failed(self, exchange, error)

    def _failed(self, error: Exception | None) -> None:
        self._dialler.dial_failed(self, self._leave_dialler(), error)

    def _leave_dialler(self) -> Exchange | None:
        """Remove the dial, and return the exchange that still waits for it."""
        self._dialler.dials.pop(self, None)
        self.origin_pool.spare_dials.pop(self, None)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.dial = None
            self._phases.tell(exchange)
        return exchange
