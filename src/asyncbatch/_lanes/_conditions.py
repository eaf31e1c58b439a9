"""
When the direct lane may be taken: the conditions, in one place.

It skips httpx's per-request machinery, so it may only be taken where that machinery would do
nothing that anybody could see: on our own client and transport, as we made them, with nobody's
hooks in between. Any doubt, a missing attribute included, means the client lane.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from typing import Any, cast

import httpx

from asyncbatch._lanes._basic import is_basic
from asyncbatch._transport import HTTPTransport, is_pristine, pool_class

# Every step of a request through the client, so that whoever replaces one is served: instruments
# patch `send` (Sentry, Datadog) or what it calls (New Relic), mocks the last of them (respx).
_CLIENT_METHODS = (
    "build_request",
    "request",
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_transport_for_url",
)
_AUTH_METHODS = ("auth_flow", "async_auth_flow")
_HANDLE = "handle_async_request"


def reason_against(client: Any, own_client: type, transport: HTTPTransport | None) -> str | None:
    """
    Return why requests of `client` may not take the direct lane, or `None` if they may.

    Args:
        client: The client.
        own_client: The class of the clients that we make.
        transport: The transport that we gave it.
    """
    try:
        return _first_reason(client, own_client, transport)
    except AttributeError as error:
        return f"not laid out as expected: {error}"


def _first_reason(client: Any, own_client: type, transport: Any) -> str | None:
    is_own: bool = type(client) is own_client
    if not is_own:
        return "the client is not one of ours"
    if transport is None or client._transport is not transport:
        return "the transport is not ours"
    pool, library = client._transport._pool, cast("Any", httpx)
    if type(transport) is not HTTPTransport or type(pool) is not pool_class(library):
        return "the transport has been changed"
    if not pool.speaks_http11_only:
        return "the engine speaks HTTP/1.1 only"
    if client.is_closed:
        return "the client is closed"
    if not client.__dict__.keys().isdisjoint(_CLIENT_METHODS):
        return "a method of the client has been replaced"
    if any(_HANDLE in each.__dict__ for each in (transport, pool)):
        return "a method of the transport has been replaced"
    if not all(_is_untouched(own_client, name) for name in _CLIENT_METHODS):
        return "a method of httpx has been replaced"
    if not _is_untouched(HTTPTransport, _HANDLE):
        return "a method of httpx has been replaced"
    if not is_pristine(pool.core):
        return "a method of httpcore has been replaced"
    if not all(_is_untouched(httpx.BasicAuth, name) for name in _AUTH_METHODS):
        return "a method of httpx has been replaced"
    if client.params:
        return "the client adds query parameters"
    return standing_reason_against(client)


def standing_reason_against(client: Any) -> str | None:
    """Return the first of those conditions that a client's user may change at any time."""
    if client._auth is not None and not is_basic(client._auth):
        return "requests are to be authenticated"
    hooks = client._event_hooks
    if hooks["request"] or hooks["response"]:
        return "there are event hooks"
    return None


def is_all_httpx(client: Any, transports: Iterable[Any]) -> bool:
    """
    Say whether only httpx's own code is between sending a request and these transports' pools.

    Event hooks apart, which come and go. Whoever derives from a class of httpx's without replacing
    one of the methods that lead there changes nothing.
    """
    if not client.__dict__.keys().isdisjoint(_CLIENT_METHODS):
        return False
    if not all(_is_untouched(type(client), name) for name in _CLIENT_METHODS):
        return False
    return all(
        _is_untouched(type(transport), _HANDLE)
        and _HANDLE not in transport.__dict__
        and _HANDLE not in transport._pool.__dict__
        for transport in transports
    )


def _is_untouched(cls: type, name: str) -> bool:
    """
    Tell a method as its module defined it from one that somebody has put in its place.

    By what it is, not by comparing it with what it was when we were imported: whoever patches may
    have come first.
    """
    method = getattr(cls, name, None)
    if type(method) is not types.FunctionType or hasattr(method, "__wrapped__"):
        return False
    module = sys.modules.get(method.__module__)
    is_httpx: bool = method.__module__.partition(".")[0] == httpx.__name__
    return is_httpx and module is not None and method.__globals__ is module.__dict__
