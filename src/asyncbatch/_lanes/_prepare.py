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
from asyncbatch._origin import Origin as HostKey
from asyncbatch._request import UNSET, Request, plain_url
from asyncbatch._timeouts import TimeLimits
from asyncbatch._transport import Origin

# URLs that httpx neither changes nor reads in another way: a lower-case scheme and host, and only
# characters that need no percent-encoding. Dot segments would be resolved, a fragment cut off.
_PATH_CHARS = r"[A-Za-z0-9\-._~!$&'()*+,;=:@]*+"
_QUERY_CHARS = r"[A-Za-z0-9\-._~!$&()*+,;=:@/?]*+"
_ESCAPE = "%[0-9A-Fa-f]{2}"
_TARGET = (
    # Runs of one class, which the engine of `re` scans four times as fast as a choice of two.
    rf"(?:/(?!\.{{1,2}}(?:[/?]|\Z)){_PATH_CHARS}(?:{_ESCAPE}{_PATH_CHARS})*+)*+"
    rf"(?:\?(?!\Z){_QUERY_CHARS}(?:{_ESCAPE}{_QUERY_CHARS})*+)?"
)
SIMPLE_TARGET = re.compile(
    r"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*+(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@/?]++)?"
)
"""
What follows the origin in most plain URLs, if "/." is not in it.

All of the path is one run of one class, which is scanned twice as fast as its segments.
"""
_PLAIN_URL = re.compile(
    r"(https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,3}|:[1-5][0-9]{4})?)"
    rf"({_TARGET})"
)

# httpx refuses longer ones.
MAX_PLAIN_LENGTH = 65_536

_MAX_ORIGINS = 10_000
"""Origins whose encoded head is kept; then all are forgotten and encoded again."""


class Prepared:
    """
    A request as the engine takes it, and how to build it for who wants to see it.

    One object for all of it, since each that a kept result holds is one more for the garbage
    collector to look at.
    """

    __slots__ = (
        "_native",
        "_template",
        "_url",
        "body",
        "closes",
        "follow_redirects",
        "limits",
        "method",
        "origin",
        "payload",
    )

    def __init__(
        self, origin: Origin, method: bytes, payload: bytes, limits: TimeLimits, *, closes: bool
    ) -> None:
        self.origin = origin
        self.method = method
        self.payload = payload
        self.limits = limits
        self.closes = closes
        self.body: bytes | None = None
        # What the request itself says about following redirects; None: nothing.
        self.follow_redirects: bool | None = None
        # A plain GET is built of these when somebody asks; anything else has been built already.
        self._url = ""
        self._template: Template | None = None
        self._native: Any = None

    @classmethod
    def plain(cls, url: str, payload: bytes, template: Template, limits: TimeLimits) -> Prepared:
        """Make one of a GET of which only the target differs from others."""
        prepared = cls(template.origin, b"GET", payload, limits, closes=template.closes)
        prepared._url = url
        prepared._template = template
        return prepared

    @classmethod
    def built(
        cls, native: Any, payload: bytes, fields: RequestFields, limits: TimeLimits
    ) -> Prepared:
        """Make one of a request that has been built."""
        method = native.method.encode("ascii")
        prepared = cls(origin_of(native.url), method, payload, limits, closes=fields.closes)
        prepared._native = native
        return prepared

    def native(self) -> Any:
        """Return the native request, built the first time that somebody asks for it."""
        if self._native is None:
            assert self._template is not None
            self._native = self._template.build(self._url, self.limits)
        return self._native


