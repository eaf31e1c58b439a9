"""
The conditions of the direct lane, in one place.

The direct lane skips httpx's own code for each request. It may be taken only if that code has no
visible effect: on our own client and transport, with none of their methods replaced. In any doubt,
a missing attribute included, the client lane sends the request.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import httpx

from asyncbatch._engine import HTTPTransport, is_pristine, is_untouched
from asyncbatch._lanes.request._basic_auth import is_basic

# Every step of a request through the client. A replaced one must be called: instruments patch
# `send` (Sentry, Datadog) or what it calls (New Relic), mocks patch the last of them (respx).
_CLIENT_METHODS = (
    "build_request",
    "request",
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_transport_for_url",
)
# The methods that follow a redirect; the direct lane does this by itself.
_REDIRECT_METHODS = (
    "_build_redirect_request",
    "_redirect_method",
    "_redirect_url",
    "_redirect_headers",
    "_redirect_stream",
)
_AUTH_METHODS = ("auth_flow", "async_auth_flow")
_HANDLE = "handle_async_request"


_ALL_METHODS = frozenset((*_CLIENT_METHODS, *_REDIRECT_METHODS))

# These get all the methods in one call, or raise an `AttributeError` if one is missing.
_methods_of = operator.attrgetter(*_CLIENT_METHODS, *_REDIRECT_METHODS)
_redirect_methods_of = operator.attrgetter(*_REDIRECT_METHODS)
_auth_methods_of = operator.attrgetter(*_AUTH_METHODS)


class Conditions:
    """
    Decides whether requests of one client may take the direct lane.

    Args:
        client: The client.
        own_client: The class of our own clients.
        transport: The transport that we gave the client.
    """

    __slots__ = ("_client", "_own_client", "_transport", "_untouched")

    def __init__(self, client: Any, own_client: type, transport: HTTPTransport | None) -> None:
        self._client = client
        self._own_client = own_client
        self._transport: Any = transport
        # The methods that a request passes, as they were when none was replaced. While they are the
        # same, they are not examined again.
        self._untouched: tuple[Any, ...] = ()

    def reason_against(self) -> str | None:
        """Return why requests may not take the direct lane, or `None` if they may."""
        try:
            return self._first_reason()
        except AttributeError as error:
            return f"not laid out as expected: {error}"

    def _first_reason(self) -> str | None:
        client, transport = self._client, self._transport
        if transport is None or client._transport is not transport:
            return "the transport is not ours"
        if client.is_closed:
            return "the client is closed"
        if not client.__dict__.keys().isdisjoint(_ALL_METHODS):
            return "a method of the client has been replaced"
        ours: list[Any] = [transport, *client.proxied_transports]
        for each in ours:
            if _HANDLE in each.__dict__ or _HANDLE in each._pool.__dict__:
                return "a method of the transport has been replaced"
        core = transport._pool.core  # a pool of another kind has none
        methods = (
            *_methods_of(self._own_client),
            *_redirect_methods_of(httpx.AsyncClient),
            *_auth_methods_of(httpx.BasicAuth),
            HTTPTransport.handle_async_request,
            httpx.AsyncHTTPTransport.handle_async_request,
            core.AsyncConnectionPool.handle_async_request,
            core.AsyncHTTPConnection.handle_async_request,
        )
        # By identity: a wrapper of a method may compare equal to it.
        if not (self._untouched and all(map(operator.is_, methods, self._untouched))):
            reason = self._touched(core)
            if reason is not None:
                return reason
            self._untouched = methods
        return standing_reason_against(client)

    def _touched(self, core: Any) -> str | None:
        """Return which library has had a method replaced; `None` if none has."""
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
    """Return the reason against the direct lane that a client's user may cause at any time."""
    if client._auth is not None and not is_basic(client._auth):
        return "requests are to be authenticated"
    return None


def has_hooks(client: Any) -> bool:
    """Whether a client has event hooks for requests or responses."""
    hooks = client._event_hooks
    return bool(hooks["request"] or hooks["response"])


def is_all_httpx(client: Any, transports: Iterable[Any]) -> bool:
    """
    Whether a request passes only httpx's own code on its way to the pools of these transports.

    Event hooks, which come and go, are not considered. A subclass of a class of httpx is accepted
    if it replaces none of the methods on the way.
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
    """Whether a transport class passes requests to its pool as httpx's class or ours does."""
    if _is_httpx(cls, _HANDLE):
        return True
    handle = HTTPTransport.handle_async_request
    is_ours = issubclass(cls, HTTPTransport) and cls.handle_async_request is handle
    return is_ours and _is_our_handle_untouched()


def _is_our_handle_untouched() -> bool:
    """Whether our transport passes requests on to httpx's, and neither has been patched."""
    return is_untouched(HTTPTransport.handle_async_request, "asyncbatch") and _is_httpx(
        httpx.AsyncHTTPTransport, _HANDLE
    )


def _is_httpx(cls: type, name: str) -> bool:
    """Whether a method is httpx's own, and has not been replaced."""
    return is_untouched(getattr(cls, name, None), httpx.__name__)
