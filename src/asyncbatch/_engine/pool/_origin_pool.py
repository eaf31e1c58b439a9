"""
What a pool keeps for one origin: idle connections, and exchanges that wait for one.

Every step is O(1).
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
        idle: connections in the order in which they became idle. Taken from the end: the one
            used most recently is the least likely to have been closed by the server, and the
            rest may expire. A dict, so that one that dies can leave the middle.
        waiting: exchanges in the order in which they came, served from the front.
        spare_dials: those whose exchange was served by another connection meanwhile.
        connections: how many are open.
        known_head: what the connection that closed last knew of the server's heads.
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
        """Whether nothing would be lost by forgetting it."""
        return not (self.connections or self.waiting or self.spare_dials)