class Template:
    """What all plain GETs to one origin have in common."""

    __slots__ = (
        "_headers",
        "client_headers",
        "closes",
        "cookie_domains",
        "default_encoding",
        "head",
        "is_ours",
        "key",
        "library",
        "origin",
        "prefix",
        "prefix_length",
    )

    def __init__(
        self,
        prefix: str,
        native: Any,
        client_headers: list[Any],
        library: Any,
        default_encoding: Any,
        is_ours: bool,
    ) -> None:
        # What the URLs begin with, up to their target.
        self.prefix = prefix
        self.prefix_length = len(prefix)
        # What the client added to all of them; its user may change that at any time.
        self.client_headers = client_headers
        self.library = library
        self.default_encoding = default_encoding
        self._headers = native.headers
        fields = encode_fields(native.headers.raw)
        self.is_ours = is_ours and not _is_special(b"GET", fields, b"")
        self.head = b" HTTP/1.1\r\n" + fields.block
        self.closes = fields.closes
        self.origin = origin_of(native.url)
        # By which limits per host are kept.
        self.key: HostKey = native.url.scheme, self.origin.host, self.origin.port
        self.cookie_domains = cookie_domains(self.origin.host)

    def payload(self, target: bytes) -> bytes:
        """Return the request for `target` as it is sent."""
        return b"GET " + target + self.head

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


class Preparer:
    """Prepares requests for the engine in the name of one client."""

    def __init__(self, client: Any, binding: Binding, transport: Any) -> None:
        self._client = client
        self._binding = binding
        self._transport = transport
        self._templates: dict[str, Template] = {}
        # The client's headers when the templates were made: its user may change them at any time.
        self._headers: list[Any] = []

    def prepare(self, item: Any, limits: TimeLimits) -> Prepared | None:
        """
        Return `item` prepared, or `None` if it takes a client to send it.

        Raises:
            Exception: If it cannot be sent at all.
        """
        url = plain_url(item)
        if (
            url is not None
            and len(url) <= MAX_PLAIN_LENGTH
            and (match := _PLAIN_URL.fullmatch(url))
        ):
            return self._prepare_plain(url, match, limits)
        request = Request.of(item)
        if _needs_client(request):
            return None
        return self._prepare_built(request, limits)

    def plain(self, url: str) -> tuple[Template, bytes] | None:
        """
        Return what a GET to `url` is made of and sent as, if it is one like any other.

        Raises:
            Exception: If it cannot be sent at all.
        """
        match = _PLAIN_URL.fullmatch(url) if len(url) <= MAX_PLAIN_LENGTH else None
        if match is None:
            return None
        template = self._template(match[1])
        if not template.is_ours or may_match(self._client._cookies.jar, template.cookie_domains):
            return None
        target = match[2].encode("ascii")
        if target[:1] != b"/":
            target = b"/" + target
        return template, template.payload(target)

    def _prepare_plain(self, url: str, match: re.Match[str], limits: TimeLimits) -> Prepared | None:
        template = self._template(match[1])
        if not template.is_ours:
            return None
        target = match[2].encode("ascii")
        if target[:1] != b"/":
            target = b"/" + target
        if may_match(self._client.cookies.jar, template.cookie_domains):
            return self._with_cookies(url, target, template, limits)
        return Prepared.plain(url, template.payload(target), template, limits)

    def _template(self, origin: str) -> Template:
        headers = self._client.headers._list
        if headers != self._headers:
            self._headers = list(headers)
            self._templates.clear()
        template = self._templates.get(origin)
        if template is None:
            if len(self._templates) >= _MAX_ORIGINS:
                self._templates.clear()
            # Not `client.build_request`, which copies the whole cookie jar each time.
            library = self._binding.library
            native = library.Request("GET", origin, headers=self._client.headers)
            check_url(native.url, self._binding)
            check_head(native, self._binding)
            template = Template(
                origin,
                native,
                self._headers,
                library,
                self._client._default_encoding,
                self._is_ours(native.url),
            )
            self._templates[origin] = template
        return template

    def _is_ours(self, url: Any) -> bool:
        """Whether no proxy and no mount takes this URL from our transport."""
        return self._client._transport_for_url(url) is self._transport

    def _with_cookies(
        self, url: str, target: bytes, template: Template, limits: TimeLimits
    ) -> Prepared:
        native = template.build(url, limits)
        self._client.cookies.set_cookie_header(native)
        check_head(native, self._binding)
        fields = encode_fields(native.headers.raw)
        payload = b"GET " + target + b" HTTP/1.1\r\n" + fields.block
        return Prepared.built(native, payload, fields, limits)

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
        prepared = Prepared.built(native, line + fields.block, fields, limits)
        prepared.body = body or None
        prepared.follow_redirects = request.follow_redirects
        return prepared

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
