"""
What the plain GETs to one origin have in common, encoded once.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._http11 import RequestFields, encode_fields
from asyncbatch._lanes._binding import Binding
from asyncbatch._lanes._cookies import cookie_domains
from asyncbatch._lanes._sendable import check_head, check_url
from asyncbatch._origin import Origin as HostKey
from asyncbatch._timeouts import TimeLimits
from asyncbatch._transport import Origin

_MAX_ORIGINS = 10_000
"""Origins whose template is kept; then all are forgotten and made again."""


class Builder:
    """
    Builds plain GETs as a client would have that had these headers.

    Results keep it, to build their requests from when somebody asks: so it knows nothing of any
    origin, of which there may be as many as results.
    """

    __slots__ = ("_headers", "client_headers", "default_encoding", "library")

    def __init__(self, client: Any, library: Any) -> None:
        self._headers = library.Headers(client.headers)
        # The same, to compare with what the client has later: its user may change it at any time.
        self.client_headers = list(client.headers._list)
        self.default_encoding = client._default_encoding
        self.library = library

    def build(self, url: str, limits: TimeLimits) -> Any:
        """Build the request for `url`, as the client would have."""
        timeouts = {
            "connect": limits.connect,
            "read": limits.read,
            "write": limits.write,
            "pool": limits.pool,
        }
        return self.library.Request(
            "GET", url, headers=self._headers, extensions={"timeout": timeouts}
        )


class Template:
    """What all plain GETs to one origin have in common."""

    __slots__ = (
        "builder",
        "client_headers",
        "closes",
        "cookie_domains",
        "head",
        "is_ours",
        "key",
        "origin",
        "prefix",
        "prefix_length",
    )

    def __init__(self, prefix: str, native: Any, builder: Builder, is_ours: bool) -> None:
        # What the URLs begin with, up to their target.
        self.prefix = prefix
        self.prefix_length = len(prefix)
        self.builder = builder
        self.client_headers = builder.client_headers
        fields = encode_fields(native.headers.raw)
        self.is_ours = is_ours and not is_special(b"GET", fields, b"")
        self.head = b" HTTP/1.1\r\n" + fields.block
        self.closes = fields.closes
        self.origin = origin_of(native.url)
        # By which limits per host are kept.
        self.key: HostKey = native.url.scheme, self.origin.host, self.origin.port
        self.cookie_domains = cookie_domains(self.origin.host)

    def payload(self, target: bytes) -> bytes:
        """Return the request for `target` as it is sent."""
        return b"GET " + target + self.head


class Templates:
    """The templates of one client's requests, each made when it is first asked for."""

    def __init__(self, client: Any, binding: Binding, transport: Any) -> None:
        self._client = client
        self._binding = binding
        self._transport = transport
        # By origin, made with the client's headers as they were then; `of` makes all anew when
        # they have changed.
        self._made: dict[str, Template] = {}
        self._builder = Builder(client, binding.library)

    def of(self, origin: str) -> Template:
        """
        Return the template for the plain URLs that begin with `origin`.

        Raises:
            Exception: If nothing can be sent there.
        """
        if self._client.headers._list != self._builder.client_headers:
            self._builder = Builder(self._client, self._binding.library)
            self._made.clear()
        template = self._made.get(origin)
        if template is None:
            if len(self._made) >= _MAX_ORIGINS:
                self._made.clear()
            template = self._made[origin] = self._make(origin)
        return template

    def _make(self, origin: str) -> Template:
        # Not `client.build_request`, which copies the whole cookie jar each time.
        library = self._binding.library
        native = library.Request("GET", origin, headers=self._client.headers)
        check_url(native.url, self._binding)
        check_head(native, self._binding)
        is_ours = leads_to(self._transport, self._client, native.url)
        return Template(origin, native, self._builder, is_ours)


def leads_to(transport: Any, client: Any, url: Any) -> bool:
    """Whether no proxy and no mount takes this URL from `transport`."""
    return client._transport_for_url(url) is transport


def is_special(method: bytes, fields: RequestFields, body: bytes) -> bool:
    """Whether the request asks for more than one exchange of whole messages."""
    length = fields.length or 0
    return method == b"CONNECT" or fields.upgrades or fields.is_chunked or length != len(body)


_PORTS = {"http": 80, "https": 443}


def origin_of(url: Any) -> Origin:
    """Return the engine's origin for a native URL."""
    host = url.raw_host.decode("ascii")
    return Origin(url.scheme == "https", host, url.port or _PORTS[url.scheme])
