"""
The short way: a request of httpx straight to the engine, and its response straight back.

httpx makes a request of httpcore of each of its own, and wraps httpcore's response in one of its
own. The short way leaves both out, if the methods between are httpx's and httpcore's own. For the
caller it is the same as the long way, `EnginePoolMixin.handle_async_request`.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from asyncbatch._engine._body_stream import BodyStream
from asyncbatch._engine._exchange import Exchange
from asyncbatch._engine.bridge._pool_bridge import (
    DEFAULT_RAW_PORTS,
    REPLAY_EXTENSION,
    EnginePoolMixin,
    error_of,
    extensions_of,
    watcher_in,
)
from asyncbatch._engine.bridge._pristine import is_pristine, is_untouched
from asyncbatch._engine.http11 import ExchangeError, encode_fields

_HANDLE = "handle_async_request"
_POOLS_OWN = EnginePoolMixin.handle_async_request


def is_short(pool: Any, request: Any, long_way: Any) -> bool:
    """
    Whether `send_shortly` can send a request, with no difference for the caller.

    Args:
        pool: The transport's pool.
        request: The request, of the pool's library.
        long_way: The method that would send it otherwise.
    """
    if not isinstance(pool, EnginePoolMixin) or _HANDLE in pool.__dict__:
        return False
    library = pool.library
    method = getattr(long_way, "__func__", None)
    return (
        type(pool).handle_async_request is _POOLS_OWN
        and method is library.AsyncHTTPTransport.handle_async_request
        and is_untouched(method, library.__name__)
        and is_pristine(pool.core)
        and _is_plain(request, library)
    )


def _is_plain(request: Any, library: Any) -> bool:
    """Whether httpcore would not change it, and nothing is told of the steps of its exchange."""
    extensions, method = request.extensions, request.method
    trace = extensions.get("trace")
    return (
        (trace is None or watcher_in(trace) is not None)
        and "target" not in extensions
        and request.url.raw_scheme in DEFAULT_RAW_PORTS
        and method != "CONNECT"
        and method.isascii()
        and isinstance(request.stream, library.AsyncByteStream)
    )


async def send_shortly(
    pool: EnginePoolMixin, request: Any, long_way: Callable[[Any], Awaitable[Any]]
) -> Any:
    """Send a request, and return the response when its head has arrived."""
    # Removed, because a redirected request inherits the extensions.
    exchange: Exchange | None = request.extensions.pop(REPLAY_EXTENSION, None)
    if exchange is None:
        try:
            fields = encode_fields(request.headers.raw)
            if fields.upgrades:
                return await long_way(request)
            url = request.url
            exchange = pool.begin(
                request.method.encode(),
                (url.raw_scheme, url.raw_host, url.port, url.raw_path),
                fields,
                pool.body_of(request.stream, fields),
                request.extensions,
            )
            try:
                pool.engine.in_clients.add(exchange)
                await exchange.future
            except BaseException:
                pool.engine.abandon(exchange)
                raise
            finally:
                pool.engine.in_clients.discard(exchange)
            if exchange.head is None:
                raise error_of(exchange)
        except ExchangeError as exc:
            core_error = pool.as_core_error(exc)
            core_error.__cause__ = exc
            raise as_library_error(core_error, pool.library) from core_error
    head = exchange.head
    assert head is not None
    return pool.library.Response(
        head.status,
        headers=head.fields,
        stream=stream_class(pool.library)(pool, exchange),
        extensions=extensions_of(exchange, head),
    )


def as_library_error(error: Exception, library: Any) -> Exception:
    """Return the error of httpx for one of httpcore: the names are the same."""
    library_error: Exception = getattr(library, type(error).__name__)(str(error))
    return library_error


@functools.cache
def stream_class(library: Any) -> Any:
    """Return the class of the bodies of responses of a library."""

    class ResponseStream(BodyStream, library.AsyncByteStream):  # type: ignore[misc]  # at run time
        """A response body that raises httpx's errors."""

        def __init__(self, pool: EnginePoolMixin, exchange: Exchange) -> None:
            super().__init__(pool.engine, exchange)
            self._pool = pool

        async def __anext__(self) -> bytes:
            exchange = self._exchange
            if exchange.ended_at and exchange.error is None:
                content = exchange.content
                if not content:
                    raise StopAsyncIteration
                exchange.content = b""
                return bytes(content)
            try:
                return await super().__anext__()
            except ExchangeError as exc:
                core_error = self._pool.as_core_error(exc)
                core_error.__cause__ = exc
                raise as_library_error(core_error, library) from core_error

    return ResponseStream
