"""
Connections that serve nobody at the moment: how many are kept, and for how long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncbatch._transport._exchange import NEVER
from asyncbatch._transport._sweep import Sweep

if TYPE_CHECKING:
    from asyncbatch._transport._connection import Connection

IDLE_GRACE = 0.05
"""Seconds a surplus connection stays idle before it is closed: in a busy pool many are idle for
the moment between two exchanges, and closing those would mean connecting anew for each."""


class IdleConnections:
    """
    The idle connections of all origins.

    Args:
        sweep: closes each when its time has come.
        maximum: how many are kept.
        expiry: seconds one is kept; the server's `Keep-Alive` may shorten it.

    Attributes:
        members: all of them, the longest idle first. The pool takes out whom it hands to an
            exchange; nobody else writes it.
    """

    __slots__ = ("_expiry", "_maximum", "_sweep", "members")

    def __init__(self, sweep: Sweep, *, maximum: int, expiry: float) -> None:
        self._sweep = sweep
        self._maximum = maximum
        self._expiry = expiry
        self.members: dict[Connection, None] = {}

    def add(self, connection: Connection, now: float, idle_timeout: int | None) -> None:
        """
        Keep a connection until it is needed.

        Args:
            connection: it.
            now: the time.
            idle_timeout: seconds after which the server closes it, where the server said so.
        """
        connection.origin_pool.idle[connection] = None
        self.members[connection] = None
        expiry = self._expiry
        if idle_timeout is not None:
            # Ahead of the server by a second, or it closes while we write.
            expiry = min(expiry, max(idle_timeout - 1.0, idle_timeout / 2))
        connection.idle_since = now
        connection.deadline = deadline = now + expiry
        if deadline < self._sweep.next_at:
            self._sweep.by(deadline)
        if len(self.members) > self._maximum:
            self._sweep.by(now + IDLE_GRACE)

    def discard(self, connection: Connection) -> None:
        """Forget a connection, if it is idle."""
        connection.origin_pool.idle.pop(connection, None)
        self.members.pop(connection, None)

    def close_oldest(self) -> bool:
        """Close who has been idle for longest, to make room; say whether there was one."""
        oldest = next(iter(self.members), None)
        if oldest is None:
            return False
        oldest.close()
        return True

    def close_surplus(self, now: float) -> float:
        """Close those beyond the limit, and say when to look again."""
        while len(self.members) > self._maximum:
            connection = next(iter(self.members))
            close_at = connection.idle_since + IDLE_GRACE
            if close_at > now:
                return close_at
            connection.close()
        return NEVER
