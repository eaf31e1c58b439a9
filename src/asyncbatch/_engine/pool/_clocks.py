"""
`PoolClocks`: enforces the time limits of a pool, without the time of a blocked event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from asyncbatch._engine._event_loop import EventLoop
from asyncbatch._engine._exchange import NEVER, Exchange
from asyncbatch._engine.connection._pooled import PooledConnection
from asyncbatch._engine.io._deadlines import Deadlines
from asyncbatch._engine.pool._dialing import Dialler
from asyncbatch._engine.pool._idle import IdleConnections
from asyncbatch._engine.pool._waiters import Waiters
from asyncbatch._runtime._stalls import TakeOut


class PoolClocks:
    """
    The time limits and points in time of everything in one pool.

    Args:
        loop: The event loop.
        in_use: The connections that serve exchanges.
        expire_waiting: Called with an exchange whose wait has taken too long, and the time.

    Attributes:
        deadlines: Tells when to look, and when the event loop was blocked.
        on_stall: Called when it was. The engine sets it before the first exchange.
    """

    on_stall: TakeOut
    # Set by `watch_over`, since these need `deadlines`.
    _waiters: Waiters
    _idle: IdleConnections
    _dialler: Dialler

    def __init__(
        self,
        loop: EventLoop,
        in_use: Collection[PooledConnection],
        expire_waiting: Callable[[Exchange, float], None],
    ) -> None:
        self._in_use = in_use
        self._expire_waiting = expire_waiting
        self.deadlines = Deadlines(
            loop, self._look, is_busy=self._is_at_work, on_stall=self._stood_still
        )

    def watch_over(self, waiters: Waiters, idle: IdleConnections, dialler: Dialler) -> None:
        """Watch over what else there is in the pool; call it before the first exchange."""
        self._waiters = waiters
        self._idle = idle
        self._dialler = dialler

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop, measured elsewhere, out of all clocks."""
        self._shift(seconds, before)
        self.deadlines.excuse(seconds)

    def _stood_still(self, seconds: float, before: float, more: float) -> None:
        """
        Take the time of a blocked loop, found by `Deadlines`, out of all clocks.

        Args:
            seconds: Least seconds for which it was blocked.
            before: Latest time at which that began.
            more: Further seconds by which limits are extended: for time not measured, and for
                reading.
        """
        self._shift(seconds, before)
        for connection in self._in_use:
            connection.give_more_time(more)
        self._dialler.take_out(more)
        for exchange in self._waiters.everyone:
            exchange.expires += more
            exchange.deadline += more
        self.on_stall(seconds, before)

    def _shift(self, seconds: float, before: float) -> None:
        for connection in self._in_use:
            connection.take_out(seconds, before)
        for exchange in self._waiters.everyone:
            if exchange.begun_at <= before:
                exchange.take_out(seconds, before)
                exchange.expires += seconds
        self._dialler.take_out(seconds)

    def _is_at_work(self) -> bool:
        return bool(self._in_use or self._waiters.everyone)

    def _look(self, now: float) -> float:
        """Handle every deadline that has passed, and return the next one."""
        following = NEVER
        for connection in list(self._in_use):
            deadline = connection.deadline
            if deadline <= now:
                connection.expire(now)
            elif deadline < following:
                following = deadline
        ended, next_end = self._waiters.split(now)
        for exchange in ended:
            self._expire_waiting(exchange, now)
        return min(following, next_end, self._idle.close_expired(now))
