"""
The cookie jar of a client: which cookies it keeps, and how to find those of one host quickly.

`http.cookiejar` follows Netscape's rules of 1994, and httpx copies the whole jar for each request
and each redirect (0.28). The jar here follows the rules of today's user agents (RFC 6265), and can
return only the part that one host may get. The format of the `Cookie` field stays httpx's.
"""

from __future__ import annotations

import contextlib
import functools
import http.cookiejar
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from http.cookiejar import Cookie, CookieJar, CookiePolicy, DefaultCookiePolicy
from types import SimpleNamespace
from typing import Any

from asyncbatch._lanes.client._set_cookie import SetCookie, as_netscape, read_set_cookie

# For its functions that read a URL; not documented, and unchanged since Python 2.4.
_cookiejar: Any = http.cookiejar


class SendableCookies(DefaultCookiePolicy):
    """
    The default policy, without the cookies that are not ASCII.

    httpx encodes the `Cookie` field as ASCII (0.28), and raises if it cannot: one cookie in another
    alphabet would fail every later request to its host.
    """

    def set_ok(self, cookie: Cookie, request: urllib.request.Request) -> bool:
        """Whether a cookie may be kept."""
        return _is_sendable(cookie) and super().set_ok(cookie, request)


class UserAgentJar(CookieJar):
    """
    A jar that keeps what user agents keep, and finds the cookies of a host quickly at any size.

    Attributes:
        version: changes with the contents, but not if a `Cookie` in the jar is modified.
        joined_at: the order in which domains got their first cookie; cookies are sent in it.
    """

    def __init__(self, cookies: Iterable[Cookie] = ()) -> None:
        self.version = 0
        super().__init__(SendableCookies())
        self.joined_at: dict[str, int] = {}
        self._count = 0
        # The number of domains at which expired cookies are removed from the whole jar.
        self._sweep_at = 64
        for cookie in cookies:
            self.set_cookie(cookie)

    def extract_cookies(self, response: Any, request: urllib.request.Request) -> None:
        """
        Keep the cookies that a response sets, read by RFC 6265 §5.2.

        The fields are passed on one by one. Given all, `http.cookiejar` would first remove the
        cookies that a field expires, even if an earlier field sets them.
        """
        host = urllib.parse.urlsplit(request.get_full_url()).hostname or ""
        for line in response.info().get_all("Set-Cookie", []):
            super().extract_cookies(_OneField(as_netscape(line, host)), request)  # type: ignore[arg-type]

    def extract(self, lines: Iterable[str], asked: Any) -> None:
        """
        Keep the cookies that a response sets, as `extract_cookies` does, without a response object.

        Args:
            lines: The values of the fields, in ASCII.
            asked: The `AskedUrl` of the request.
        """
        for line in lines:
            read = read_set_cookie(line, asked.hostname)
            if read is None:
                continue
            now = int(time.time())
            cookie = _cookie_of(read, asked, now)
            if cookie.expires is not None and cookie.expires <= now:
                with contextlib.suppress(KeyError):
                    self.clear(cookie.domain, cookie.path, cookie.name)
            elif cookie.domain_specified:
                self.set_cookie_if_ok(cookie, asked)
            elif _is_sendable(cookie):
                self.set_cookie(cookie)

    def line_for(self, domains: Iterable[str], asked: AskedUrl) -> str:
        """
        Return the `Cookie` field of a request, "" for none; remove expired cookies.

        Args:
            domains: The domains under which the host may have cookies.
            asked: The URL of the request.
        """
        jar, policy = self, self._policy  # type: ignore[attr-defined]
        policy._now = int(time.time())
        cookies: list[Cookie] = []
        for domain in _in_order(jar, [each for each in domains if each in _by_domain(jar)]):
            cookies += jar._cookies_for_domain(domain, asked)  # type: ignore[attr-defined]
        line = "; ".join(jar._cookie_attrs(cookies))  # type: ignore[attr-defined]
        for cookie in self.under(domains):
            if cookie.is_expired(policy._now):
                self.clear(cookie.domain, cookie.path, cookie.name)
        return line

    def under(self, domains: Iterable[str]) -> list[Cookie]:
        """Return the cookies under some domains."""
        by_domain = _by_domain(self)
        return [
            cookie
            for domain in domains
            if domain in by_domain
            for by_name in by_domain[domain].values()
            for cookie in by_name.values()
        ]

    def set_cookie(self, cookie: Cookie) -> None:
        """Keep a cookie without asking the policy."""
        by_domain = _by_domain(self)
        if cookie.domain not in by_domain:
            if len(by_domain) >= self._sweep_at:
                self._sweep()
            self._count += 1
            self.joined_at[cookie.domain] = self._count
        known = by_domain.get(cookie.domain, {}).get(cookie.path, {}).get(cookie.name)
        # Many servers set the same cookie with each response.
        if known is None or known is cookie or vars(known) != vars(cookie):
            self.version += 1
        super().set_cookie(cookie)

    def clear(
        self, domain: str | None = None, path: str | None = None, name: str | None = None
    ) -> None:
        """Remove a cookie, those of a path, those of a domain, or all."""
        self.version += 1
        super().clear(domain, path, name)

    def set_policy(self, policy: CookiePolicy) -> None:
        """Replace the policy."""
        self.version += 1
        super().set_policy(policy)

    def _sweep(self) -> None:
        """
        Remove expired cookies, and domains without any.

        `narrowed` jars remove only those of their own host. Doubling bounds the cost per cookie.
        """
        self.clear_expired_cookies()
        by_domain = _by_domain(self)
        for domain in [domain for domain, paths in by_domain.items() if not any(paths.values())]:
            del by_domain[domain]
        self.joined_at = {domain: self.joined_at[domain] for domain in by_domain}
        self._sweep_at = max(64, 2 * len(by_domain))


