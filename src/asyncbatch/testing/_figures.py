"""
What the loopback server counts.

Numbers only: the requests themselves are the server's.
"""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class ServerStatistics:
    """What a `LoopbackServer`, or one host of it, has seen so far."""

    requests: int
    """Requests read to their end."""
    active: int
    """Requests being answered now: hanging and slow ones too, until the client goes away."""
    peak_active: int
    """The most requests that were being answered at one time."""
    connections: int
    """Connections accepted."""
    open_connections: int
    """Connections open now."""
    peak_connections: int
    """The most connections that were open at one time."""


@attrs.define
class Figures:
    """The counters behind one `ServerStatistics`."""

    requests: int = 0
    active: int = 0
    peak_active: int = 0
    connections: int = 0
    open_connections: int = 0
    peak_connections: int = 0

    def connection_opened(self) -> None:
        """Count a connection."""
        self.connections += 1
        self.open_connections += 1
        self.peak_connections = max(self.peak_connections, self.open_connections)

    def connection_closed(self) -> None:
        """Count a connection no more."""
        self.open_connections -= 1

    def request_arrived(self) -> None:
        """Count a request, which is now being answered."""
        self.requests += 1
        self.active += 1
        self.peak_active = max(self.peak_active, self.active)

    def request_answered(self) -> None:
        """Count a request as answered, or given up."""
        self.active -= 1

    def statistics(self) -> ServerStatistics:
        """Return the counters as they stand."""
        return ServerStatistics(**attrs.asdict(self))
