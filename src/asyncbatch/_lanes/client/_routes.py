"""
Which way the requests of a client go: directly, or through which proxy.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._engine import Exchange, HTTPTransport
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Unset


def route_to(transport: Any, client: Any, url: Any) -> Proxy | Unset | None:
    """
    Return the proxy by which a client asks for a URL on the engine of `transport`.

    Returns:
        `None`: it asks directly. `UNSET`: another transport takes this URL.
    """
    taken: Any = client._transport_for_url(url)
    if taken is transport:
        return None
    is_ours: bool = type(taken) is HTTPTransport
    if transport is None or not is_ours or taken.engine is not transport.engine:
        return UNSET
    route: Proxy | None = taken.route
    return route


def takes_routes(client: Any, native: Any) -> bool:
    """Say whether a request is for a transport that can be told which proxy to go through."""
    transport = client._transport_for_url(native.url)
    return hasattr(getattr(transport, "_pool", None), "route")


def refuse_elsewhere(client: Any, native: Any, binding: Binding) -> None:
    """
    Refuse a request with a proxy of its own that is for a transport which does not know of those.

    Raises:
        UnsupportedProtocol: It would go another way than was asked for.
    """
    if not takes_routes(client, native):
        raise binding.library.UnsupportedProtocol(
            "proxy= on a request needs a transport of ours: with a client of yours, make that "
            "httpx.AsyncClient(transport=asyncbatch.HTTPTransport())",
            request=native,
        )


def forwarded_by(exchange: Exchange | None) -> str | None:
    """Return the proxy that was handed the request, and so may have answered it itself."""
    if exchange is None:  # of a transport that is not ours
        return None
    origin = exchange.origin
    return origin.route.label if origin.route is not None and origin.is_forwarded else None
