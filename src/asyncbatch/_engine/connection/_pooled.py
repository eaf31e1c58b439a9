"""
The interface between a pool and its connections, of one exchange at a time or several.

`PooledConnection` is what the pool calls, and `ConnectionPool` what a connection calls.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sized
from typing import Any, Protocol

from asyncbatch._engine._event_loop import EventLoop, Task
from asyncbatch._engine._exchange import Exchange, Origin
from asyncbatch._engine.io._readiness import Poll

MAX_AGE = 300.0
"""Seconds after which a connection serves no further exchange, so that DNS changes are seen."""


class PooledConnection(Protocol):
    """A connection to one origin that takes exchanges, one by one or several at a time."""

    origin: Origin
    # Whether it takes several exchanges at a time.
    is_shared: bool
    # The `OriginPool`, which the pool writes.
    origin_pool: Any
    # Tells whether an idle one must not be used, since something has arrived on it.
    poll: Poll
    # When `expire` must be called; when it is to take no more exchanges.
    deadline: float
    retire_at: float
    # Whether an exchange has ended well; the error that ended it before it was used.
    served: bool
    early_end: Exception | None
    is_closed: bool

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

    def get_extra_info(self, name: str) -> object:
        """Return what asyncio's transports return."""
        ...


class SharedConnection(PooledConnection, Protocol):
    """A connection that takes several exchanges at a time."""

    @property
    def has_room(self) -> bool:
        """Whether it takes another exchange now."""
        ...

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


class ConnectionPool(Protocol):
    """The pool, for a connection."""

    @property
    def in_use(self) -> Sized:
        """The connections that serve an exchange."""
        ...

    @property
    def waiting(self) -> Sized:
        """The exchanges that have no connection."""
        ...

    def submit(self, exchange: Exchange) -> None:
        """Start an exchange that cannot be sent here, on another connection."""
        ...

    def resend(self, exchange: Exchange) -> None:
        """Send an exchange that failed here again, on a connection opened for it alone."""
        ...

    def release(self, connection: PooledConnection, now: float, idle_timeout: int | None) -> None:
        """Take back a connection that can serve another exchange."""
        ...

    def forget(self, connection: PooledConnection) -> None:
        """Remove a connection that is closed."""
        ...

    def break_down(self, error: BaseException) -> None:
        """Close everything because of an error that may have left anything half done."""
        ...

    def start_task(self, coroutine: Coroutine[Any, Any, None]) -> Task[None]:
        """Start a task whose end the pool waits for when it closes."""
        ...


class SharingPool(ConnectionPool, Protocol):
    """The pool, for a connection with several exchanges."""

    @property
    def loop(self) -> EventLoop:
        """The event loop."""
        ...

    def offer(self, connection: SharedConnection, now: float) -> None:
        """Use the room of a connection, whose exchanges or limits have changed."""
        ...

    def unshare(self, connection: SharedConnection) -> None:
        """Give a connection no more exchanges."""
        ...

    def require_http11(self, origin: Origin) -> bool:
        """Use HTTP/1.1 for an origin from now on; return whether that is allowed."""
        ...
