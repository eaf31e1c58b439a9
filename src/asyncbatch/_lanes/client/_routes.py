"""
How the requests of a client are routed: by which transports, directly or through a proxy.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._engine import Engine, Exchange, HTTPTransport
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Unset

_HANDLE = "handle_async_request"


def route_to(transport: Any, client: Any, url: Any) -> Proxy | Unset | None:
    """
    Return the proxy through which a client requests a URL on the engine of `transport`.

    Returns:
        `None` for a direct connection; `UNSET` if another transport takes this URL.
    """
    taken: Any = client._transport_for_url(url)
    if taken is transport:
        return None
    is_ours: bool = type(taken) is HTTPTransport
    if transport is None or not is_ours or taken.engine is not transport.engine:
        return UNSET
    route: Proxy | None = taken.route
    return route


def engines_of(client: Any) -> list[Engine]:
    """Return the engines of the transports of a client, each once."""
    mounts = getattr(client, "_mounts", None) or {}
    transports = (getattr(client, "_transport", None), *mounts.values())
    engines = (getattr(transport, "engine", None) for transport in transports)
    return [*dict.fromkeys(engine for engine in engines if isinstance(engine, Engine))]


def takes_routes(client: Any, native: Any) -> bool:
    """Whether the transport of a request accepts a proxy for each request."""
    transport = client._transport_for_url(native.url)
    return hasattr(getattr(transport, "_pool", None), "route")


def is_instrumented(client: Any, url: Any) -> bool:
    """
    Whether an instrument may note the requests that the transport for a URL sends.

    It may have wrapped the method of the transport or of a class below, as by wrapt, or be a
    transport of OpenTelemetry's.
    """
    transport = client._transport_for_url(url)
    owners = (transport, *type(transport).__mro__)
    methods = (getattr(owner, "__dict__", {}).get(_HANDLE) for owner in owners)
    if any(hasattr(method, "__wrapped__") for method in methods):
        return True
    return type(transport).__module__.startswith("opentelemetry.")


def refuse_elsewhere(client: Any, native: Any, binding: Binding) -> None:
    """
    Refuse a request with a proxy of its own if its transport cannot use it.

    Raises:
        UnsupportedProtocol: If the request would not go through that proxy.
    """
    if not takes_routes(client, native):
        raise binding.library.UnsupportedProtocol(
            "proxy= on a request needs a transport of ours: with a client of yours, make that "
            "httpx.AsyncClient(transport=asyncbatch.HTTPTransport())",
            request=native,
        )


def forwarded_by(exchange: Exchange | None) -> str | None:
    """Return the proxy that was sent the request itself, and so may have answered it."""
    if exchange is None:  # sent by a transport that is not ours
        return None
    origin = exchange.origin
    return origin.route.label if origin.route is not None and origin.is_forwarded else None
