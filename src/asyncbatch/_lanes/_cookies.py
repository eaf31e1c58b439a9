"""
Which cookies of a server's are kept: those that can be sent again.

httpx encodes the `Cookie` field as ASCII (0.28), and raises where it cannot: one cookie in another
alphabet would fail every later request to its host.
"""

from __future__ import annotations

import urllib.request
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy


class SendableCookies(DefaultCookiePolicy):
    """The default policy, without the cookies that are not ASCII."""

    def set_ok(self, cookie: Cookie, request: urllib.request.Request) -> bool:
        """Say whether a cookie may be kept."""
        return _is_sendable(cookie) and super().set_ok(cookie, request)


def keep_sendable(jar: CookieJar) -> None:
    """Let a jar of ours take only cookies that can be sent; one with rules of its own is left."""
    if type(jar) is CookieJar and type(jar._policy) is DefaultCookiePolicy:  # type: ignore[attr-defined]
        jar.set_policy(SendableCookies())


def drop_unsendable(jar: CookieJar) -> None:
    """Remove the cookies that no request could be sent with."""
    for cookie in [cookie for cookie in jar if not _is_sendable(cookie)]:
        jar.clear(cookie.domain, cookie.path, cookie.name)


def _is_sendable(cookie: Cookie) -> bool:
    text = f"{cookie.name}{cookie.value or ''}{cookie.path}"
    return text.isascii() and text.isprintable()
