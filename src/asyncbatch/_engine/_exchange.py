"""
`Exchange`: one request and its response in the engine; values and progress, no behaviour.

An exchange is passive. The pool gives it a connection; the connection sets its values, and then its
future. The code that began it waits only for that future.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import attrs

from asyncbatch._engine._event_loop import Future
from asyncbatch._engine.http11 import NO_LIMIT, ResponseHead, UnjoinedBody
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._sink import Refill

NEVER = float("inf")
"""A point in time that is never reached."""


SHORT_BODY = 16 * 1024
"""Bytes of a request body up to which one write of head and body is cheaper than two."""


class Origin(NamedTuple):
    """
    What connections are shared by: everything that decides which server is at the other end.

    TLS settings, client certificates and the address policy belong to the engine, so they are the
    same for all of its connections.
    """

    is_tls: bool
    host: str
    port: int
    server_name: str | None = None
    """The name for SNI and the certificate, if it is not the host."""
    route: Proxy | None = None
    """The proxy; `None` for a direct connection."""

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy receives whole requests, so that it is at the other end."""
        return self.route is not None and self.route.forwards(self.is_tls)


@attrs.frozen
class ExchangeLimits:
    """
    What many exchanges have in common; build it once.

    Times are in seconds, `None` is unlimited.
    """

    max_body: int = NO_LIMIT
    """The longest response body to accept, in bytes as transferred."""
    max_redirect_body: int | None = None
    """The longest body of a redirect to read, in bytes as transferred; `None`: as for any other.

    Not with `streams`, where the reader decides."""
    connect_timeout: float | None = None
    """For the look-up of the name, the connect and the TLS handshake together."""
    read_timeout: float | None = None
    """For each wait for bytes of the response."""
    write_timeout: float | None = None
    """For each wait for the peer to take bytes of the request."""
    pool_timeout: float | None = None
    """For the wait until a connection is free or may be opened."""
    minimum_rate: float | None = None
    """Least bytes per second of a response after its first byte."""
    streams: bool = False
    """
    Whether the exchange is settled when the head has arrived. Then the body is read piece by piece,
    and the reader judges its speed.
    """
    gathers: int = 0
    """
    With `streams`: most bytes of a body of known length that is waited for before the exchange is
    settled, for a moment, over HTTP/1.1. Such a body mostly follows its head at once.
    """


@attrs.define
class Upload:
    """A request body that is produced while it is sent."""

    pieces: AsyncIterable[bytes]
    length: int | None = None
    """The declared `Content-Length`; `None` sends the body in chunks."""


class UsedConnection(Protocol):
    """The connection of an ended exchange, which may still be asked for these."""

    response_builder: Any
    """Kept here for later exchanges by the code that follows them; the engine does not use it."""

    @property
    def exchange(self) -> Exchange | None:
        """The current exchange."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it serves no further exchange."""
        ...

    def get_extra_info(self, name: str) -> object:
        """Return what asyncio's transports return."""
        ...


class ExchangeConnection(UsedConnection, Protocol):
    """The connection of an exchange in flight, for the code that began the exchange."""

    deadline: float
    """When it fails the current exchange, if nothing changes this before."""

    def abandon(self) -> None:
        """Close, since the current exchange was abandoned."""
        ...

    def lend_body(self) -> None:
        """Let what `take_body` returns be memory that may be used again after the next call."""
        ...

    def refill(self) -> Refill | None:
        """Return what receives the bytes of a lent body after the last piece, until the next."""
        ...

    def take_body(self) -> bytes | memoryview:
        """Return the received bytes of a streamed body, and resume reading."""
        ...

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Fail the exchange at its deadline, or after waiting `limit` seconds for the peer."""
        ...


class ExchangeDial(Protocol):
    """The dial that an exchange waits for."""

    def spare(self, exchange: Exchange) -> None:
        """Continue for the next waiting exchange, since this one was served otherwise."""
        ...

    def take_over(self, exchange: Exchange) -> None:
        """Continue for this exchange, instead of the one that the dial was begun for."""
        ...

    def withdraw(self, exchange: Exchange) -> None:
        """Continue for an exchange that hopes for a connection, since this one waits no more."""
        ...


Body: TypeAlias = bytes | Upload | None
Observer: TypeAlias = Callable[[str, Mapping[str, Any]], None]
Follow: TypeAlias = "Callable[[Exchange], Exchange | None]"
"""
Called with an exchange whose response is complete, instead of waking a task.

