"""
The counters of the loopback server.

Numbers only: the server keeps the requests.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class ServerStatistics:
    """Figures of a `LoopbackServer`, or of one of its hosts."""

    requests: int
    """Number of requests read to their end."""
    active: int
    """Number of requests being answered; hanging and slow ones count until the client closes."""
    peak_active: int
    """Highest number of requests being answered at the same time."""
    connections: int
    """Number of connections accepted."""
    open_connections: int
    """Number of open connections."""
    peak_connections: int
    """Highest number of connections open at the same time."""


@attrs.define
class ServerCounters:
    """The counters that a `ServerStatistics` is made from."""

    requests: int = 0
    active: int = 0
    peak_active: int = 0
    connections: int = 0
    open_connections: int = 0
    peak_connections: int = 0

    def connection_opened(self) -> None:
        """Count an accepted connection."""
        self.connections += 1
        self.open_connections += 1
        self.peak_connections = max(self.peak_connections, self.open_connections)

    def connection_closed(self) -> None:
        """Count a closed connection."""
        self.open_connections -= 1

    def request_arrived(self) -> None:
        """Count a request that is now being answered."""
        self.requests += 1
        self.active += 1
        self.peak_active = max(self.peak_active, self.active)

    def request_answered(self) -> None:
        """Count a request that was answered or given up."""
        self.active -= 1

    def statistics(self) -> ServerStatistics:
        """Return a copy of the counters."""
        return ServerStatistics(**attrs.asdict(self))
