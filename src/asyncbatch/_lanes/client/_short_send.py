"""
The short send: a request passed to its transport as `client.send` does, without the steps between.

For a request without authentication, hooks and redirects to follow, httpx's `send` goes through two
generators, a context manager and four coroutines, and makes the objects of `urllib` and `email` to
look for cookies in a response that sets none: a fifth of the CPU time of a request. The short send
leaves them out, if the methods between are httpx's own. For the caller it is the same.
"""

from __future__ import annotations

import inspect
import logging
import operator
from collections.abc import Callable
from http.cookiejar import CookieJar
from time import perf_counter
from typing import Any

from asyncbatch._engine import is_untouched
from asyncbatch._lanes.client._hooks import add_next_request

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
_steps_of = operator.attrgetter(*_STEPS)
_of_jar = operator.attrgetter("extract_cookies", "make_cookies")
_USUAL_JAR = _of_jar(CookieJar)
_SET_COOKIE = b"set-cookie"


class ShortSend:
    """
    Sends requests of one client without httpx's steps between `send` and the transport.

    Args:
        client: The client, of `library`.
        library: `httpx` or `httpx2`.
    """

    __slots__ = ("_bind", "_client", "_is_lenient", "_library", "_logger", "_opened", "_untouched")

    def __init__(self, client: Any, library: Any) -> None:
        self._client = client
        self._library = library
        self._bind = _binder(library)
        self._logger = logging.getLogger(library.__name__)
        # httpx2 ignores a `Location` that is not a URL, unless it is to be followed.
        self._is_lenient = library.__name__ == "httpx2"
        state = getattr(library._client, "ClientState", None)
        self._opened: Any = getattr(state, "OPENED", None)
        # The methods, as they were when none was replaced: not examined again while the same.
        self._untouched: tuple[Any, ...] = ()

    def takes(self, native: Any) -> bool:
        """
        Whether `send` may send a request, with no difference for the caller.

        The client's event hooks are not looked at: there must be none.
        """
        client = self._client
        return (
            self._bind is not None
            and self._opened is not None
            and getattr(client, "_state", None) is self._opened
            and self._are_untouched()
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
        if not response.has_redirect_location:
            response.history = []
            return response
        try:
            add_next_request(client, native, response)
        except BaseException as error:
            if self._is_lenient and isinstance(error, library.RemoteProtocolError):
                return response
            await response.aclose()
            raise
        return response


def _may_set_cookies(response: Any, cookies: Any, library: Any) -> bool:
    """Whether `extract_cookies` may do anything with a response."""
    jar = cookies.jar
    if not is_untouched(type(cookies).extract_cookies, library.__name__):
        return True
    if _of_jar(type(jar)) != _USUAL_JAR or "extract_cookies" in jar.__dict__:
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
