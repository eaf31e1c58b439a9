"""
The origin of a request: scheme, host and port, by which limits per host are kept.

Most URLs are plain strings, and parsing one with httpx costs more than scheduling it; so the plain
ones are read with one regular expression, and only the others by the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from asyncbatch._request import Request
from asyncbatch._urls import ORIGIN

Origin: TypeAlias = tuple[str, str, int]

_PORTS = {"http": 80, "https": 443}


def origin_of(item: object, locate: Callable[[object], Any]) -> Origin:
    """
    Return the origin of `item`, a request in any form.

    Args:
        item: The request.
        locate: Returns its URL as the client sees it, or raises if there is none.

    Raises:
        Exception: What `locate` raises.
    """
    url = item.url if isinstance(item, Request) and item.prepared is None else item
    if isinstance(url, str) and (match := ORIGIN.match(url)):
        scheme, host, port = match.groups()
        scheme = scheme.lower()
        return scheme, host.lower().removesuffix("."), int(port) if port else _PORTS[scheme]
    return origin_of_url(locate(item))


def origin_of_url(url: Any) -> Origin:
    """Return the origin of a client's URL, which has a host and is http or https."""
    # With or without the dot that ends a name for the resolver, it is one server. As it is written
    # in ASCII: a name with other letters is one host in both its forms.
    host = url.raw_host.decode("ascii").removesuffix(".")
    return url.scheme, host, url.port or _PORTS[url.scheme]
