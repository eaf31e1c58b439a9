"""
The head that plain GETs to one origin share, encoded once.
"""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any

from asyncbatch._engine import Origin
from asyncbatch._engine.http11 import RequestFields, encode_fields
from asyncbatch._lanes.client._binding import Binding, readable, with_host
from asyncbatch._lanes.client._routes import route_to
from asyncbatch._lanes.request._basic_auth import authorization_of
from asyncbatch._lanes.request._cookie_line import CookieLines
from asyncbatch._lanes.request._native import plain_request
from asyncbatch._lanes.request._ranges import RANGE, ask_for_identity
from asyncbatch._lanes.request._sendable import check_head, check_url
from asyncbatch._values._host_key import host_key_of_url
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import Unset
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._urls import DEFAULT_PORTS

_MAX_ORIGINS = 10_000
"""Origins whose head is kept; beyond that all are dropped and made again."""

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
"""The fields, in lower case, that are not sent to any host that a redirect leads to."""

_MAX_LINES = 100
"""Heads kept for one origin, one for each `Cookie` field; beyond that all are dropped."""


class RequestBuilder:
    """
    Builds plain GETs as a client with certain headers builds them.

    Results keep it, to build their requests on demand. It holds nothing of an origin, so that
    results from many origins share one.
    """

    __slots__ = (
        "auth",
        "authorization",
        "client_headers",
        "cookie",
        "default_encoding",
        "has_credentials",
        "has_host",
        "headers",
        "known",
        "library",
        "names",
    )

    def __init__(self, client: Any, library: Any) -> None:
        self.headers = library.Headers(client.headers)
        ask_for_identity(self.headers, library)
        # In lower case.
        self.names = frozenset(self.headers.keys())
        self.has_host = "host" in self.names
        # Basic or none. Its field comes after all others, also those that describe a body.
        self.auth = client._auth
        self.authorization = authorization_of(client._auth)
        # Whether it sends what a redirect may not pass on.
        self.has_credentials = self.authorization is not None or bool(self.names & CREDENTIALS)
        # The `Cookie` field, from the client's jar; sent between the headers and `Authorization`.
        self.cookie = ""
        # The encoded headers after the `Host`; set once they have been checked. None if they have a
        # `Host` of their own: they are then encoded for each origin.
        self.known: RequestFields | None = None
        # A copy to compare with the client's headers, which its user may change at any time.
        self.client_headers = list(client.headers._list)
        self.default_encoding = client._default_encoding
        self.library = library

    def build(
        self,
        url: str,
        limits: TimeLimits,
        method: str = "GET",
        headers: list[tuple[bytes, bytes]] | None = None,
        content: bytes | None = None,
    ) -> Any:
        """
        Build the request for `url`, as the client would.

        If `headers` is given, it replaces the client's. Otherwise call `authorize` afterwards.
        """
        if headers is None and not self.has_host and "://xn--" not in url:
            fields = self.headers._list
            if self.cookie:
                fields = [*fields, (b"Cookie", b"cookie", self.cookie.encode("ascii"))]
            native = plain_request(self.library, url, fields, limits.by_phase())
            if native is not None:
                return native
        given: Any = self.headers if headers is None else headers
        if "://xn--" in url and headers is None and not self.has_host:
            given = with_host(self.headers.raw, self.library.URL(url), self.library)
        native = self.library.Request(
            method,
            url,
            headers=given,
            content=content,
            extensions={"timeout": limits.by_phase()},
        )
        native.url = readable(native.url, self.library)
        if self.cookie and headers is None:
            native.headers["Cookie"] = self.cookie
        return native

    def with_cookie(self, line: str) -> RequestBuilder:
        """Return a copy that builds requests with this `Cookie` field."""
        builder: RequestBuilder = _copy(self)
        builder.cookie = line
        return builder

    def for_files(self) -> RequestBuilder:
        """Return a copy that builds requests for bodies that are not encoded."""
        builder: RequestBuilder = _copy(self)
        builder.headers = self.library.Headers(self.headers)
        builder.headers.update({"Accept-Encoding": "identity"})
        builder.names = frozenset(builder.headers.keys())
        return builder

    def authorize(self, native: Any) -> Any:
        """Add the client's authorization to a native request, and return it."""
        if self.authorization is not None:
            native.headers["Authorization"] = self.authorization
        return native


