"""
Encode a request to the bytes that the engine sends, if possible without building it in httpx.

A plain GET needs its target and a head that is the same for every request to its origin, so the
head is encoded once. `FastEncoder` composes most others. The client builds the rest, and the
encoder encodes what it has built. A request that needs more of httpx goes to the client lane.
"""

from __future__ import annotations

from typing import Any

import attrs

from asyncbatch._engine.http11 import encode_fields, encode_request_line
from asyncbatch._lanes.client._binding import Binding, readable
from asyncbatch._lanes.client._cookies import narrowed
from asyncbatch._lanes.client._own_client import showing_cookies_of
from asyncbatch._lanes.client._routes import route_to
from asyncbatch._lanes.request._basic_auth import authorization_of, is_basic
from asyncbatch._lanes.request._encode_fast import FastEncoder
from asyncbatch._lanes.request._encoded_request import Encoded, PreparedRequest
from asyncbatch._lanes.request._origin_head import OriginHead, OriginHeads, is_special
from asyncbatch._lanes.request._sendable import check_head, check_text, check_url
from asyncbatch._lanes.request._upload import Body, is_produced
from asyncbatch._values._plain_urls import split_plain
from asyncbatch._values._proxy import proxy_of
from asyncbatch._values._request import UNSET, Request, Unset, native_of
from asyncbatch._values._request_parcel import check_present
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._urls import text_of


class RequestEncoder:
    """Encodes the requests of one client for the engine."""

    def __init__(self, client: Any, binding: Binding, transport: Any) -> None:
        self._client = client
        self._binding = binding
        self._transport = transport
        self.origin_heads = OriginHeads(client, binding, transport)
        """The heads of the origins that have been requested."""
        self._fast_encoder = FastEncoder(client, binding, self.origin_heads)

    def encode(self, item: Any, url: str | None, limits: TimeLimits) -> Encoded | None:
        """
        Return `item` as the engine sends it, or `None` if only the client can send it.

        Args:
            item: The request, in any form.
            url: Its URL if it is a plain GET, as `plain_url` returns it.
            limits: The time limits of the attempt.

        Raises:
            Exception: If it cannot be sent at all.
        """
        # A client with parameters changes every URL.
        if url is not None and not self._client.params:
            url = text_of(url)  # strips, for example, the line end of a URL read from a file
            if (parts := split_plain(url)) is not None:
                return self._encode_plain(item, url, *parts, limits)
        request = Request.of(item)
        if _needs_client(request) or not is_basic(self._auth(request)):
            return None
        if self._is_refused(request.proxy):
            return None
        given = native_of(request)
        if given is not None:
            return self._prepare_given(item, request, given, limits)
        composed = self._fast_encoder.compose(item, request, limits)
        return composed or self._prepare_built(item, request, limits)

    def _is_refused(self, proxy: Any) -> bool:
        """Whether a request may not go through its proxy, which the client lane says."""
        if isinstance(proxy, Unset) or proxy is None:
            return False
        refused: bool = self._transport.engine.connector.refuses(proxy_of(proxy))
        return refused

    def _auth(self, request: Request) -> Any:
        """Return the authentication of `request`, its own or the client's."""
        own = request.auth
        return self._client._auth if own is UNSET else self._binding.auth(own)

    def _encode_plain(
        self, item: Any, url: str, origin: str, target: bytes, limits: TimeLimits
    ) -> Encoded | None:
        origin_head = self.origin_heads.of(origin)
        if not origin_head.is_ours:
            return None
        with_cookies = origin_head.for_target(self._client.cookies.jar, target.decode("ascii"))
        if with_cookies is None:
            return self._with_cookies(item, url, target, origin_head, limits)
        return item, url, with_cookies, with_cookies.payload(target)

    def _with_cookies(
        self, item: Any, url: str, target: bytes, origin_head: OriginHead, limits: TimeLimits
    ) -> PreparedRequest:
        native = origin_head.builder.build(url, limits)
        narrowed(self._client.cookies, origin_head.origin.host).set_cookie_header(native)
        origin_head.builder.authorize(native)
        check_head(native, self._binding)
        fields = encode_fields(native.headers.raw)
        payload = b"GET " + target + b" HTTP/1.1\r\n" + fields.block
        route = origin_head.origin.route
        return PreparedRequest.built(item, native, payload, fields, limits, route)

    def _prepare_built(
        self, item: Any, request: Request, limits: TimeLimits
    ) -> PreparedRequest | None:
        check_text(request.url, self._binding)
        return self._prepare_native(item, request, self._build(request, limits), limits)

    def _prepare_given(
        self, item: Any, request: Request, given: Any, limits: TimeLimits
    ) -> PreparedRequest | None:
        """Prepare a request that the caller has built, if it has nothing special."""
        library = self._binding.library
        phases = given.extensions.get("timeout")
        if not isinstance(given, library.Request) or type(given.stream) is not library.ByteStream:
            return None
        if given.extensions.keys() - {"timeout"} or not (phases is None or _are_phases(phases)):
            return None
        check_present(request)
        native = self._binding.prepared(request)
        native.url = readable(native.url, library)
        if phases is None:
            native.extensions["timeout"] = limits.by_phase()
        else:
            limits = attrs.evolve(limits, **phases)
        prepared = self._prepare_native(item, request, native, limits)
        if prepared is not None and phases is not None:
            prepared.may_relay = False
        return prepared

    def _prepare_native(
        self, item: Any, request: Request, native: Any, limits: TimeLimits
    ) -> PreparedRequest | None:
        authorization = authorization_of(self._auth(request))
        if authorization is not None:
            native.headers["Authorization"] = authorization
        check_url(native.url, self._binding)
        check_head(native, self._binding)
        route = route_to(self._transport, self._client, native.url)
        if native.url.userinfo or isinstance(route, Unset):
            return None
        body: bytes = native.content
        method = native.method.encode("ascii")
        line = encode_request_line(method, native.url.raw_path)
        fields = encode_fields(native.headers.raw)
        if is_special(method, fields, body):
            return None
        prepared = PreparedRequest.built(item, native, line + fields.block, fields, limits, route)
        prepared.body = body or None
        prepared.go_through(request.proxy)
        prepared.follow_redirects = request.follow_redirects
        return prepared

    def _build(self, request: Request, limits: TimeLimits) -> Any:
        with showing_cookies_of(self._client, request.url):
            return self._binding.build(self._client, request, Body(request), limits)


_PHASES = {"connect", "read", "write", "pool"}


def _are_phases(timeout: Any) -> bool:
    """Whether these are seconds by phase, as `httpx.Timeout.as_dict` returns them."""
    if type(timeout) is not dict or timeout.keys() != _PHASES:
        return False
    return all(limit is None or type(limit) in (int, float) for limit in timeout.values())


def _needs_client(request: Request) -> bool:
    return bool(request.extensions) or is_produced(request)
