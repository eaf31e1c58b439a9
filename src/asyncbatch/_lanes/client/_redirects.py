"""
From a request to the one that its redirect leads to: what it takes along, and what it leaves.

Only what httpx's own `next_request` gets wrong.
"""

from __future__ import annotations

import re
from typing import Any

from asyncbatch._values._urls import DEFAULT_PORTS

BODY_FIELDS = (
    *("Content-Type", "Content-Encoding", "Content-Language", "Content-Location"),
    *("Digest", "Last-Modified"),
)
"""What describes a body, and goes with it (RFC 9110 §15.4)."""


def leave_behind(native: Any, following: Any) -> None:
    """Remove from `following` what was only for `native`, from which it was made."""
    # httpx removes `Authorization` and cookies; `Proxy-Authorization` it lets pass to any origin
    # (as Go did until CVE-2025-4673).
    if _origin(native.url) != _origin(following.url):
        following.headers.pop("Proxy-Authorization", None)
    # Of a body that is not sent again, httpx removes the length only.
    if following.method != native.method:
        for name in BODY_FIELDS:
            following.headers.pop(name, None)


_AUTHORITY = re.compile(rb"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#\\]*")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def with_bytes_of_location(headers: Any, library: Any) -> Any:
    """
    Return headers with a `Location` that is read as its bytes are, or `headers` where any is.

    httpx decodes it by what all fields of the head can be decoded by, and encodes that as UTF-8: a
    path in Latin-1 so becomes another one, as one in UTF-8 does beside a field in Latin-1. Browsers
    send the bytes that they were given, percent-encoded. A host is a name, and is decoded.
    """
    values = [value for name, value in headers.raw if name.lower() == b"location"]
    if not values or all(map(bytes.isascii, values)):
        return headers
    location = b", ".join(values)
    found = _AUTHORITY.match(location)
    end = 0 if found is None else found.end()
    path = _NOT_ASCII.sub(lambda byte: b"%%%02X" % ord(byte[0]), location[end:])
    text = _decoded(location[:end]) + path.decode("ascii")
    return library.Headers({"Location": text}, encoding="utf-8")


def _decoded(authority: bytes) -> str:
    try:
        return authority.decode("utf-8")
    except UnicodeDecodeError:
        return authority.decode("latin-1")


def keep_bytes_of_location(client: Any, native: Any, response: Any, library: Any) -> None:
    """Have the request that follows `native` ask for the bytes of the `Location`."""
    headers = response.headers
    readable = with_bytes_of_location(headers, library)
    if readable is headers:
        return
    response.headers = readable
    try:
        # A private method, of httpx and httpx2 alike; without it httpx's own reading stands.
        response.next_request.url = client._redirect_url(native, response)
    except AttributeError:
        return
    finally:
        response.headers = headers


def keep_userinfo(response: Any, url: Any, library: Any) -> None:
    """Give the request that follows what `url` has and was hidden from httpx, if it is relative."""
    location = library.URL(response.headers["location"])
    if not (location.scheme or location.raw_host):
        following = response.next_request
        following.url = following.url.copy_with(userinfo=url.userinfo)


def _origin(url: Any) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port or DEFAULT_PORTS.get(url.scheme)
