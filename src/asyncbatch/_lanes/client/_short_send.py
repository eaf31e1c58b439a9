"""
The short send: a request passed to its transport as `client.send` does, without the steps between.

For a request without authentication, hooks and redirects to follow, httpx's `send` goes through two
generators, a context manager and four coroutines, and makes the objects of `urllib` and `email` to
look for cookies in a response that sets none: a fifth of the CPU time of a request. The short send
leaves them out, if the methods between are httpx's own. For the caller it is the same.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import operator
from collections.abc import Callable
from time import perf_counter
from typing import Any

from asyncbatch._engine import is_untouched
from asyncbatch._lanes.client._hooks import add_next_request, call_hooks

# Every step of `send` for such a request. A replaced one must be called.
_STEPS = (
    "send",
    "_send_handling_auth",
    "_send_handling_redirects",
    "_send_single_request",
    "_set_timeout",
    "_build_auth",
    "_build_request_auth",
)
_NAMES = frozenset(_STEPS)
# What these use, in all releases known: one that uses more may do more.
_USED_BY_SINGLE_REQUEST = frozenset(
    (
        *("AsyncByteStream", "BoundAsyncStream", "RuntimeError", "_default_encoding"),
        *("_transport_for_url", "cookies", "default_encoding", "extract_cookies"),
        *("handle_async_request", "http_version", "info", "isinstance", "logger", "method"),
        *("perf_counter", "reason_phrase", "request", "request_context", "status_code"),
        *("stream", "time", "url"),
    )
)
_USED_BY_REDIRECTS = frozenset(
    (
        *("BaseException", "TooManyRedirects", "_build_redirect_request", "_event_hooks"),
        *("_send_single_request", "aclose", "aread", "has_redirect_location", "history"),
        *("len", "list", "max_redirects", "next_request"),
    )
)
_USED_IF_LENIENT = frozenset(("RemoteProtocolError", "suppress"))
_steps_of = operator.attrgetter(*_STEPS)
_OF_JAR = frozenset(("extract_cookies", "make_cookies"))
_of_jar = operator.attrgetter(*_OF_JAR)
_SET_COOKIE = b"set-cookie"


class ShortSend:
    """
    Sends requests of one client without httpx's steps between `send` and the transport.

    Args:
        client: The client, of `library`.
        library: `httpx` or `httpx2`.
    """

    __slots__ = ("_bind", "_client", "_ignored", "_library", "_logger", "_opened", "_untouched")

    def __init__(self, client: Any, library: Any) -> None:
        self._client = client
        self._library = library
        self._bind = _binder(library)
        self._logger = logging.getLogger(library.__name__)
        # Newer releases of httpx2 ignore a `Location` that is not a URL, unless it is followed.
        is_lenient = _names_used_by(library, "_send_handling_redirects") > _USED_BY_REDIRECTS
        ignored = (library.RemoteProtocolError,) if is_lenient else ()
        self._ignored = contextlib.suppress(*ignored)
        state = getattr(library._client, "ClientState", None)
        self._opened: Any = getattr(state, "OPENED", None)
        # The methods, as they were when none was replaced: not examined again while the same.
        self._untouched: tuple[Any, ...] = ()

    def takes(self, native: Any) -> bool:
        """
        Whether `send` may send a request, with no difference for the caller.

        The public `event_hooks` of the client are not looked at: there must be none.
        """
        client = self._client
        return (
            self._bind is not None
            and self._opened is not None
            and getattr(client, "_state", None) is self._opened
            and self._are_untouched()
            and not client._event_hooks["request"]
            and "timeout" in native.extensions
            and isinstance(native.stream, self._library.AsyncByteStream)
            # Its line is logged by httpx.
            and not self._logger.isEnabledFor(logging.INFO)
        )

    def _are_untouched(self) -> bool:
        client, library = self._client, self._library
        if not client.__dict__.keys().isdisjoint(_NAMES):
            return False
        try:
            methods = (*_steps_of(type(client)), library.Auth.async_auth_flow)
        except AttributeError:
            return False
        # By identity: a wrapper of a method may compare equal to it.
        if self._untouched and all(map(operator.is_, methods, self._untouched)):
            return True
        if not all(is_untouched(method, library.__name__) for method in methods):
            return False
        used = _names_used_by(library, "_send_handling_redirects") - _USED_IF_LENIENT
        if used != _USED_BY_REDIRECTS:
            return False
        if _names_used_by(library, "_send_single_request") != _USED_BY_SINGLE_REQUEST:
            return False
        self._untouched = methods
        return True

    async def send(self, native: Any) -> Any:
        """
        Return the response to a request, with its body unread, and redirects not followed.

        Raises:
            Exception: What `client.send` raises.
        """
        client, library, bind = self._client, self._library, self._bind
        assert bind is not None
        transport = client._transport_for_url(native.url)
        started = perf_counter()
        try:
            response = await transport.handle_async_request(native)
        except library.RequestError as error:
            error.request = native
            raise
        assert isinstance(response.stream, library.AsyncByteStream)
        response.request = native
        response.stream = bind(response.stream, response, started)
        if _may_set_cookies(response, client.cookies, library):
            client.cookies.extract_cookies(response)
        response.default_encoding = client._default_encoding
        # They may have been added while the request was under way.
        hooks = client._event_hooks["response"]
        if not hooks and not response.has_redirect_location:
            response.history = []
            return response
        try:
            await call_hooks(hooks, response)
            with self._ignored:
                add_next_request(client, native, response)
        except BaseException:
            await response.aclose()
            raise
        return response


def _names_used_by(library: Any, step: str) -> frozenset[str]:
    """Return the names that the code of a step of httpx uses."""
    code = getattr(getattr(library.AsyncClient, step, None), "__code__", None)
    return frozenset(() if code is None else code.co_names)


def _may_set_cookies(response: Any, cookies: Any, library: Any) -> bool:
    """Whether `extract_cookies` may do anything with a response."""
    jar = cookies.jar
    if not is_untouched(type(cookies).extract_cookies, library.__name__):
        return True
    if not all(is_untouched(method, "http") for method in _of_jar(type(jar))):
        return True
    if not (_OF_JAR.isdisjoint(jar.__dict__) and _OF_JAR.isdisjoint(vars(cookies))):
        return True
    # `Set-Cookie2` too.
    return any(name[:10].lower() == _SET_COOKIE for name, _ in response.headers.raw)


def _binder(library: Any) -> Callable[[Any, Any, float], Any] | None:
    """Return what binds a stream to its response, or `None` if it is not laid out as expected."""
    bound: Any = getattr(library._client, "BoundAsyncStream", None)
    if bound is None:
        return None
    wanted = [*inspect.signature(bound).parameters]
    if wanted == ["stream", "response", "start"]:
        return lambda stream, response, start: bound(stream, response, start)
    if wanted == ["stream", "start"]:
        return lambda stream, _, start: bound(stream, start)
    return None