class OriginHead:
    """The head that all plain GETs to one origin share."""

    __slots__ = (
        "_cookie_lines",
        "_for_files",
        "_with_cookies",
        "auth",
        "builder",
        "client_headers",
        "closes",
        "head",
        "host",
        "is_ours",
        "key",
        "origin",
        "prefix",
        "prefix_length",
    )

    def __init__(
        self,
        prefix: str,
        url: Any,
        fields: RequestFields,
        builder: RequestBuilder,
        route: Proxy | Unset | None,
    ) -> None:
        # The beginning of the URLs, up to the target.
        self.prefix = prefix
        self.prefix_length = len(prefix)
        self.builder = builder
        self.client_headers = builder.client_headers
        self.auth = builder.auth
        self.is_ours = not (isinstance(route, Unset) or is_special(b"GET", fields, b""))
        self.head = b" HTTP/1.1\r\n" + fields.block
        self.closes = fields.closes
        self.origin = origin_of(url, None if isinstance(route, Unset) else route)
        self.host: bytes = url.netloc
        # The key of the limits per host.
        self.key = host_key_of_url(url)
        self._cookie_lines: CookieLines | None = None
        # The heads with cookies, by their `Cookie` field.
        self._with_cookies: dict[str, OriginHead] = {}
        # The head for bodies that go to files; made on first use.
        self._for_files: OriginHead | None = None

    def cookie_line(self, jar: CookieJar, target: str) -> str | None:
        """
        Return the `Cookie` field of a plain request, "" for none; `None` if httpx must make it.

        Args:
            jar: The client's current jar.
            target: The request target.
        """
        if not jar._cookies:  # type: ignore[attr-defined]  # the public API walks the whole jar
            return ""
        if "cookie" in self.builder.names:
            return None
        if self._cookie_lines is None:
            self._cookie_lines = CookieLines(self.prefix, self.origin.host)
        return self._cookie_lines.of(jar, target)

    def for_target(self, jar: CookieJar, target: str) -> OriginHead | None:
        """Return the head for a plain target, with its cookies; `None` if httpx must make it."""
        line = self.cookie_line(jar, target)
        if not line:
            return None if line is None else self
        origin_head = self._with_cookies.get(line)
        if origin_head is None:
            if len(self._with_cookies) >= _MAX_LINES:
                self._with_cookies.clear()
            origin_head = self._with_cookies[line] = self._with_cookie(line)
        return origin_head

    def _with_cookie(self, line: str) -> OriginHead:
        origin_head: OriginHead = _copy(self)
        origin_head._with_cookies = {}
        origin_head._for_files = None
        origin_head.builder = self.builder.with_cookie(line)
        end = self._last_lines
        start = self.head.removesuffix(end)
        origin_head.head = start + f"Cookie: {line}\r\n".encode("ascii") + end
        return origin_head

    @property
    def _last_lines(self) -> bytes:
        """The lines that follow those of headers and cookies."""
        builder = self.builder
        # An `Authorization` among the client's headers keeps its place there.
        if builder.authorization is None or "authorization" in builder.names:
            return b"\r\n"
        return f"Authorization: {builder.authorization}\r\n\r\n".encode("ascii")

    def for_files(self) -> OriginHead | None:
        """Return the head that asks for bodies as they are; `None` if httpx must make it."""
        names = self.builder.names
        if self._for_files is None and names.isdisjoint(("host", "content-length", RANGE)):
            self._for_files = self._asking_for_identity()
        return self._for_files

    def _asking_for_identity(self) -> OriginHead:
        origin_head: OriginHead = _copy(self)
        origin_head._with_cookies = {}
        origin_head.builder = self.builder.for_files()
        cookie = self.builder.cookie
        end = (f"Cookie: {cookie}\r\n".encode("ascii") if cookie else b"") + self._last_lines
        lines = self.head.removesuffix(end).splitlines(keepends=True)
        kept = [line for line in lines if not line.lower().startswith(b"accept-encoding:")]
        # As with the headers of a request, which follow those of the client that they replace.
        origin_head.head = b"".join([*kept, b"Accept-Encoding: identity\r\n", end])
        return origin_head

    def payload(self, target: bytes) -> bytes:
        """Return the bytes of the request for `target`."""
        return b"GET " + target + self.head


class OriginHeads:
    """The origin heads of one client, each made on first use."""

    def __init__(self, client: Any, binding: Binding, transport: Any) -> None:
        self._client = client
        self._binding = binding
        self._transport = transport
        self.made: dict[str, OriginHead] = {}
        """
        The heads by origin. `of` drops them all after a change of the client's headers or
        authentication; any other reader must check for that.
        """
        self._builder = RequestBuilder(client, binding.library)

    def of(self, origin: str) -> OriginHead:
        """
        Return the head for the plain URLs that begin with `origin`.

        Raises:
            Exception: If nothing can be sent there.
        """
        client, builder = self._client, self._builder
        if client.headers._list != builder.client_headers or client._auth is not builder.auth:
            self._builder = RequestBuilder(self._client, self._binding.library)
            self.made.clear()
        origin_head = self.made.get(origin)
        if origin_head is None:
            if len(self.made) >= _MAX_ORIGINS:
                self.made.clear()
            origin_head = self.made[origin] = self._make(origin)
        return origin_head

    def _make(self, origin: str) -> OriginHead:
        builder = self._builder
        if builder.known is None:
            # Not `client.build_request`, which copies the whole cookie jar.
            headers = builder.headers
            if not builder.has_host:
                headers = with_host(headers.raw, builder.library.URL(origin), builder.library)
            native = builder.library.Request("GET", origin, headers=headers)
            builder.authorize(native)
            url = readable(native.url, builder.library)
            check_url(url, self._binding)
            check_head(native, self._binding)
            fields = encode_fields(native.headers.raw)
            if not builder.has_host:
                builder.known = fields.without_host()
        else:
            url = readable(builder.library.URL(origin), builder.library)
            check_url(url, self._binding)
            fields = builder.known.with_host(url.netloc)
        return OriginHead(
            origin, url, fields, builder, route_to(self._transport, self._client, url)
        )


def _copy(made: Any) -> Any:
    """Return a copy of an object that has only slots."""
    copy = object.__new__(type(made))
    for name in made.__slots__:
        setattr(copy, name, getattr(made, name))
    return copy


def is_special(method: bytes, fields: RequestFields, body: bytes) -> bool:
    """Whether the request is more than one exchange of whole messages."""
    length = fields.length or 0
    return method == b"CONNECT" or fields.upgrades or fields.is_chunked or length != len(body)


def origin_of(url: Any, route: Proxy | None) -> Origin:
    """Return the engine's origin for a native URL, with its proxy."""
    host, port = url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme]
    return Origin(url.scheme == "https", host, port, None, route)
