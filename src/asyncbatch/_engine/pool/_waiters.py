"""
`Waiters`: the exchanges of all origins that have no connection yet.

Every step is O(1), except the search for expired deadlines.
"""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic

from asyncbatch._engine._exchange import NEVER, Exchange
from asyncbatch._engine.io._deadlines import Deadlines


class Waiters:
    """
    The waiting exchanges, with their order and deadlines.

    Attributes:
        everyone: All exchanges that wait, for any reason.
        starved: Those for which not even a connection could be opened, oldest first.
    """

    __slots__ = ("_arrivals", "_deadlines", "everyone", "starved")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._arrivals = 0
        self.everyone: dict[Exchange, None] = {}
        self.starved: OrderedDict[Exchange, None] = OrderedDict()

    def add(self, exchange: Exchange) -> None:
        """Add an exchange, to wait until its deadline."""
        self._arrivals += 1
        exchange.order = self._arrivals
        self.everyone[exchange] = None
        self.expire_at(exchange, None)

    def starve(self, exchange: Exchange) -> None:
        """Let an exchange wait for a place, for as long as its limits allow."""
        self.starved[exchange] = None
        self.expire_at(exchange, exchange.limits.pool_timeout)

    def dial_begun(self, exchange: Exchange) -> None:
        """Note that a connection is being opened for an exchange; the dial has its own limit."""
        self.starved.pop(exchange, None)
        if exchange.expires != exchange.deadline:
            self.expire_at(exchange, None)

    def discard(self, exchange: Exchange) -> None:
        """Remove an exchange."""
        self.everyone.pop(exchange, None)
        self.starved.pop(exchange, None)

    def first_starved(self) -> Exchange | None:
        """Return the exchange that has waited longest for a place."""
        return next(iter(self.starved), None)

    def is_anothers_turn(self, exchange: Exchange) -> bool:
        """Whether another exchange has waited for a place for longer."""
        first = next(iter(self.starved), None)
        return first is not None and first.order < exchange.order

    def expire_at(self, exchange: Exchange, limit: float | None) -> None:
        """End the wait at the deadline, or after `limit` seconds if that is earlier."""
        expires = exchange.deadline
        if limit is not None:
            expires = min(expires, monotonic() + limit)
        exchange.expires = expires
        self._deadlines.by(expires)

    def split(self, now: float) -> tuple[list[Exchange], float]:
        """Return the exchanges whose wait has ended, and when the next wait ends."""
        ended = [exchange for exchange in self.everyone if exchange.expires <= now]
        later = (exchange.expires for exchange in self.everyone if exchange.expires > now)
        return ended, min(later, default=NEVER)
