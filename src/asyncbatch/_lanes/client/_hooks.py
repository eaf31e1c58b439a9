"""
Event hooks of the caller's, called as httpx calls them, around an exchange on the engine.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Any

from asyncbatch._engine import Exchange


async def call_hooks(hooks: Iterable[Callable[[Any], Awaitable[Any]]], argument: Any) -> None:
    """
    Call event hooks, one after the other, as httpx does.

    `failures/_callers.py` knows the errors of hooks by this function's name.
    """
    for hook in hooks:
        await hook(argument)


async def send_with_hooks(client: Any, native: Any) -> Any:
    """
    Send a request whose hooks have been called, and return its response when those have been.

    What httpx's `_send_handling_redirects` does behind them, for a redirect that is not followed.
    """
    response = await client._send_single_request(native)
    try:
        await call_hooks(client.event_hooks["response"], response)
        add_next_request(client, native, response)
    except BaseException:
        await response.aclose()
        raise
    return response


def add_next_request(client: Any, native: Any, response: Any) -> None:
    """Tell a response where it leads, if it is a redirect."""
    response.history = []
    if response.has_redirect_location:
        response.next_request = client._build_redirect_request(native, response)


def seen_by_hooks(native: Any) -> tuple[Any, ...]:
    """Return what of a request its hooks may change."""
    return (
        native.method,
        native.url,
        native.headers.raw,
        native.headers.encoding,
        native.stream,
        dict(native.extensions),
    )


@functools.cache
def hooked_stream(library: Any) -> Any:
    """Return the class of the streams of responses that hooks are given."""
    # Private, but httpx's and httpx2's alike; it gives errors of httpcore's the library's types.
    wrapped = library._transports.default.AsyncResponseStream

    class HookedStream(library.AsyncByteStream):  # type: ignore[misc]  # chosen at run time
        """
        The body of a response, for a hook that reads it before anybody else.

        Args:
            pool: Of the transport.
            exchange: The exchange whose body it is.

        Attributes:
            response: Is told how long it took, when it is closed.
        """

        def __init__(self, pool: Any, exchange: Exchange) -> None:
            self._pool = pool
            self._exchange = exchange
            self.response: Any = None

        async def __aiter__(self) -> Any:
            async for piece in wrapped(self._pool.body_stream(self._exchange)):
                yield piece

        async def aclose(self) -> None:
            seconds = monotonic() - self._exchange.begun_at
            self.response.elapsed = datetime.timedelta(seconds=seconds)
            await self._pool.body_stream(self._exchange).aclose()

    return HookedStream
