"""
A client's cookie jar: which cookies it keeps, and whether it may have one for a host.

Those are kept that can be sent again. httpx encodes the `Cookie` field as ASCII (0.28), and raises
where it cannot: one cookie in another alphabet would fail every later request to its host.
"""

from __future__ import annotations

import functools
import urllib.request
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any


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


def _is_sendable(cookie: Cookie) -> bool:
    text = f"{cookie.name}{cookie.value or ''}{cookie.path}"
    return text.isascii() and text.isprintable()
