"""
One request and its response, as the engine sees them: values and progress, no behaviour.

An exchange is passive. The pool gives it a connection, the connection fills it in and settles
its future; that future is all that whoever asked for it waits on.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import attrs

from asyncbatch._engine._event_loop import Future
from asyncbatch._engine.http11 import NO_LIMIT, ResponseHead, UnjoinedBody
from asyncbatch._values._proxy import Proxy

NEVER = float("inf")
"""A point in time that does not come."""


SHORT_BODY = 16 * 1024
"""Bytes of a request body up to which one write of head and body is cheaper than two."""


class Origin(NamedTuple):
    """
    What connections are shared by: everything that decides who is at the other end.

    TLS settings, client certificates and the address policy belong to the engine, so they are
    the same for all of its connections.
    """

    is_tls: bool
    host: str
    port: int
    server_name: str | None = None
    """The name for SNI and for the certificate, where it is not the host."""
    route: Proxy | None = None
    """The proxy on the way; None: there is none."""

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy is handed whole requests, so that it is the other end."""
        return self.route is not None and self.route.forwards(self.is_tls)


@attrs.frozen
class ExchangeLimits:
    """
    What a family of exchanges has in common; build it once.

    Times are in seconds, `None` is unlimited.
    """

    max_body: int = NO_LIMIT
    """The longest response body to accept, in bytes as transferred."""
    max_redirect_body: int | None = None
    """The longest body of a redirect to read, in bytes as transferred; None: as any other's.

    Not with `streams`, where the reader decides."""
    connect_timeout: float | None = None
    """For looking up the name, connecting and the TLS handshake together."""
    read_timeout: float | None = None
    """For each wait for bytes of the response."""
    write_timeout: float | None = None
    """For each wait for the peer to take bytes of the request."""
    pool_timeout: float | None = None
    """For the wait until a connection is free or may be opened."""
    minimum_rate: float | None = None
    """Bytes per second at which a response has to come, once its first byte has."""
    streams: bool = False
    """
    Settle when the head has come; the body is then read piece by piece, and how fast it comes is
    for the reader to judge.
    """


@attrs.define
class Upload:
    """A request body that is produced while it is sent."""

    pieces: AsyncIterable[bytes]
    length: int | None = None
    """The declared `Content-Length`; without one the body is sent in chunks."""


class ExchangeConnection(Protocol):
    """A connection, as far as those ask of it who have begun an exchange."""

    response_builder: Any
    """What whoever follows its exchanges keeps with it, for the next."""

    @property
    def exchange(self) -> Exchange | None:
        """The exchange at hand."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it serves no further exchange."""
        ...

    def abandon(self) -> None:
        """Close, since nobody wants the exchange at hand any more."""
        ...

    def take_body(self) -> bytes:
        """Hand over what has come of a streamed body, and read on."""
        ...

    def limit_wait(self, exchange: Exchange, limit: float | None) -> None:
        """Fail the exchange when it is over time, or has waited for `limit` seconds."""
        ...

    def get_extra_info(self, name: str) -> object:
        """Answer as asyncio's transports do."""
        ...


class ExchangeDial(Protocol):
    """An attempt to open a connection, as far as it is about the exchange that waits for it."""

    def tell(self, exchange: Exchange) -> None:
        """Tell an exchange how long each phase took, or has taken so far."""
        ...

    def spare(self, exchange: Exchange) -> None:
        """Go on without an exchange that was served otherwise, for the next that waits."""
        ...

    def take_over(self, exchange: Exchange) -> None:
        """Go on for an exchange that waits, instead of the one that it was begun for."""
        ...

    def cancel(self, exchange: Exchange) -> None:
        """Give up, since the exchange waits no more."""
        ...


Body: TypeAlias = bytes | Upload | None
Observer: TypeAlias = Callable[[str, Mapping[str, Any]], None]
Follow: TypeAlias = "Callable[[Exchange], Exchange | None]"
"""
Called with an exchange whose response is complete, instead of waking a task: says what goes next.

It runs in the callback that received the response, must not raise, and must not call the engine.
Unless it returns an exchange it has to settle the one that it was given.
"""


class Exchange:
    """
    One request on its way, and what came of it.

    Attributes:
        head: the final response's head; None while it has not come, or never came.
        content: the whole body, or with `ExchangeLimits.streams` what of it has not been taken.
        error: why it ended without a response, or in the middle of one.
        is_reused: whether the connection had served another exchange before.
        dns, connect, tls: seconds, or None where the phase did not occur for this exchange.
        is_at_proxy: whether it ended before a proxy had connected it to its origin.
        begun_at, send_at, sent_at, first_byte_at, ended_at: points in time on the monotonic
            clock; 0.0 where not reached. The first to the second is the wait in the pool,
            the three phases above included.
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
        # The absolute end of the exchange, on the monotonic clock.
        self.deadline = deadline
        # Whether the request itself asks for the connection to be closed.
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
        # The connection it was started on last; it is under way there while that says so too.
        self.connection: ExchangeConnection | None = None
        # Waiting in the pool only: the dial begun for it, when that wait ends, its place in time.
        self.dial: ExchangeDial | None = None
        self.expires = NEVER
        self.order = 0
        # Streaming only: settled when there is more to read, or the end.
        self.reader: Future[None] | None = None
        self.observer: Observer | None = None
        self.follow: Follow | None = None

    def renew(
        self, origin: Origin, method: bytes, payload: bytes, deadline: float, now: float
    ) -> None:
        """
        Make another request of the same kind of one that has succeeded.

        For whoever holds the only reference to it: an object less to make for each request.
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

    def take_out(self, seconds: float, before: float) -> None:
        """Take time in which the loop stood still, from `before` on, out of what came earlier."""
        self.begun_at += seconds
        self.deadline += seconds
        if 0.0 < self.send_at <= before:
            self.send_at += seconds
        if 0.0 < self.sent_at <= before:
            self.sent_at += seconds
        if 0.0 < self.first_byte_at <= before:
            self.first_byte_at += seconds

    def settle(self) -> None:
        """Wake whoever waits for the exchange, once."""
        if not self.future.done():
            self.future.set_result(None)
        reader = self.reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def fail(self, error: Exception, now: float) -> None:
        """End without a (whole) response."""
        self.error = error
        self.ended_at = now
        self.settle()

    @property
    def active_connection(self) -> ExchangeConnection | None:
        """The connection it is under way on."""
        connection = self.connection
        return connection if connection is not None and connection.exchange is self else None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.ended_at > 0.0
