"""
A request as the engine sends it: encoded once, and kept until its result is there.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from time import monotonic
from typing import Any, TypeAlias

from asyncbatch._engine import Origin
from asyncbatch._engine.http11 import RequestFields
from asyncbatch._lanes.client._binding import readable
from asyncbatch._lanes.request._origin_head import OriginHead, RequestBuilder, origin_of
from asyncbatch._values._host_key import HostKey, host_key_of_url
from asyncbatch._values._proxy import Proxy, proxy_of
from asyncbatch._values._request import UNSET, Request, Unset
from asyncbatch._values._telemetry import AttemptWatch
from asyncbatch._values._timeouts import TimeLimits


class PreparedRequest:
    """
    A request as the engine takes it, and what its native request is built from on demand.

    One object holds both: a kept result then has fewer objects for the garbage collector to visit.
    """

    __slots__ = (
        "_builder",
        "_follows",
        "_has_own_head",
        "_native",
        "_url",
        "body",
        "carried",
        "closes",
        "follow_redirects",
        "is_hooked",
        "item",
        "key",
        "limits",
        "may_relay",
        "method",
        "origin",
        "own_route",
        "payload",
        "watch",
    )

    def __init__(
        self,
        item: Any,
        key: HostKey,
        origin: Origin,
        method: bytes,
        payload: bytes,
        limits: TimeLimits,
        *,
        closes: bool,
    ) -> None:
        # The request as it was given.
        self.item = item
        # The key of the limits per host.
        self.key = key
        self.origin = origin
        self.method = method
        self.payload = payload
        self.limits = limits
        self.closes = closes
        self.body: bytes | None = None
        # Whether the request itself says to follow redirects; None if it does not say.
        self.follow_redirects: bool | None = None
        # The proxy that the request itself names, also for its redirects; `UNSET` if it names none.
        self.own_route: Proxy | Unset | None = UNSET
        # Whether event hooks are called for it and its response.
        self.is_hooked = False
        # Whether a relay may send it if its body is short: not with hooks or limits of its own.
        self.may_relay = True
        # Is told when it is sent, and the fields that are added for that; `payload` lacks them.
        self.watch: AttemptWatch | None = None
        self.carried: Sequence[tuple[bytes, bytes]] = ()
        # The parts that the native request is built from, unless it has been built already.
        self._url = ""
        self._builder: RequestBuilder | None = None
        # Whether its fields differ from the client's; they are then read from `payload`.
        self._has_own_head = False
        self._native: Any = None
        # The request that was redirected here.
        self._follows: PreparedRequest | None = None

    @classmethod
    def of(cls, encoded: Encoded, limits: TimeLimits) -> PreparedRequest:
        """Return an encoded request as a `PreparedRequest`."""
        if isinstance(encoded, PreparedRequest):
            return encoded
        item, url, origin_head, payload = encoded
        prepared = cls(
            item,
            origin_head.key,
            origin_head.origin,
            b"GET",
            payload,
            limits,
            closes=origin_head.closes,
        )
        prepared._url = url
        prepared._builder = origin_head.builder
        return prepared

    @classmethod
    def built(
        cls,
        item: Any,
        native: Any,
        payload: bytes,
        fields: RequestFields,
        limits: TimeLimits,
        route: Proxy | None,
    ) -> PreparedRequest:
        """Return the prepared form of a native request, to be sent through `route`."""
        method = native.method.encode("ascii")
        origin = origin_of(native.url, route)
        key = host_key_of_url(native.url)
        prepared = cls(item, key, origin, method, payload, limits, closes=fields.closes)
        prepared._native = native
        return prepared

    @classmethod
    def composed(
        cls,
        item: Any,
        origin_head: OriginHead,
        url: str,
        request: Request,
        payload: bytes,
        body: bytes,
        limits: TimeLimits,
    ) -> PreparedRequest:
        """Return the prepared form of a request that `FastEncoder` has composed."""
        prepared = cls(
            item,
            origin_head.key,
            origin_head.origin,
            request.method.encode("ascii"),
            payload,
            limits,
            closes=origin_head.closes,
        )
        prepared.body = body or None
        prepared.follow_redirects = request.follow_redirects
        prepared._url = url
        prepared._builder = origin_head.builder
        prepared._has_own_head = True
        return prepared

    def redirected(
        self, origin_head: OriginHead, url: str, method: bytes, payload: bytes
    ) -> PreparedRequest:
        """Return the request that a redirect of this one leads to."""
        following = PreparedRequest(
            self.item,
            origin_head.key,
            self.way_to(origin_head.origin),
            method,
            payload,
            self.limits,
            closes=self.closes,
        )
        following.own_route = self.own_route
        if method == self.method:
            following.body = self.body
        following.follow_redirects = self.follow_redirects
        following._url = url
        following._builder = origin_head.builder
        following._has_own_head = True
        following._follows = self
        return following

    def is_plain_for(self, origin_head: OriginHead) -> bool:
        """Whether it is a GET with the fields of `origin_head`, and none but the client's."""
        return (
            not self._has_own_head and self._native is None and self._builder is origin_head.builder
        )

    def way_to(self, origin: Origin) -> Origin:
        """Return an origin, with the proxy that the request itself names."""
        if isinstance(self.own_route, Unset):
            return origin
        return origin._replace(route=self.own_route)

    def go_through(self, given: Any) -> None:
        """Set the route from `Request.proxy`: `None` for a direct one, `UNSET` for no change."""
        if not isinstance(given, Unset):
            self.own_route = None if given is None else proxy_of(given)
            self.origin = self.way_to(self.origin)

    def fields(self) -> list[tuple[bytes, bytes]] | None:
        """
        Return the fields without `carried`, in httpx's order.

        Returns:
            `None` if that order is not known, or is not the one in which the fields are sent.
        """
        # A `Host` that the caller has set is sent first, wherever it is in the headers.
        if self._native is not None:
            fields: list[tuple[bytes, bytes]] = self._native.headers.raw
            if not fields or fields[0][0].lower() != b"host":
                return None
            return [field for field in fields if field not in self.carried]
        assert self._builder is not None
        return None if self._builder.has_host else _fields_in(self.payload)

    @property
    def url(self) -> str:
        """The URL of the request."""
        return self._url or str(self._native.url)

    def whole(self) -> bytes:
        """Return head and body in one piece, for one write."""
        head = self.head() if self.carried else self.payload
        return head if self.body is None else head + self.body

    def head(self) -> bytes:
        """Return the head as it is sent."""
        lines = [b"%b: %b\r\n" % field for field in self.carried]
        return b"%b%b\r\n" % (self.payload[:-2], b"".join(lines))

    def announce(self) -> None:
        """Tell `watch` that the request is sent now, and carry the fields that it asks for."""
        watch = self.watch
        assert watch is not None
        watch.sent(self.method.decode("ascii"), self.url, monotonic())
        if not (watch.carries or self.carried):
            return
        fields = watch.fields(self._names())
        if self._native is not None:
            for name, _ in self.carried:
                self._native.headers.pop(name.decode("ascii"), None)
            self._native.headers.update(fields)
        self.carried = [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]

    def _names(self) -> Container[str]:
        """Return the lower-case names of its fields, without those of the connection."""
        if self._builder is not None and not self._has_own_head:
            return self._builder.names
        return {name.lower().decode("ascii") for name, _ in _fields_in(self.payload)}

    def forget_payload(self) -> None:
        """Drop the sent bytes, unless the native request is built from them, and the watch."""
        self.watch = None
        if not self._has_own_head:
            self.payload = b""

    def native(self) -> Any:
        """Return the native request, built at the first call."""
        if self._native is None:
            self._native = self._build()
            for name, value in self.carried:
                self._native.headers[name.decode("ascii")] = value.decode("ascii")
        return self._native

    def _build(self) -> Any:
        assert self._builder is not None
        if self._follows is not None:
            return self._build_following(self._follows.native())
        if self._has_own_head:
            return self._builder.build(
                self._url,
                self.limits,
                self.method.decode("ascii"),
                _fields_in(self.payload),
                self.body,
            )
        return self._builder.authorize(self._builder.build(self._url, self.limits))

    def _build_following(self, before: Any) -> Any:
        """Build the request after a redirect from the one before, as httpx does."""
        assert self._builder is not None
        method = self.method.decode("ascii")
        library = self._builder.library
        native = library.Request(
            method,
            self._url,
            headers=_fields_in(self.payload),
            stream=before.stream if method == before.method else None,
            extensions=before.extensions,
        )
        native.url = readable(native.url, library)
        return native


Plain: TypeAlias = tuple[Any, str, OriginHead, bytes]
"""
A GET that differs from others only in its target: the request as it was given, its URL, the head
that they share, and the bytes to send. A plain tuple, since it is made for most requests.
"""

Encoded: TypeAlias = Plain | PreparedRequest


def key_of(encoded: Encoded) -> HostKey:
    """Return the key of the host of a request, as the schedule knows it."""
    return encoded[2].key if isinstance(encoded, tuple) else encoded.key


def watched(encoded: Encoded, limits: TimeLimits, watch: AttemptWatch | None) -> PreparedRequest:
    """Return an encoded request of which `watch` is told before it is sent."""
    prepared = PreparedRequest.of(encoded, limits)
    prepared.watch = watch
    return prepared


def _fields_in(payload: bytes) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a request as it is sent."""
    lines = payload.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]
    parts = (line.partition(b": ") for line in lines)
    return [(name, value) for name, _, value in parts]
