"""
How long the requests of one batch waited although a slot was free, summed up by reason.

Pure. The hosts measure it.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable

MOST_HOSTS = 256
"""How many hosts are kept at least, those that held requests back longest; twice as many at
most."""


class HeldBack:
    """The seconds for which hosts held the requests of one batch back, by reason."""

    __slots__ = ("by_host", "waits")

    def __init__(self) -> None:
        self.waits: dict[str, float] = {}
        """Seconds that requests waited for each reason, added up over the requests."""
        self.by_host: dict[Hashable, dict[str, float]] = {}
        """Seconds for which a host held requests back for each reason, however many waited."""

    def add(self, host: Hashable, reason: str, seconds: float, waiting: int) -> None:
        """Count the seconds in which a host held `waiting` requests back."""
        self.add_wait(reason, seconds * waiting)
        own = self.by_host.get(host)
        if own is None:
            if len(self.by_host) >= 2 * MOST_HOSTS:
                self._drop_hosts()
            own = self.by_host[host] = {}
        own[reason] = own.get(reason, 0.0) + seconds

    def add_wait(self, reason: str, seconds: float) -> None:
        """Count the wait of a request that no host held back."""
        self.waits[reason] = self.waits.get(reason, 0.0) + seconds

    def _drop_hosts(self) -> None:
        kept = heapq.nlargest(
            MOST_HOSTS, self.by_host.items(), key=lambda each: sum(each[1].values())
        )
        self.by_host = dict(kept)
