"""`PooledConnection`: what the pool calls on a connection, of one exchange at a time or several."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

from asyncbatch._engine._exchange import Exchange, Origin
from asyncbatch._engine.io._readiness import Poll


class PooledConnection(Protocol):
    """A connection to one origin that takes exchanges, one by one or several at a time."""

    origin: Origin
    # Whether it takes several exchanges at a time.
    is_shared: bool
    # The `OriginPool`; the pool and `IdleConnections` write this and the next two.
    origin_pool: Any
    idle_since: float
    idle_group: OrderedDict[Any, None] | None
    # Tells whether an idle one must not be used, since something has arrived on it.
    poll: Poll
    # When `expire` must be called; when it is to take no more exchanges.
    deadline: float
    retire_at: float
    # How many exchanges have ended well; the error that ended it before it was used.
    served: int
    early_end: Exception | None
    is_closed: bool

    @property
    def has_room(self) -> bool:
        """Whether it takes another exchange now."""
        ...

    def start(self, exchange: Exchange, now: float, is_good: bool = True) -> None:
        """Send a request, now or at the end of this turn; start it elsewhere if that fails."""
        ...

    def expire(self, now: float) -> None:
        """Fail the exchanges of which a limit has passed."""
        ...

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop out of its exchanges."""
        ...

    def give_more_time(self, seconds: float) -> None:
        """Extend every limit of its exchanges."""
        ...

    def fail(self, error: Exception) -> None:
        """Close, and fail its exchanges."""
        ...

    def close(self) -> None:
        """Close at once, without waiting."""
        ...


class SharedConnection(PooledConnection, Protocol):
    """A connection that takes several exchanges at a time."""

    @property
    def is_used(self) -> bool:
        """Whether it has an exchange, or must be watched for another reason."""
        ...

    @property
    def most_exchanges(self) -> int | None:
        """How many exchanges the server allows at a time; `None` before it has said so."""
        ...

    def retire(self) -> None:
        """Take no more exchanges, and close after the last one."""
        ...
