"""
From a request to the bytes that the engine sends, without building what nobody will look at.

A plain GET needs its target and a head that is the same for every request to one origin, so the
head is encoded once. Anything else is built by the client and encoded from what it built. What
needs more of httpx than that is not prepared at all: the client lane takes it.
"""

from __future__ import annotations

import functools
import re
from http.cookiejar import CookieJar
from typing import Any

from asyncbatch._http11 import RequestFields, encode_fields, encode_request_line
from asyncbatch._lanes._binding import Binding
from asyncbatch._lanes._sendable import check_head, check_text, check_url
from asyncbatch._request import UNSET, Request
from asyncbatch._timeouts import TimeLimits
from asyncbatch._transport import Origin

# URLs that httpx neither changes nor reads in another way: a lower-case scheme and host, and only
# characters that need no percent-encoding. Dot segments would be resolved, a fragment cut off.
_PLAIN_URL = re.compile(
    r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,3}|:[1-5][0-9]{4})?)"
    r"((?:/(?!\.)(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*+)*+"
    r"(?:\?(?:[A-Za-z0-9\-._~!$&()*+,;=:@/?]|%[0-9A-Fa-f]{2})++)?)"
)

_MAX_ORIGINS = 10_000
"""Origins whose encoded head is kept; then all are forgotten and encoded again."""


class Prepared:
    """A request as the engine takes it, and how to build it for who wants to see it."""

    __slots__ = ("body", "closes", "method", "origin", "payload", "request")

    def __init__(
        self,
        origin: Origin,
        method: bytes,
        payload: bytes,
        request: Any,
        *,
        body: bytes | None = None,
        closes: bool = False,
    ) -> None:
        self.origin = origin
        self.method = method
        self.payload = payload
        self.body = body
        self.closes = closes
        self.request = request
        """The native request, or a function that builds it."""

    def native(self) -> Any:
        """Return the native request, built the first time that somebody asks for it."""
        if callable(self.request):
            self.request = self.request()
        return self.request


class _Template:
    """What all plain GETs to one origin have in common."""

    __slots__ = ("closes", "cookie_domains", "head", "headers", "is_ours", "origin")

    def __init__(self, native: Any, is_ours: bool) -> None:
        self.headers = native.headers
        fields = encode_fields(native.headers.raw)
        self.is_ours = is_ours and not _is_special(b"GET", fields, b"")
        self.head = b" HTTP/1.1\r\n" + fields.block
        self.closes = fields.closes
        self.origin = origin_of(native.url)
        self.cookie_domains = cookie_domains(self.origin.host)