class AskedUrl:
    """
    A request as `http.cookiejar` needs it: only its URL.

    Args:
        base: Scheme, host and port of the URL, as in `http://example.org:8080`.
        path: The rest of the URL; the query may be missing.
    """

    unverifiable = False

    def __init__(self, base: str, path: str) -> None:
        self._url = base + path
        self.type, _, self.host = base.partition("://")
        self.hostname, self.effective_host = _hosts_of(base)

    @classmethod
    def of(cls, url: str) -> AskedUrl:
        """Return the `AskedUrl` of a URL that has a host."""
        base, slash, path = url.partition("?")[0].partition("#")[0].partition("://")
        host, _, path = path.partition("/")
        return cls(f"{base}{slash}{host}", f"/{path}")

    def get_full_url(self) -> str:
        """Return the URL."""
        return self._url


@functools.lru_cache(maxsize=1024)
def _hosts_of(base: str) -> tuple[str, str]:
    """Return the host of a URL without brackets and port, and the domain of its cookies."""
    request = SimpleNamespace(get_full_url=lambda: base)
    return urllib.parse.urlsplit(base).hostname or "", _cookiejar.eff_request_host(request)[1]


def _cookie_of(read: SetCookie, asked: AskedUrl, now: int) -> Cookie:
    """Return the `Cookie` that `http.cookiejar` makes of a field."""
    domain, path = read.domain, read.path
    has_dot = domain is not None and domain.startswith(".")
    if domain is None:
        domain = asked.effective_host
    elif not has_dot:
        domain = f".{domain}"
    if path:
        path = _cookiejar.escape_path(path)
    else:
        path = _cookiejar.request_path(asked)
        path = path[: path.rfind("/")] or "/"
    expires = read.expires if read.max_age is None else now + read.max_age
    return Cookie(
        0,
        read.name,
        read.value,
        None,
        False,
        domain,
        read.domain is not None,
        has_dot,
        path,
        bool(read.path),
        read.secure,
        expires,
        expires is None,
        None,
        None,
        read.rest,
    )


