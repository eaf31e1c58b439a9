"""
New connections: when one is opened, and what becomes of it.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from asyncbatch._http11 import TruncatedResponse
from asyncbatch._transport._causes import causes_of, is_exhausted, lacks_descriptors
from asyncbatch._transport._dial import Dial
from asyncbatch._transport._errors import EngineClosed, TimedOut
from asyncbatch._transport._exchange import Exchange

if TYPE_CHECKING:
    from asyncbatch._transport._connection import Connection
    from asyncbatch._transport._origin import OriginPool
    from asyncbatch._transport._pool import Pool


class Dialler:
    """
    Opens connections for exchanges that wait, where there is a place.

    Args:
        pool: knows who waits, and takes the connections over.
        max_connections: open ones, those being opened and idle ones included.
        max_in_use: those being opened, and those that serve an exchange.
    """

    __slots__ = ("_dials", "_max_connections", "_max_in_use", "_pool")

    def __init__(self, pool: Pool, *, max_connections: int, max_in_use: int) -> None:
        self._pool = pool
        self._max_connections = max_connections
        self._max_in_use = max_in_use
        # Those under way.
        self._dials: dict[Dial, None] = {}

    def __len__(self) -> int:
        return len(self._dials)

    # What the pool calls.

    def dial_if_room(self, origin_pool: OriginPool, exchange: Exchange) -> bool:
        """Open a connection for an exchange, in the place of an idle one if need be."""
        pool = self._pool
        in_use = len(pool.in_use) + len(self._dials)
        if in_use >= self._max_in_use:
            return False
        is_full = in_use + len(pool.idle.members) >= self._max_connections
        if is_full and not pool.idle.close_oldest():
            return False
        self.dial(origin_pool, exchange, is_fresh=False)
        return True

    def dial(self, origin_pool: OriginPool, exchange: Exchange, *, is_fresh: bool) -> None:
        """
        Open a connection for an exchange.

        Args:
            origin_pool: where to.
            exchange: the one that waits for it.
            is_fresh: whether no other connection may serve it.
        """
        pool = self._pool
        pool.keep(origin_pool)
        dial = Dial(pool, origin_pool, exchange, is_fresh=is_fresh)
        self._dials[dial] = None
        pool.waiters.feed(exchange)
        dial.begin()

    def take_out(self, seconds: float) -> None:
        """Take time in which the loop stood still out of everything under way."""
        for dial in self._dials:
            dial.take_out(seconds)

    def stop(self) -> None:
        """Have everything under way end."""
        for dial in list(self._dials):
            dial.stop()

    # What dials call.

    def succeeded(self, dial: Dial, connection: Connection) -> None:
        """Have a new connection put to use."""
        pool = self._pool
        exchange = self._end(dial)
        if connection.is_closed or pool.is_closed:
            connection.close()
            if exchange is not None:
                # It ended between being opened and being used.
                error = TruncatedResponse("the server closed at once", received=False)
                pool.fail_waiting(exchange, error)
            pool.tidy(dial.origin_pool)
            pool.start_starved()
            return
        pool.adopt(connection, dial.origin_pool)
        if exchange is not None:
            pool.serve(connection, exchange)
        else:
            pool.release(connection, monotonic(), None)

    def failed(self, dial: Dial, error: Exception | None) -> None:
        """Fail the exchange that the connection was for, and let another one try."""
        pool = self._pool
        exchange = self._end(dial)
        if exchange is not None and dial.is_taken_over and isinstance(error, TimedOut):
            # The limit began before this exchange came.
            if not self.dial_if_room(pool.origin_pool_of(exchange), exchange):
                pool.waiters.starve(exchange)
        elif exchange is not None and error is not None and self._can_make_room(error):
            self.dial(pool.origin_pool_of(exchange), exchange, is_fresh=dial.is_fresh)
        elif exchange is not None and error is not None and self._may_share(exchange, error):
            # Nor does another one get a connection now: they wait for those that there are.
            pool.waiters.starve(exchange)
            return
        elif exchange is not None:
            pool.fail_waiting(exchange, error or EngineClosed("the engine was closed"))
        pool.tidy(dial.origin_pool)
        pool.start_starved()

    # Private.

    def _can_make_room(self, error: Exception) -> bool:
        """Whether descriptors were lacking, and there was an idle connection that had one."""
        pool = self._pool
        if pool.is_closed or not any(map(lacks_descriptors, causes_of(error))):
            return False
        return pool.idle.close_oldest()

    def _may_share(self, exchange: Exchange, error: Exception) -> bool:
        """Whether this machine has no connection to give, but others to the origin serve."""
        pool = self._pool
        if pool.is_closed or not pool.origin_pool_of(exchange).connections:
            return False
        return any(map(is_exhausted, causes_of(error)))

    def _end(self, dial: Dial) -> Exchange | None:
        """Forget a dial and return the exchange that still waits for it."""
        self._dials.pop(dial, None)
        dial.origin_pool.spare_dials.pop(dial, None)
        exchange, dial.exchange = dial.exchange, None
        if exchange is None:
            return None
        exchange.dial = None
        dial.tell(exchange)
        return exchange