class Preparer:
    """Prepares requests for the engine in the name of one client."""

    def __init__(self, client: Any, binding: Binding, transport: Any) -> None:
        self._client = client
        self._binding = binding
        self._transport = transport
        self._templates: dict[str, _Template] = {}
        # The client's headers when the templates were made: its user may change them at any time.
        self._headers: list[Any] = []

    def prepare(self, item: Any, limits: TimeLimits) -> Prepared | None:
        """
        Return `item` prepared, or `None` if it takes a client to send it.

        Raises:
            Exception: If it cannot be sent at all.
        """
        if isinstance(item, str) and (match := _PLAIN_URL.fullmatch(item)):
            return self._prepare_plain(item, match, limits)
        request = Request.of(item)
        if _needs_client(request):
            return None
        return self._prepare_built(request, limits)

    def _prepare_plain(self, url: str, match: re.Match[str], limits: TimeLimits) -> Prepared | None:
        template = self._template(match[1])
        if not template.is_ours:
            return None
        target = match[2].encode("ascii")
        if target[:1] != b"/":
            target = b"/" + target
        if may_match(self._client.cookies.jar, template.cookie_domains):
            return self._with_cookies(url, target, template, limits)
        return Prepared(
            template.origin,
            b"GET",
            b"GET " + target + template.head,
            functools.partial(self._build_plain, url, template.headers, limits),
            closes=template.closes,
        )

    def _template(self, origin: str) -> _Template:
        headers = self._client.headers._list
        if headers != self._headers:
            self._headers = list(headers)
            self._templates.clear()
        template = self._templates.get(origin)
        if template is None:
            if len(self._templates) >= _MAX_ORIGINS:
                self._templates.clear()
            # Not `client.build_request`, which copies the whole cookie jar each time.
            native = self._binding.library.Request("GET", origin, headers=self._client.headers)
            check_url(native.url, self._binding)
            check_head(native, self._binding)
            template = self._templates[origin] = _Template(native, self._is_ours(native.url))
        return template

    def _is_ours(self, url: Any) -> bool:
        """Whether no proxy and no mount takes this URL from our transport."""
        return self._client._transport_for_url(url) is self._transport

    def _build_plain(self, url: str, headers: Any, limits: TimeLimits) -> Any:
        timeouts = {
            "connect": limits.connect,
            "read": limits.read,
            "write": limits.write,
            "pool": limits.pool,
        }
        return self._binding.library.Request(
            "GET", url, headers=headers, extensions={"timeout": timeouts}
        )

    def _with_cookies(
        self, url: str, target: bytes, template: _Template, limits: TimeLimits
    ) -> Prepared:
        native = self._build_plain(url, template.headers, limits)
        self._client.cookies.set_cookie_header(native)
        check_head(native, self._binding)
        fields = encode_fields(native.headers.raw)
        payload = b"GET " + target + b" HTTP/1.1\r\n" + fields.block
        return Prepared(template.origin, b"GET", payload, native, closes=fields.closes)

    def _prepare_built(self, request: Request, limits: TimeLimits) -> Prepared | None:
        check_text(request.url, self._binding)
        native = self._build(request, limits)
        check_url(native.url, self._binding)
        check_head(native, self._binding)
        if native.url.userinfo or not self._is_ours(native.url):
            return None
        body = self._stored_body(native)
        if body is None:
            return None
        method = native.method.encode("ascii")
        line = encode_request_line(method, native.url.raw_path)
        fields = encode_fields(native.headers.raw)
        if _is_special(method, fields, body):
            return None
        return Prepared(
            origin_of(native.url),
            method,
            line + fields.block,
            native,
            body=body or None,
            closes=fields.closes,
        )

    def _build(self, request: Request, limits: TimeLimits) -> Any:
        library = self._binding.library
        timeout = library.Timeout(
            connect=limits.connect, read=limits.read, write=limits.write, pool=limits.pool
        )
        return self._client.build_request(
            request.method,
            self._binding.url(request.url),
            timeout=timeout,
            **self._binding.arguments(request),
        )

    def _stored_body(self, native: Any) -> bytes | None:
        """Return the body if it lies ready in memory."""
        if type(native.stream) is not self._binding.library.ByteStream:
            return None
        content: bytes = native.content
        return content


def _needs_client(request: Request) -> bool:
    return (
        request.prepared is not None
        or request.auth is not UNSET
        or bool(request.extensions)
        or request.files is not None
    )


def _is_special(method: bytes, fields: RequestFields, body: bytes) -> bool:
    """Whether the request asks for more than one exchange of whole messages."""
    length = fields.length or 0
    return method == b"CONNECT" or fields.upgrades or fields.is_chunked or length != len(body)


_PORTS = {"http": 80, "https": 443}


def origin_of(url: Any) -> Origin:
    """Return the engine's origin for a native URL."""
    host = url.raw_host.decode("ascii")
    return Origin(url.scheme == "https", host, url.port or _PORTS[url.scheme])


@functools.lru_cache(maxsize=1024)
def cookie_domains(host: str) -> tuple[str, ...]:
    """
    Return the domains under which a jar may hold cookies that `host` gets.

    With all of them at hand, a jar can be asked without walking it. RFC 6265 §5.1.3 matches a host
    with each domain that it ends in; `http.cookiejar` keeps them with and without a leading dot,
    gives a host without dots a `.local`, and httpx puts a cookie for all hosts under "".
    """
    domains = {""}
    for name in (host, f"{host}.local"):
        labels = name.split(".")
        for start in range(len(labels)):
            domain = ".".join(labels[start:])
            domains |= {domain, f".{domain}"}
    return tuple(domains)


def may_match(jar: CookieJar, domains: tuple[str, ...]) -> bool:
    """Whether the jar has a cookie under one of `domains`."""
    by_domain: dict[str, Any] = jar._cookies  # type: ignore[attr-defined]  # or walk all of it
    if not by_domain:
        return False
    return any(domain in by_domain for domain in domains)
