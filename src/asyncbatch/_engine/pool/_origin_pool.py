"""
`OriginPool`: the idle connections to one origin, and the exchanges that wait for one.

`OriginPools` keeps one for each origin, for as long as something would be lost without it. Every
step is O(1).
"""

from __future__ import annotations

from collections import OrderedDict

from asyncbatch._engine._exchange import Exchange, ExchangeDial, Origin
from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.http11 import KnownHead


class OriginPool:
    """
    The connections and waiters of one origin.

    Attributes:
        idle: Connections in the order in which they became idle, taken from the end. The one used
            most recently is the least likely to have been closed by the server, and the rest may
            expire. A dict, so that one that is closed can be removed from the middle.
        waiting: Exchanges in order of arrival, served from the front.
        spare_dials: Dials whose exchange was served by another connection.
        connections: Number of open connections.
        known_head: What the connection that closed last knew of the server's heads.
    """

    __slots__ = ("connections", "idle", "known_head", "origin", "spare_dials", "waiting")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: dict[Connection, None] = {}
        self.waiting: OrderedDict[Exchange, None] = OrderedDict()
        self.spare_dials: dict[ExchangeDial, None] = {}
        self.connections = 0
        self.known_head: KnownHead = (None, b"")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost if it is forgotten."""
        return not (self.connections or self.waiting or self.spare_dials)


class OriginPools:
    """
    The origin pools of one pool.

    Attributes:
        kept: By origin. An `OriginPool` that is empty may have been forgotten while a dial or a
            connection still refers to it.
    """

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: dict[Origin, OriginPool] = {}

    def of(self, origin: Origin) -> OriginPool:
        """Return the `OriginPool` of an origin: the kept one, or one not kept yet."""
        origin_pool = self.kept.get(origin)
        return OriginPool(origin) if origin_pool is None else origin_pool

    def keep(self, origin_pool: OriginPool) -> OriginPool:
        """Keep an `OriginPool`, unless its origin has another one by now; return the kept one."""
        return self.kept.setdefault(origin_pool.origin, origin_pool)

    def tidy(self, origin_pool: OriginPool) -> None:
        """Forget an `OriginPool` if nothing is lost by that."""
        # By identity: a dial may outlive the `OriginPool` that it was begun for.
        if origin_pool.is_empty and self.kept.get(origin_pool.origin) is origin_pool:
            del self.kept[origin_pool.origin]
