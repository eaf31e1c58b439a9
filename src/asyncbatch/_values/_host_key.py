"""
The origin of a request: scheme, host and port, by which limits per host are kept, and its name.

Most URLs are plain strings, and parsing one with httpx costs more than scheduling it; so the plain
ones are read with one regular expression, and only the others by the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import httpx

from asyncbatch._values._request import Request, native_of
from asyncbatch._values._urls import DEFAULT_PORTS, ORIGIN, text_of

Origin: TypeAlias = tuple[str, str, int]


def origin_of(item: object, locate: Callable[[object], Any]) -> Origin:
    """
    Return the origin of `item`, a request in any form.

    Args:
        item: The request.
        locate: Returns its URL as the client sees it, or raises if there is none.

    Raises:
        Exception: What `locate` raises.
    """
    url = item.url if isinstance(item, Request) and native_of(item) is None else item
    if isinstance(url, str) and (match := ORIGIN.match(url)):
        scheme, host, port = match.groups()
        scheme = scheme.lower()
        return scheme, host.lower().removesuffix("."), int(port) if port else DEFAULT_PORTS[scheme]
    return origin_of_url(locate(item))


def origin_of_url(url: Any) -> Origin:
    """Return the origin of a client's URL, which has a host and is http or https."""
    # With or without the dot that ends a name for the resolver, it is one server. As it is written
    # in ASCII: a name with other letters is one host in both its forms.
    host = url.raw_host.decode("ascii").removesuffix(".")
    return url.scheme, host, url.port or DEFAULT_PORTS[url.scheme]


def name_of(origin: Origin) -> str:
    """Return what `host_in` returns for the URLs of an origin."""
    scheme, host, port = origin
    address = f"[{host}]" if ":" in host else host
    return host_in(f"{scheme}://{address}:{port}/") or address


def plain_host_in(url: object) -> str | None:
    """Return what `host_in` returns, if `url` is text in which it is plain to see."""
    match = ORIGIN.match(text_of(url)) if isinstance(url, str) else None
    if match is None or "xn--" in (host := match[2].lower()):
        return None
    return _with_port(host, match[1].lower(), int(match[3] or 0))


def host_in(url: Any) -> str | None:
    """
    Return the host that an absolute URL names, with its port if the scheme has another; else None.

    As a user would name it, and as a key of the option `hosts`: in lower case, without its
    encoding for DNS, an IPv6 address in brackets.
    """
    try:
        found = httpx.URL(text_of(url)) if isinstance(url, str) else url
        host: str = found.host
        return _with_port(f"[{host}]" if ":" in host else host, found.scheme, found.port or 0)
    except Exception:  # no URL
        return None


def _with_port(host: str, scheme: str, port: int) -> str | None:
    host = host.removesuffix(".")
    return f"{host}:{port}" if host and port and port != DEFAULT_PORTS.get(scheme) else host or None
