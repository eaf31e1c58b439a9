"""
One hop: pass a request to the client, and return its response after the head.

Private request extensions are added here, and removed before the caller can see them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from asyncbatch._engine import (
    EXCHANGE_EXTENSION,
    MINIMUM_RATE_EXTENSION,
    PROXY_EXTENSION,
    REPLAY_EXTENSION,
    Exchange,
)
from asyncbatch._lanes.client._binding import Binding, readable
from asyncbatch._lanes.client._cookies import drop_unsendable
from asyncbatch._lanes.client._hooks import add_next_request, send_with_hooks
from asyncbatch._lanes.client._httpcore_pool import (
    Admission,
    Admitted,
    Entering,
    take_assigned,
)
from asyncbatch._lanes.client._next_request import keep_bytes_of_location, keep_userinfo
from asyncbatch._lanes.client._routes import (
    forwarded_by,
    is_instrumented,
    refuse_elsewhere,
    takes_routes,
)
from asyncbatch._lanes.client._short_send import ShortSend
from asyncbatch._lanes.failures._attempt_state import AttemptState
from asyncbatch._lanes.request._sendable import check_url, check_whole_head
from asyncbatch._lanes.request._upload_stream import check_whole
from asyncbatch._lanes.response._phases import PhaseTrace
from asyncbatch._values._proxy import Proxy
from asyncbatch._values._request import UNSET, Unset
from asyncbatch._values._telemetry import AttemptWatch

# httpx's extension for the name in SNI and in the certificate.
_SERVER_NAME = "sni_hostname"


class Hops:
    """
    The hops of one attempt, one after the other.

    Args:
        client: The client that sends them.
        binding: That of the client's library.
        trace: Records their phases.
        admission: Admits them to the pool one at a time; `None` if they need no admission.
        minimum_rate: Bytes per second below which a transport of ours gives up a body.
        stepped: Wraps calls of the caller's code, to subtract the time for which it blocks the
            event loop from all measurements.
        proxy: The proxy of all hops instead of the client's; `None` for a direct connection.
        names_proxy: Whether the request itself names the proxy, so that another way is refused.
        short: The short send of the client, for requests that it may take.
        first: The exchange that answers the first hop, if it took place before.
        watch: Is told of each request that is sent.
    """

    def __init__(
        self,
        client: Any,
        binding: Binding,
        trace: PhaseTrace,
        *,
        admission: Admission | None,
        minimum_rate: float | None,
        stepped: Callable[[Awaitable[Any]], Awaitable[Any]],
        first: Any = None,
        watch: AttemptWatch | None = None,
        proxy: Proxy | Unset | None = UNSET,
        names_proxy: bool = False,
        short: ShortSend | None = None,
    ) -> None:
        self._client = client
        self._binding = binding
        self._trace = trace
        self._admission = admission
        self._minimum_rate = minimum_rate
        self.stepped = stepped
        # None after its use.
        self._first = first
        self._watch = watch
        self._proxy = proxy
        self._names_proxy = names_proxy
        self._short = short
        self.are_hooks_called = False
        """Whether the hooks of the next request have been called already."""
        self.checked: Any = None
        """The URL that `check_url` has accepted last."""
        self.exchange: Exchange | None = None
        """The engine's exchange of the last hop, if it was sent by the engine."""
        self.state = AttemptState(trace)
        """The state of the attempt; the client lane updates it too."""

    async def send(self, native: Any) -> Any:
        """
        Send `native` and return its response, with its body unread.

        Raises:
            UnreadableBody: If its body cannot be sent again.
            Exception: If it cannot be sent, or what the client raises.
        """
        state = self.state
        state.note_request(native)
        url = native.url
        if url is not self.checked:
            url = native.url = readable(url, self._binding.library)
        if not self.are_hooks_called:  # hooks may change the request as they like
            if url is not self.checked:
                check_url(url, self._binding, native)
            check_whole_head(native, self._binding)
        if self._names_proxy:
            refuse_elsewhere(self._client, native, self._binding)
        check_whole(native)
        state.sent = True
        hooks = self._client.event_hooks
        state.hooked = bool(hooks["request"] or hooks["response"])
        chained = self._trace.attach(native)
        shown = url
        if url.userinfo:
            # httpx logs the URL. The userinfo has become an `Authorization` already.
            shown = native.url = url.copy_with(userinfo=b"")
        # A replay has no events, and a wait of a hook is not one for a connection.
        if self._first is None and not hooks["request"]:
            self._trace.begin_wait()
        if self._watch is not None:
            self._announce(self._watch, native, shown)
        self._add_extensions(native)
        is_named = _name_server(native)
        try:
            response = await self._send_in_turn(native)
            self._trace.forget_wait()
        except BaseException:
            head = self._trace.head
            if self._watch is not None and head is not None:
                self._watch.head_received(head.status, head.version, None)
            raise
        finally:
            if native.url is shown:  # unless a hook has replaced it
                native.url = url
            # Before the extensions are copied.
            native.extensions.pop(MINIMUM_RATE_EXTENSION, None)
            native.extensions.pop(PROXY_EXTENSION, None)
            if is_named:
                native.extensions.pop(_SERVER_NAME, None)
            self._trace.detach(native, chained)
        if self._watch is not None:
            _tell(self._watch, response)
        self.exchange = exchange = response.extensions.pop(EXCHANGE_EXTENSION, None)
        self._trace.tell_dns(None if exchange is None else exchange.dns)
        state.forwarded_by = forwarded_by(exchange)
        if response.next_request is not None:  # it has copied the extensions
            response.next_request.extensions.pop(MINIMUM_RATE_EXTENSION, None)
            if is_named:
                response.next_request.extensions.pop(_SERVER_NAME, None)
            self._trace.detach(response.next_request, chained)
            keep_bytes_of_location(self._client, native, response, self._binding.library)
            if url.userinfo:
                keep_userinfo(response, url, self._binding.library)
        state.in_body = True
        state.hops += 1
        return response

    async def take_first_response(self, native: Any, response: Any) -> Any:
        """
        Return the response to `native` as `send` does, if the exchange `first` has received it.

        Raises:
            Exception: If it is a redirect that leads nowhere.
        """
        state = self.state
        state.note_request(native)
        state.sent = True
        if self._watch is not None:
            _tell(self._watch, response)
        self.are_hooks_called = False
        hooks = self._client.event_hooks
        state.hooked = bool(hooks["request"] or hooks["response"])
        try:
            add_next_request(self._client, native, response)
        except BaseException:
            await response.aclose()
            raise
        exchange, self._first = self._first, None
        self.exchange = exchange
        state.forwarded_by = forwarded_by(exchange)
        state.in_body = True
        state.hops += 1
        return response

    def _announce(self, watch: AttemptWatch, native: Any, url: Any) -> None:
        """Tell of a request that is sent next, and add the fields that it is to carry."""
        headers = native.headers
        if self._first is not None:  # it was sent before, with these
            for name, value in watch.carried:
                headers.setdefault(name, value)
            return
        # They may have come along from the request before.
        for name, value in watch.carried:
            if headers.get(name) == value:
                del headers[name]
        watch.sent(native.method, str(url))
        if watch.carries:
            headers.update(watch.fields(headers))

    def _add_extensions(self, native: Any) -> None:
        if self._minimum_rate is not None:
            native.extensions[MINIMUM_RATE_EXTENSION] = self._minimum_rate
        if not isinstance(self._proxy, Unset) and takes_routes(self._client, native):
            native.extensions[PROXY_EXTENSION] = self._proxy
        if self._first is not None:
            native.extensions[REPLAY_EXTENSION] = self._first
            self._first = None

    async def _send_in_turn(self, native: Any) -> Any:
        # Other requests must not wait until the request hooks of this one have finished.
        if self._admission is None or self._client.event_hooks["request"]:
            return await self._send(native)
        admitted = self._admission.admit_nowait()
        if admitted is None:
            self.state.queued = True
            admitted = await self._admission.admit()
            self.state.queued = False
            if admitted is None:
                return await self._send(native)
        # httpcore's first event comes after the request has got a connection.
        self._trace.on_connection = admitted.admit_next
        try:
            # The next request need not wait for that if this one has been assigned its connection
            # at once: two turns of the event loop are saved, one with each lock of httpcore's.
            return await Entering(
                self._send(native), functools.partial(self._admit_next, native, admitted)
            )
        finally:
            admitted.admit_next()

    def _admit_next(self, native: Any, admitted: Admitted) -> None:
        """Admit the next request if this one, which waits for the first time, has a connection."""
        transport = self._client._transport_for_url(native.url)
        if take_assigned(getattr(transport, "_pool", None), self._trace):
            admitted.admit_next()

    async def _send(self, native: Any) -> Any:
        hooks = self._client.event_hooks
        is_hooked = bool(hooks["request"] or hooks["response"])
        if hasattr(native.stream, "stepped") and not is_hooked:
            native.stream.stepped = self.stepped
        try:
            if self.are_hooks_called:
                self.are_hooks_called = False
                sending: Awaitable[Any] = send_with_hooks(self._client, native)
            elif self._short is not None and not is_hooked and self._short.takes(native):
                sending = self._short.send(native)
            else:
                sending = self._client.send(
                    native, stream=True, auth=self._binding.no_auth, follow_redirects=False
                )
            if is_hooked:
                sending = self.stepped(sending)
            if self._watch is not None and is_instrumented(self._client, native.url):
                with self._watch.silencing():
                    response = await sending
            else:
                response = await sending
        except UnicodeEncodeError:
            # A redirect has set a cookie with which the next request cannot be built.
            drop_unsendable(self._client.cookies.jar)
            raise
        head = self._trace.head
        # The whole head in one call, where it is known.
        if (head is None or not head.block.isascii()) and _sets_strange_cookie(response):
            drop_unsendable(self._client.cookies.jar)
        return response


def _tell(watch: AttemptWatch, response: Any) -> None:
    """Tell of a head that has come, over the connection that its transport names."""
    stream, peer = response.extensions.get("network_stream"), None
    if stream is not None:
        with contextlib.suppress(Exception):  # of a connection that has been cut, or the caller's
            peer = stream.get_extra_info("server_addr")
    watch.head_received(response.status_code, response.http_version, peer)


def _sets_strange_cookie(response: Any) -> bool:
    """Whether a response sets a cookie that is not ASCII."""
    return any(
        name.lower() == b"set-cookie" for name, value in response.headers.raw if not value.isascii()
    )


def _name_server(native: Any) -> bool:
    """
    Set the TLS server name without the dot if the host ends in one, for any transport.

    The dot is only for the resolver; httpcore would ask for a certificate with it.
    """
    host: bytes = native.url.raw_host
    if not host.endswith(b".") or native.url.scheme != "https" or _SERVER_NAME in native.extensions:
        return False
    native.extensions[_SERVER_NAME] = host.decode("ascii").removesuffix(".")
    return True
