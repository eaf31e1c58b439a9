"""
`IdleConnections`: how many idle connections are kept, and for how long.
"""

from __future__ import annotations

from collections import OrderedDict

from asyncbatch._engine._exchange import NEVER
from asyncbatch._engine.connection._pooled import PooledConnection
from asyncbatch._engine.io._deadlines import Deadlines

IDLE_GRACE = 0.05
"""Seconds a surplus connection stays idle before it is closed. In a busy pool, many are idle
between two exchanges, and closing those would mean a new connection for each."""

LONGEST_TOLD = 300
"""Seconds: longer times stated by servers count as this, which also limits the groups."""


class IdleConnections:
    """
    The idle connections of all origins.

    Each step is O(1); `close_expired` takes one for each connection to close and for each group.

    Args:
        deadlines: Calls `close_expired` when something may have expired.
        maximum: Most connections to keep.
        expiry: Seconds to keep each; the server's `Keep-Alive` may shorten it.

    Attributes:
        members: All of them with the time since which each is idle, the longest idle first. Only
            this class writes it.
    """

    __slots__ = ("_deadlines", "_expiry", "_group_of", "_groups", "_maximum", "members")

    def __init__(self, deadlines: Deadlines, *, maximum: int, expiry: float) -> None:
        self._deadlines = deadlines
        self._maximum = maximum
        self._expiry = expiry
        # An `OrderedDict`: a dict whose first member is removed repeatedly finds its first one
        # slowly.
        self.members: OrderedDict[PooledConnection, float] = OrderedDict()
        # Connections whose server closes them before `expiry`, by the seconds they are kept. All
        # members of a group are kept equally long, so its first member expires first.
        self._groups: dict[float, OrderedDict[PooledConnection, float]] = {}
        self._group_of: dict[PooledConnection, OrderedDict[PooledConnection, float]] = {}

    def add(self, connection: PooledConnection, now: float, idle_timeout: int | None) -> None:
        """
        Keep a connection until it is needed.

        Args:
            connection: The connection.
            now: The current time.
            idle_timeout: Seconds after which the server closes it, if the server has stated them.
        """
        connection.origin_pool.idle[connection] = None
        self.members[connection] = now
        expiry = self._expiry
        if idle_timeout is not None:
            # One second before the server, which might otherwise close it while we write.
            seconds = min(idle_timeout, LONGEST_TOLD)
            told = max(seconds - 1.0, seconds / 2)
            if told < expiry:
                expiry = told
                group = self._groups.get(told)
                if group is None:
                    group = self._groups[told] = OrderedDict()
                group[connection] = now
                self._group_of[connection] = group
        if now + expiry < self._deadlines.next_at:
            self._deadlines.by(now + expiry)
        if len(self.members) > self._maximum:
            self._deadlines.by(now + IDLE_GRACE)

    def remove(self, connection: PooledConnection) -> None:
        """Remove an idle connection; the caller removes it from its `OriginPool`."""
        del self.members[connection]
        group = self._group_of.pop(connection, None)
        if group is not None:
            del group[connection]

    def close_oldest(self) -> bool:
        """Close the connection idle for longest, to make room; return whether there was one."""
        oldest = next(iter(self.members), None)
        if oldest is None:
            return False
        oldest.close()
        return True

    def close_expired(self, now: float) -> float:
        """Close the expired connections and the surplus; return when to call it again."""
        following = _close_expired(self.members, self._expiry, now)
        for seconds, group in self._groups.items():
            following = min(following, _close_expired(group, seconds, now))
        return min(following, self._close_surplus(now))

    def _close_surplus(self, now: float) -> float:
        while len(self.members) > self._maximum:
            connection, since = next(iter(self.members.items()))
            close_at = since + IDLE_GRACE
            if close_at > now:
                return close_at
            connection.close()
        return NEVER


def _close_expired(
    group: OrderedDict[PooledConnection, float], seconds: float, now: float
) -> float:
    """Close the members that were idle for `seconds`; return when the next one expires."""
    while group:
        oldest, since = next(iter(group.items()))
        expires = since + seconds
        if expires > now:
            return expires
        oldest.close()
    return NEVER
