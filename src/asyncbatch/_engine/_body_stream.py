"""
Response bodies that are read while they come.
"""

from __future__ import annotations

from asyncbatch._engine._engine import Engine, take_error
from asyncbatch._engine._event_loop import Future
from asyncbatch._engine._exchange import Exchange


class BodyStream:
    """
    The body of an exchange begun with `ExchangeLimits.streams`, as raw pieces.

    What is not read is not received either, beyond some hundred kilobytes. It must be read to
    its end or closed.
    """

    __slots__ = ("_engine", "_exchange")

    def __init__(self, engine: Engine, exchange: Exchange) -> None:
        self._engine = engine
        self._exchange = exchange

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        """
        Return what has come, or wait for more.

        Raises:
            ExchangeError: the body ended too early; what came before was returned before.
        """
        exchange = self._exchange
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
                self._engine.abandon(exchange)
                raise
        if exchange.content:
            content, exchange.content = exchange.content, b""
            return bytes(content)
        if exchange.error is not None:
            raise take_error(exchange)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give up what has not been read; a connection in the middle of a body is closed."""
        if not self._exchange.is_over:
            self._engine.abandon(self._exchange)
