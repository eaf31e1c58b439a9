"""
From a request to the one that its redirect leads to: what it takes along, and what it leaves.

Only what httpx's own `next_request` gets wrong.
"""

from __future__ import annotations

from typing import Any

# What describes a body, and goes with it (RFC 9110 §15.4).
_BODY_FIELDS = (
    *("Content-Type", "Content-Encoding", "Content-Language", "Content-Location"),
    *("Digest", "Last-Modified"),
)

_PORTS = {"http": 80, "https": 443}


def leave_behind(native: Any, following: Any) -> None:
    """Remove from `following` what was only for `native`, from which it was made."""
    # httpx removes `Authorization` and cookies; `Proxy-Authorization` it lets pass to any origin
    # (as Go did until CVE-2025-4673).
    if _origin(native.url) != _origin(following.url):
        following.headers.pop("Proxy-Authorization", None)
    # Of a body that is not sent again, httpx removes the length only.
    if following.method != native.method:
        for name in _BODY_FIELDS:
            following.headers.pop(name, None)


def keep_userinfo(response: Any, url: Any, library: Any) -> None:
    """Give the request that follows what `url` has and was hidden from httpx, if it is relative."""
    location = library.URL(response.headers["location"])
    if not (location.scheme or location.raw_host):
        following = response.next_request
        following.url = following.url.copy_with(userinfo=url.userinfo)


def _origin(url: Any) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port or _PORTS.get(url.scheme)