class _OneField:
    """A response with one `Set-Cookie`, as `http.cookiejar` needs it."""

    def __init__(self, line: str) -> None:
        self._line = line

    def info(self) -> _OneField:
        return self

    def get_all(self, name: str, default: list[str]) -> list[str]:
        # RFC 6265 has removed Set-Cookie2.
        return [self._line] if name == "Set-Cookie" else default


def adopt(cookies: Any) -> None:
    """Give `httpx.Cookies` a `UserAgentJar`; a jar with rules of its own is left alone."""
    if has_usual_rules(cookies.jar) and not isinstance(cookies.jar, UserAgentJar):
        cookies.jar = UserAgentJar(cookies.jar)


def narrowed(cookies: Any, host: str) -> Any:
    """
    Return the `httpx.Cookies` that `host` may get, so that httpx copies only those.

    The cookies themselves are shared. A jar with rules of its own, which may send a cookie
    anywhere, is returned whole.

    Args:
        cookies: All cookies of a client.
        host: The host as in a URL, without brackets.
    """
    jar = cookies.jar
    if not has_usual_rules(jar):
        return cookies
    by_domain = _by_domain(jar)
    domains = [domain for domain in cookie_domains(host) if domain in by_domain]
    if len(domains) > 1:
        domains = _in_order(jar, domains)
    part = CookieJar(jar._policy)
    part._cookies = {domain: by_domain[domain] for domain in domains}  # type: ignore[attr-defined]
    return type(cookies)(part)


def _in_order(jar: CookieJar, domains: list[str]) -> list[str]:
    if isinstance(jar, UserAgentJar):
        return sorted(domains, key=jar.joined_at.__getitem__)
    return [domain for domain in _by_domain(jar) if domain in domains]


def has_sendable_only(jar: CookieJar) -> bool:
    """Whether a jar refuses cookies that cannot be sent."""
    return type(jar._policy) is SendableCookies  # type: ignore[attr-defined]


def drop_unsendable(jar: CookieJar) -> None:
    """Remove the cookies that cannot be sent."""
    if has_sendable_only(jar):
        return
    for cookie in [cookie for cookie in jar if not _is_sendable(cookie)]:
        jar.clear(cookie.domain, cookie.path, cookie.name)


@functools.lru_cache(maxsize=1024)
def cookie_domains(host: str) -> tuple[str, ...]:
    """
    Return all domains under which a jar may hold cookies for `host`.

    They are looked up instead of walking the jar. RFC 6265 §5.1.3 matches a host with each domain
    that it ends in. `http.cookiejar` keeps domains with and without a leading dot, adds `.local` to
    a host without dots, and keeps the brackets of an IPv6 address. httpx keeps a cookie for all
    hosts under "".
    """
    if ":" in host:
        host = f"[{host}]"
    domains = {"": None}
    for name in (host, f"{host}.local"):
        labels = name.split(".")
        for start in range(len(labels)):
            domain = ".".join(labels[start:])
            domains |= {domain: None, f".{domain}": None}
    return tuple(domains)


def may_match(jar: CookieJar, domains: tuple[str, ...]) -> bool:
    """Whether the jar has a cookie under one of `domains`."""
    by_domain = _by_domain(jar)
    if not by_domain:
        return False
    return any(domain in by_domain for domain in domains)


def has_usual_rules(jar: CookieJar) -> bool:
    policy: object = jar._policy  # type: ignore[attr-defined]
    return type(jar) in (CookieJar, UserAgentJar) and type(policy) in (
        DefaultCookiePolicy,
        SendableCookies,
    )


def _by_domain(jar: CookieJar) -> dict[str, Any]:
    # A private name of the standard library; the public API can only walk the whole jar.
    by_domain: dict[str, Any] = jar._cookies  # type: ignore[attr-defined]
    return by_domain


def _is_sendable(cookie: Cookie) -> bool:
    text = f"{cookie.name}{cookie.value or ''}{cookie.path}"
    return text.isascii() and text.isprintable()