It may return the exchange to send next. It runs in the callback that received the response, must
not raise, and must not call the engine. Unless it returns an exchange, it must settle the one
that it was given.
"""


class Exchange:
    """
    One request in progress, and its response.

    Attributes:
        head: The final response's head; `None` before it has arrived.
        content: The whole body or, with `ExchangeLimits.streams`, the part that was not taken yet.
        error: Why it ended without a response, or in the middle of one.
        is_reused: Whether the connection had served another exchange before.
        dns, connect, tls: Seconds, or `None` if the phase did not occur for this exchange.
        is_at_proxy: Whether it ended before a proxy had connected it to its origin.
        begun_at, send_at, sent_at, first_byte_at, ended_at: Points in time on the monotonic clock;
            0.0 if not reached. From the first to the second it waited in the pool, which includes
            the three phases above.
    """

    __slots__ = (
        "begun_at",
        "body",
        "closes",
        "connect",
        "connection",
        "content",
        "deadline",
        "dial",
        "dns",
        "ended_at",
        "error",
        "expires",
        "first_byte_at",
        "follow",
        "future",
        "has_resent",
        "head",
        "is_at_proxy",
        "is_reused",
        "limits",
        "method",
        "observer",
        "order",
        "origin",
        "payload",
        "reader",
        "refusals",
        "send_at",
        "sent_at",
        "tls",
        "trailers",
    )

    def __init__(
        self,
        future: Future[None],
        origin: Origin,
        method: bytes,
        payload: bytes,
        body: Body,
        limits: ExchangeLimits,
        deadline: float,
        closes: bool,
        begun_at: float,
    ) -> None:
        self.future = future
        self.origin = origin
        self.method = method
        self.payload = payload
        self.body = body
        self.limits = limits
        # When the exchange must end, on the monotonic clock.
        self.deadline = deadline
        # Whether the request itself asks to close the connection.
        self.closes = closes
        self.begun_at = begun_at
        self.send_at = self.sent_at = self.first_byte_at = self.ended_at = 0.0
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.head: ResponseHead | None = None
        self.content: bytes | UnjoinedBody = b""
        self.trailers: tuple[tuple[bytes, bytes], ...] = ()
        self.error: Exception | None = None
        self.is_at_proxy = False
        self.is_reused = False
        self.has_resent = False
        # How often a connection has refused it without serving any.
        self.refusals = 0
        # The connection that it was started on last. It runs there while that refers to it.
        self.connection: UsedConnection | None = None
        # Used while it waits in the pool: its dial, the time at which the wait ends, and its
        # position.
        self.dial: ExchangeDial | None = None
        self.expires = NEVER
        self.order = 0
        # Set when a streamed body has more to read, or has ended.
        self.reader: Future[None] | None = None
        self.observer: Observer | None = None
        self.follow: Follow | None = None

    def renew(
        self, origin: Origin, method: bytes, payload: bytes, deadline: float, now: float
    ) -> None:
        """
        Reset a finished exchange for the next request of the same kind.

        Only for the holder of its only reference: it saves making an object for each request.
        """
        self.origin = origin
        self.method = method
        self.payload = payload
        self.deadline = deadline
        self.begun_at = now
        self.send_at = self.sent_at = self.first_byte_at = self.ended_at = 0.0
        self.dns = self.connect = self.tls = None
        self.head = None
        self.content = b""
        self.has_resent = False
        self.refusals = 0

    def take_out(self, seconds: float, before: float) -> None:
        """Take the time of a blocked loop, from `before` on, out of the earlier points in time."""
        self.begun_at += seconds
        self.deadline += seconds
        if 0.0 < self.send_at <= before:
            self.send_at += seconds
        if 0.0 < self.sent_at <= before:
            self.sent_at += seconds
        if 0.0 < self.first_byte_at <= before:
            self.first_byte_at += seconds

    def settle(self) -> None:
        """Wake what waits for the exchange, once."""
        if not self.future.done():
            self.future.set_result(None)
        reader = self.reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def fail(self, error: Exception, now: float) -> None:
        """End without a complete response."""
        self.error = error
        self.ended_at = now
        self.settle()

    @property
    def active_connection(self) -> ExchangeConnection | None:
        """The connection that it runs on."""
        connection: Any = self.connection
        return connection if connection is not None and connection.exchange is self else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will arrive."""
        return self.ended_at > 0.0
