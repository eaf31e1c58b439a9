"""
Dials: attempts to open a connection, each in a task of its own where it takes time.

The task is not the exchange's: a connection that becomes free may serve the exchange first, and
then the dialled one serves the next. Whether there is room for a dial, and what becomes of its
exchange when it fails, is for the pool to say.
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
from asyncbatch._engine._exchange import Exchange, Origin
from asyncbatch._engine.connect._connector import Connector
from asyncbatch._engine.connect._phases import ConnectPhases
from asyncbatch._engine.connect._sockets import StartedConnect
from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.io._attach import Attacher
from asyncbatch._engine.io._closing import Closing
from asyncbatch._engine.io._transport import Transport
from asyncbatch._engine.pool._origin_pool import OriginPool
from asyncbatch._runtime._stalls import TimeLimit

RETRY_BACKOFF = 0.5
"""Seconds before the second retry of a connect; the first comes at once, later ones double."""


class DialOwner(Protocol):
    """The pool, as far as dials ask of it."""

    def connection_on(self, transport: Transport, origin: Origin) -> Connection:
        """
        Put a connection on a transport that is open.

        Raises:
            ConnectFailed: the transport cannot be used; it is closed.
        """
        ...

    def dial_succeeded(self, dial: Dial, exchange: Exchange | None, connection: Connection) -> None:
        """Put a new connection to use, for the exchange first that still waits for it."""
        ...

    def dial_failed(self, dial: Dial, exchange: Exchange | None, error: Exception | None) -> None:
        """Say what becomes of the exchange that still waits; no error: the dial was given up."""
        ...


class Dialler:
    """
    What all dials of a pool share, and which of them are under way.

    Args:
        owner: puts connections on the transports, and is told how each dial has ended.
        loop: the event loop.
        connector: opens the transports.
        attacher: what it puts transports on sockets with.
        closing: runs the tasks.
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
        # Those under way; they put themselves in, and take themselves out.
        self.dials: dict[Dial, None] = {}

    def take_out(self, seconds: float) -> None:
        """Take time in which the loop stood still out of everything under way."""
        for dial in self.dials:
            dial.take_out(seconds)

    def stop(self) -> None:
        """Have everything under way end."""
        for dial in list(self.dials):
            dial.stop()


class Dial:
    """
    Opens a connection for an exchange, or for whoever waits when it is open.

    Args:
        dialler: what it has in common with others.
        origin_pool: where to.
        exchange: the one that waits for it.
        is_fresh: whether no other connection may serve that.

    Attributes:
        exchange: for whom; None once that one was served otherwise.
        is_taken_over: whether it is for another one now than it was begun for.
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
        # What `begin` has begun, until the task takes it over.
        self._begun: StartedConnect | None = None
        self._task: Task[Connection] | None = None
        # While it connects in a task.
        self._limit: TimeLimit | None = None

    def begin(self) -> None:
        """
        Connect at once where nothing has to be waited for, else in a task.

        A plain connection to a known address of this host costs 14 us less without the task.
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
                    self._succeeded(dialler.owner.connection_on(begun, origin))
                    return
            except Exception as exc:
                # Not at once: where all that wait fail in turn, the stack would not be deep enough.
                dialler.loop.call_soon(self._failed, exc)
                return
        self._task = dialler.closing.start_task(self._run(exchange.limits.connect_timeout))
        # Not the end of the coroutine: a task cancelled before its first step never enters it.
        self._task.add_done_callback(self._ended)

    def tell(self, exchange: Exchange) -> None:
        """Tell an exchange that ends or is served how long each phase took, or has taken so far."""
        self._phases.tell(exchange)

    def spare(self, exchange: Exchange) -> None:
        """Go on without an exchange that was served otherwise, for the next that waits."""
        self._leave(exchange)
        self.origin_pool.spare_dials[self] = None

    def take_over(self, exchange: Exchange) -> None:
        """Go on for an exchange that waits, instead of the one that it was begun for."""
        exchange.dial = self
        self.exchange = exchange
        self._phases.observer = exchange.observer
        self.is_taken_over = True

    def cancel(self, exchange: Exchange) -> None:
        """Give up, since the exchange waits no more; the pool learns it when the task has ended."""
        self._leave(exchange)
        self.stop()

    def take_out(self, seconds: float) -> None:
        """Take time in which the loop stood still out of the phases and of the limit."""
        self._phases.take_out(seconds)
        if self._limit is not None:
            self._limit.extend(seconds)

    def stop(self) -> None:
        """Have the task end, if there is one."""
        if self._task is not None:
            self._task.cancel()

    def _leave(self, exchange: Exchange) -> None:
        exchange.dial = self.exchange = self._phases.observer = None

    async def _run(self, limit: float | None) -> Connection:
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

    async def _connect(self, limit: float | None) -> Connection:
        dialler, origin = self._dialler, self.origin_pool.origin
        with TimeLimit(limit) as self._limit:
            begun, self._begun = self._begun, None
            transport = await dialler.connector.connect(
                origin, self._phases, dialler.attacher, begun
            )
            return dialler.owner.connection_on(transport, origin)
        raise TimedOut("connect")

    def _ended(self, task: Task[Connection]) -> None:
        if task.cancelled():
            if self._begun is not None:
                self._begun.sock.close()
            self._failed(None)
        elif (error := task.exception()) is not None:
            # No `Exception` perhaps, on trio: it ends whoever waits for the exchange.
            self._failed(cast("Exception", error))
        else:
            self._succeeded(task.result())

    def _succeeded(self, connection: Connection) -> None:
        self._dialler.owner.dial_succeeded(self, self._end(), connection)

    def _failed(self, error: Exception | None) -> None:
        self._dialler.owner.dial_failed(self, self._end(), error)

    def _end(self) -> Exchange | None:
        """Be over, and return the exchange that still waits for it."""
        self._dialler.dials.pop(self, None)
        self.origin_pool.spare_dials.pop(self, None)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.dial = None
            self._phases.tell(exchange)
        return exchange
