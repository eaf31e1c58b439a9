"""
`BodyStream`: a response body that is read while it arrives; `LentBodyStream`, without copies.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from asyncbatch._engine._engine import Engine, take_error
from asyncbatch._engine._event_loop import Future
from asyncbatch._engine._exchange import Exchange
from asyncbatch._values._sink import Refill


class BodyStream:
    """
    The body of an exchange begun with `ExchangeLimits.streams`, in pieces as received.

    While it is not read, no more than some hundred kilobytes are received. It must be read to its
    end or closed.
    """

    __slots__ = ("_engine", "_exchange")

    def __init__(self, engine: Engine, exchange: Exchange) -> None:
        self._engine = engine
        self._exchange = exchange

    @property
    def exchange(self) -> Exchange:
        """The exchange whose body it is."""
        return self._exchange

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        """
        Return what has arrived, or wait for more.

        Raises:
            ExchangeError: The body ended too early; it is raised after the last piece was returned.
        """
        return bytes(await _next_piece(self._engine, self._exchange))

    async def aclose(self) -> None:
        """Give up the rest of the body; the connection is closed if the body is not complete."""
        if not self._exchange.is_over:
            self._engine.abandon(self._exchange)


class LentBodyStream:
    """
    The same for a reader that is done with a piece before it asks for the next one.

    A piece is memory that is used again, unless it is `bytes`. It is not written to as long as no
    next one is asked for, also after the body was given up.
    """

    __slots__ = ("_engine", "_exchange")

    def __init__(self, engine: Engine, exchange: Exchange) -> None:
        self._engine = engine
        self._exchange = exchange
        connection = exchange.active_connection
        if connection is not None:
            connection.lend_body()

    def __aiter__(self) -> LentBodyStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, bytes | memoryview]:
        """See `BodyStream`."""
        return _next_piece(self._engine, self._exchange)

    def refill(self) -> Refill | None:
        """
        Return what receives the bytes after the last piece, in any thread, without waiting.

        It is used until the next piece is asked for. `None` if they are received here, as usual.
        """
        connection = self._exchange.active_connection
        return None if connection is None else connection.refill()


async def _next_piece(engine: Engine, exchange: Exchange) -> bytes | memoryview:
    """Return what has arrived of a body, or wait for more."""
    while (connection := exchange.active_connection) is not None:
        piece = connection.take_body()
        if piece:
            return piece
        reader: Future[None] = exchange.future.get_loop().create_future()
        exchange.reader = reader
        connection.limit_wait(exchange, exchange.limits.read_timeout)
        try:
            await reader
        except BaseException:
            engine.abandon(exchange)
            raise
    if exchange.content:
        content, exchange.content = exchange.content, b""
        return bytes(content)
    if exchange.error is not None:
        raise take_error(exchange)
    raise StopAsyncIteration
