"""
Correct what httpx's `next_request` gets wrong: which fields of a request a redirect keeps.
"""

from __future__ import annotations

import re
from typing import Any

from asyncbatch._values._urls import DEFAULT_PORTS

BODY_FIELDS = (
    *("Content-Type", "Content-Encoding", "Content-Language", "Content-Location"),
    *("Digest", "Last-Modified"),
)
"""Fields that describe a body, and are removed with it (RFC 9110 §15.4)."""


def leave_behind(native: Any, following: Any) -> None:
    """Remove the fields that were only for `native` from the request made of it."""
    # httpx removes `Authorization` and cookies, but sends `Proxy-Authorization` to any origin (as
    # Go did until CVE-2025-4673).
    if _origin(native.url) != _origin(following.url):
        following.headers.pop("Proxy-Authorization", None)
    # If the body is not sent again, httpx removes only its length.
    if following.method != native.method:
        for name in BODY_FIELDS:
            following.headers.pop(name, None)


_AUTHORITY = re.compile(rb"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#\\]*")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def with_bytes_of_location(headers: Any, library: Any) -> Any:
    """
    Return headers with a `Location` that keeps its bytes; `headers` itself if it is ASCII.

    httpx decodes it with an encoding that fits all fields of the head, and encodes it as UTF-8. A
    path in Latin-1 becomes another one, and so does one in UTF-8 beside a field in Latin-1.
    Browsers send the bytes that they got, percent-encoded. A host is a name, and is decoded.
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
    """Make the request after `native` keep the bytes of the `Location`."""
    headers = response.headers
    readable = with_bytes_of_location(headers, library)
    if readable is headers:
        return
    response.headers = readable
    try:
        # A private method of httpx and httpx2. Without it httpx's own URL is kept.
        response.next_request.url = client._redirect_url(native, response)
    except AttributeError:
        return
    finally:
        response.headers = headers


def keep_userinfo(response: Any, url: Any, library: Any) -> None:
    """Give the request after a relative redirect the userinfo of `url`, hidden from httpx."""
    location = library.URL(response.headers["location"])
    if not (location.scheme or location.raw_host):
        following = response.next_request
        following.url = following.url.copy_with(userinfo=url.userinfo)


def _origin(url: Any) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port or DEFAULT_PORTS.get(url.scheme)
