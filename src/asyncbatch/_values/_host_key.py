"""
The key of a host (scheme, host and port), which limits per host are kept by, and its name.

The engine's `Origin` has the route too, and keeps the final dot of a host name.

Most URLs are plain strings, and parsing one with httpx costs more than scheduling it. So one
regular expression reads the plain ones, and the client parses only the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import httpx

from asyncbatch._values._request import Request, native_of
from asyncbatch._values._urls import DEFAULT_PORTS, text_of

HostKey: TypeAlias = tuple[str, str, int]

_ORIGIN = re.compile(
    r"(https?)://([a-z0-9._-]+)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?(?=[/?#]|\Z)", re.IGNORECASE
)
"""
Scheme, host and port of an unambiguous URL: no userinfo, IPv6, backslashes or non-ASCII letters.
"""


def host_key_of(item: object, locate: Callable[[Any], Any]) -> HostKey:
    """
    Return the key of the host of `item`, a request in any form.

    Args:
        item: The request.
        locate: Returns the URL as the client sees it, or raises if there is none.

    Raises:
        Exception: As raised by `locate`.
    """
    url = item.url if isinstance(item, Request) and native_of(item) is None else item
    if isinstance(url, str) and (match := _ORIGIN.match(url)):
        scheme, host, port = match.groups()
        scheme = scheme.lower()
        return scheme, host.lower().removesuffix("."), int(port) if port else DEFAULT_PORTS[scheme]
    return host_key_of_url(locate(item))


def plain_prefix(url: str) -> str | None:
    """Return a URL up to its path, which decides its key, if `_ORIGIN` matches it."""
    end = url.find("/", len("https://"))
    return url[: end + 1] if _ORIGIN.fullmatch(url, 0, end) else None


def host_key_of_url(url: Any) -> HostKey:
    """Return the key for a client's URL, which has a host and is http or https."""
    # The final dot of an absolute DNS name makes no other server. The host is taken in ASCII, so
    # that an internationalised name is one host in both its forms.
    host = url.raw_host.decode("ascii").removesuffix(".")
    return url.scheme, host, url.port or DEFAULT_PORTS[url.scheme]


def name_of(key: HostKey) -> str:
    """Return what `host_in` returns for the URLs of a host."""
    scheme, host, port = key
    address = f"[{host}]" if ":" in host else host
    return host_in(f"{scheme}://{address}:{port}/") or address


def plain_host_in(url: object) -> str | None:
    """Return what `host_in` returns, or `None` if `url` is not a string that `_ORIGIN` matches."""
    match = _ORIGIN.match(text_of(url)) if isinstance(url, str) else None
    if match is None or "xn--" in (host := match[2].lower()):
        return None
    return _with_port(host, match[1].lower(), int(match[3] or 0))


def host_in(url: Any) -> str | None:
    """
    Return the host of an absolute URL, with a port that is not the scheme's default; else `None`.

    The form is that of the keys of the option `hosts`: in lower case, in Unicode rather than in its
    encoding for DNS, an IPv6 address in brackets.
    """
    try:
        found = httpx.URL(text_of(url)) if isinstance(url, str) else url
        host: str = found.host
        return _with_port(f"[{host}]" if ":" in host else host, found.scheme, found.port or 0)
    except Exception:  # not a URL
        return None


def _with_port(host: str, scheme: str, port: int) -> str | None:
    host = host.removesuffix(".")
    return f"{host}:{port}" if host and port and port != DEFAULT_PORTS.get(scheme) else host or None
