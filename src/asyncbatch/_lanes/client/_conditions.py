"""
When the direct lane may be taken: the conditions, in one place.

It skips httpx's per-request machinery, so it may only be taken where that machinery would do
nothing that anybody could see: on our own client and transport, as we made them, with nobody's
hooks in between. Any doubt, a missing attribute included, means the client lane.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, cast

import httpx

from asyncbatch._engine import HTTPTransport, is_pristine, is_untouched, pool_class
from asyncbatch._lanes.request._basic_auth import is_basic

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
# What says where a redirect leads, which the direct lane says by itself.
_REDIRECT_METHODS = (
    "_build_redirect_request",
    "_redirect_method",
    "_redirect_url",
    "_redirect_headers",
    "_redirect_stream",
)
_AUTH_METHODS = ("auth_flow", "async_auth_flow")
_HANDLE = "handle_async_request"


# What these methods are, in one call; an `AttributeError` where one is not there.
_methods_of = operator.attrgetter(*_CLIENT_METHODS, *_REDIRECT_METHODS)
_redirect_methods_of = operator.attrgetter(*_REDIRECT_METHODS)
_auth_methods_of = operator.attrgetter(*_AUTH_METHODS)


class Conditions:
    """
    Says whether requests of one client may take the direct lane.

    Args:
        client: The client.
        own_client: The class of the clients that we make.
        transport: The transport that we gave it.
    """

    __slots__ = ("_client", "_own_client", "_transport", "_untouched")

    def __init__(self, client: Any, own_client: type, transport: HTTPTransport | None) -> None:
        self._client = client
        self._own_client = own_client
        self._transport: Any = transport
        # The methods on the way of a request, as they were when nobody had replaced one. While they
        # are the same, none of them has to be looked at again.
        self._untouched: tuple[Any, ...] = ()

    def reason_against(self) -> str | None:
        """Return why requests may not take the direct lane, or `None` if they may."""
        try:
            return self._first_reason()
        except AttributeError as error:
            return f"not laid out as expected: {error}"

    def _first_reason(self) -> str | None:
        client, transport = self._client, self._transport
        is_own: bool = type(client) is self._own_client
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
        if not client.__dict__.keys().isdisjoint((*_CLIENT_METHODS, *_REDIRECT_METHODS)):
            return "a method of the client has been replaced"
        ours: list[Any] = [transport, *client.proxied_transports]
        for each in ours:
            if _HANDLE in each.__dict__ or _HANDLE in each._pool.__dict__:
                return "a method of the transport has been replaced"
        core = pool.core
        methods = (
            *_methods_of(self._own_client),
            *_redirect_methods_of(httpx.AsyncClient),
            *_auth_methods_of(httpx.BasicAuth),
            HTTPTransport.handle_async_request,
            httpx.AsyncHTTPTransport.handle_async_request,
            core.AsyncConnectionPool.handle_async_request,
            core.AsyncHTTPConnection.handle_async_request,
        )
        # By identity: what wraps a method may say that it equals it.
        if not (self._untouched and all(map(operator.is_, methods, self._untouched))):
            reason = self._touched(core)
            if reason is not None:
                return reason
            self._untouched = methods
        return standing_reason_against(client)

    def _touched(self, core: Any) -> str | None:
        """Say which library has had a method replaced, if one has."""
        steps = (
            *((self._own_client, name) for name in _CLIENT_METHODS),
            *((httpx.AsyncClient, name) for name in _REDIRECT_METHODS),
            *((httpx.BasicAuth, name) for name in _AUTH_METHODS),
        )
        if not all(_is_httpx(cls, name) for cls, name in steps):
            return "a method of httpx has been replaced"
        if not _is_our_handle_untouched():
            return "a method of the transport has been replaced"
        return None if is_pristine(core) else "a method of httpcore has been replaced"


def standing_reason_against(client: Any) -> str | None:
    """Return the first of those conditions that a client's user may change at any time."""
    if client._auth is not None and not is_basic(client._auth):
        return "requests are to be authenticated"
    return None


def has_hooks(client: Any) -> bool:
    """Whether code of the caller's is to see each request, or each response."""
    hooks = client._event_hooks
    return bool(hooks["request"] or hooks["response"])


def is_all_httpx(client: Any, transports: Iterable[Any]) -> bool:
    """
    Say whether only httpx's own code is between sending a request and these transports' pools.

    Event hooks apart, which come and go. Whoever derives from a class of httpx's without replacing
    one of the methods that lead there changes nothing.
    """
    if not client.__dict__.keys().isdisjoint(_CLIENT_METHODS):
        return False
    if not all(_is_httpx(type(client), name) for name in _CLIENT_METHODS):
        return False
    return all(
        _hands_on(type(transport))
        and _HANDLE not in transport.__dict__
        and _HANDLE not in transport._pool.__dict__
        for transport in transports
    )


def _hands_on(cls: type) -> bool:
    """Say whether a transport class hands requests to its pool as httpx's own or as ours does."""
    if _is_httpx(cls, _HANDLE):
        return True
    handle = HTTPTransport.handle_async_request
    is_ours = issubclass(cls, HTTPTransport) and cls.handle_async_request is handle
    return is_ours and _is_our_handle_untouched()


def _is_our_handle_untouched() -> bool:
    """Say whether our transport passes requests on to httpx's, and nobody has patched either."""
    return is_untouched(HTTPTransport.handle_async_request, "asyncbatch") and _is_httpx(
        httpx.AsyncHTTPTransport, _HANDLE
    )


def _is_httpx(cls: type, name: str) -> bool:
    """Say whether a method is httpx's own, and nobody has put another one in its place."""
    return is_untouched(getattr(cls, name, None), httpx.__name__)
