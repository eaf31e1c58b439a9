"""
`OriginPool`: the connections to one origin that have room, and the exchanges that wait for one.

`OriginPools` keeps one for each origin while a connection, a dial or an exchange refers to it.
Every step is O(1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

from asyncbatch._engine._exchange import NEVER, Exchange, ExchangeDial, Origin
from asyncbatch._engine.connection._pooled import PooledConnection, SharedConnection
from asyncbatch._engine.http11 import KnownHeads

MayShare: TypeAlias = Callable[[Origin], bool]
"""Tells whether connections to an origin may take several exchanges at a time."""


class OriginPool:
    """
    The connections and waiters of one origin.

    Attributes:
        idle: Connections in the order in which they became idle, taken from the end. The one used
            most recently is the least likely to have been closed by the server, and the rest may
            expire. A dict, so that one that is closed can be removed from the middle.
        shared: Connections in use that take further exchanges.
        waiting: Exchanges in order of arrival, served from the front.
        hoping: Those of them that have no dial of their own, since others suffice.
        spare_dials: Dials whose exchange was served by another connection.
        opening: Dials, and connections that do not know yet how many exchanges they take.
        streams: How many exchanges a connection takes at a time: 1 over HTTP/1.1, infinite while
            that is not known.
        connections: Number of open connections.
        known_heads: The heads that its connections need not parse again.
    """

    __slots__ = (
        "connections",
        "hoping",
        "idle",
        "known_heads",
        "opening",
        "origin",
        "shared",
        "spare_dials",
        "streams",
        "waiting",
    )

    def __init__(self, origin: Origin, *, may_share: bool) -> None:
        self.origin = origin
        self.idle: dict[PooledConnection, None] = {}
        self.shared: dict[SharedConnection, None] = {}
        self.waiting: OrderedDict[Exchange, None] = OrderedDict()
        self.hoping: OrderedDict[Exchange, None] = OrderedDict()
        self.spare_dials: dict[ExchangeDial, None] = {}
        self.opening: dict[object, None] = {}
        self.streams: float = NEVER if may_share else 1
        self.connections = 0
        self.known_heads = KnownHeads()

    @property
    def has_enough_opening(self) -> bool:
        """Whether what is being opened will be enough for all that wait."""
        # Not by the product: that of infinity and 0 is no number.
        opening = len(self.opening)
        return opening > 0 and len(self.waiting) <= opening * self.streams

    def take_shared(self) -> SharedConnection | None:
        """Return the connection in use that has got room most recently, if there is one."""
        shared = self.shared
        while shared:
            connection = next(reversed(shared))
            if connection.has_room:
                return connection
            del shared[connection]
        return None


class OriginPools:
    """
    The origin pools of one pool.

    Attributes:
        kept: By origin. A dial in progress, a connection that is open, and an exchange that waits
            refer to one of these.
    """

    __slots__ = ("_may_share", "kept")

    def __init__(self, may_share: MayShare) -> None:
        self._may_share = may_share
        self.kept: dict[Origin, OriginPool] = {}

    def find_or_add(self, origin: Origin) -> OriginPool:
        """Return the `OriginPool` of an origin, and keep it until `tidy` finds it empty."""
        origin_pool = self.kept.get(origin)
        if origin_pool is None:
            origin_pool = OriginPool(origin, may_share=self._may_share(origin))
            self.kept[origin] = origin_pool
        return origin_pool

    def tidy(self, origin_pool: OriginPool) -> None:
        """Forget an `OriginPool` to which nothing refers any more."""
        if not (origin_pool.connections or origin_pool.opening or origin_pool.waiting):
            self.kept.pop(origin_pool.origin, None)
