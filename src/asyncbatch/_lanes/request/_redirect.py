"""
Compose the request that a redirect leads to, without httpx.

The bytes are those of httpx's `_build_redirect_request`, with the corrections of
`client/_next_request.py`. Where they could differ, httpx builds the request.
"""

from __future__ import annotations

import re
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urljoin

from asyncbatch._lanes.client._next_request import BODY_FIELDS
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.request._origin_head import OriginHead, OriginHeads
from asyncbatch._values._plain_urls import MAX_PLAIN_LENGTH, plain_origin, split_plain

_CHARS = r"A-Za-z0-9\-._~!$&'()*+,;=@%"
# A reference without a scheme: from the host on, a path or a query. `split_plain` checks the rest
# after the reference has been joined to the URL before.
_RELATIVE = re.compile(
    rf"(?://[{_CHARS}][{_CHARS}:/]*|/(?!/)[{_CHARS}:/]*|[{_CHARS}]+(?:/[{_CHARS}:/]*)?)?"
    rf"(?:\?[{_CHARS}:/?]+)?"
)
# The most common reference: a path from the root, and a query. Without a semicolon, which `urljoin`
# drops at the end of a path.
_FROM_ROOT = re.compile(
    r"/(?!/)[A-Za-z0-9\-._~!$&'()*+,=:@/]*+(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@/?]++)?"
)
_FRAGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=@:/?]+")

# A field line of a head that has been checked: there is no other carriage return.
_LOCATION = re.compile(rb"\nlocation:([^\r]*)", re.IGNORECASE)

_BODY_FIELDS = frozenset(
    {b"content-length", b"transfer-encoding", *(name.lower().encode() for name in BODY_FIELDS)}
)


class Redirection:
    """
    The target of a redirect, and the request to send there.

    Attributes:
        url: the next URL.
        origin_head: what the requests to its origin share.
    """

    __slots__ = ("_method", "_prepared", "_target", "origin_head", "url")

    def __init__(
        self,
        prepared: PreparedRequest,
        url: str,
        origin_head: OriginHead,
        target: bytes,
        method: bytes,
    ) -> None:
        self._prepared = prepared
        self.url = url
        self.origin_head = origin_head
        self._target = target
        self._method = method

    def compose(self, jar: CookieJar) -> PreparedRequest | None:
        """
        Return the next request, or `None` if httpx must build it.

        Args:
            jar: The client's, with the cookies that the redirect has set.
        """
        prepared = self._prepared
        origin_head, builder = self.origin_head, self.origin_head.builder
        line = origin_head.cookie_line(jar, self._target.decode("ascii"))
        if (
            line == ""
            and prepared.is_plain_for(origin_head)
            and not (builder.has_credentials or builder.has_host or self._method != b"GET")
        ):
            # What the rest would compose of the same fields.
            payload = origin_head.payload(self._target)
            return prepared.redirected(origin_head, self.url, b"GET", payload)
        fields = prepared.fields()
        if line is None or fields is None:
            return None
        kept = self._kept(fields)
        if line:
            kept.append((b"Cookie", line.encode("ascii")))
        head = b"".join([b"%b: %b\r\n" % field for field in kept])
        payload = b"%b %b HTTP/1.1\r\n%b\r\n" % (self._method, self._target, head)
        return prepared.redirected(origin_head, self.url, self._method, payload)

    def _kept(self, fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the fields of the request before that are sent again."""
        prepared, origin_head = self._prepared, self.origin_head
        dropped = {b"cookie"}
        if self._method != prepared.method:
            dropped |= _BODY_FIELDS
        if prepared.way_to(origin_head.origin) == prepared.origin:
            return [field for field in fields if field[0].lower() not in dropped]
        dropped.add(b"proxy-authorization")
        if not _is_upgrade(prepared.origin, origin_head.origin):
            dropped.add(b"authorization")
        kept = [(name, value) for name, value in fields if name.lower() not in dropped]
        return [
            (b"Host", origin_head.host) if name.lower() == b"host" else (name, value)
            for name, value in kept
        ]


def redirection_of(
    prepared: PreparedRequest, head: Any, origin_heads: OriginHeads
) -> Redirection | None:
    """
    Return the target of a redirect, or `None` if httpx must read it.

    Args:
        prepared: The request that was redirected.
        head: The head of its response.
        origin_heads: Those of the client.
    """
    locations = _LOCATION.findall(head.block)
    if len(locations) != 1 or not locations[0].isascii():
        return None
    followed = _followed(prepared.url, locations[0].decode("ascii").strip(" \t"))
    if followed is None:
        return None
    url, origin, target = followed
    try:
        origin_head = origin_heads.of(origin)
    except Exception:
        return None  # httpx will find the same mistake and report it
    if not origin_head.is_ours:
        return None
    return Redirection(prepared, url, origin_head, target, _method(prepared.method, head.status))


def _followed(base: str, location: str) -> tuple[str, str, bytes] | None:
    """Return the URL of a `Location`, its origin and its target, if all of it is plain."""
    base, _, base_fragment = base.partition("#")
    reference, hash_sign, fragment = location.partition("#")
    if hash_sign and not _FRAGMENT.fullmatch(fragment):
        return None
    joined = _from_root(base, reference)
    if joined is None:
        parts, url = split_plain(reference), reference
        if parts is None and reference and _RELATIVE.fullmatch(reference):
            url = urljoin(base, reference)
            parts = split_plain(url)
        if parts is None:
            return None
        joined = url, *parts
    fragment = fragment or base_fragment
    return (f"{joined[0]}#{fragment}", *joined[1:]) if fragment else joined


def _from_root(base: str, reference: str) -> tuple[str, str, bytes] | None:
    """
    Return the URL of a simple reference to a path of the same origin, its origin and its target.

    It is the one that `urljoin` returns, and plain. 1 µs in place of the 25 of `urljoin`, which
    takes both apart and puts them together. `None` for any other reference.
    """
    if not _FROM_ROOT.fullmatch(reference) or "/." in reference:
        return None
    origin = plain_origin(base)
    if origin is None or len(origin) + len(reference) > MAX_PLAIN_LENGTH:
        return None
    return origin + reference, origin, reference.encode("ascii")


def _method(method: bytes, status: int) -> bytes:
    """Return the method of the request after a redirect, as httpx and browsers choose it."""
    if status in (302, 303) and method != b"HEAD":
        return b"GET"
    return b"GET" if status == 301 and method == b"POST" else method


def _is_upgrade(origin: Any, following: Any) -> bool:
    """Whether a redirect leads to the same host over TLS, both on their default ports."""
    if origin.is_tls or not following.is_tls or origin.host != following.host:
        return False
    return (origin.port, following.port) == (80, 443)
