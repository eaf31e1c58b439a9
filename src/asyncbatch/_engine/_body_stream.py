"""
`BodyStream`: a response body that is read while it arrives.
"""

from __future__ import annotations

from asyncbatch._engine._engine import Engine, take_error
from asyncbatch._engine._event_loop import Future
from asyncbatch._engine._exchange import Exchange


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
        """Give up the rest of the body; the connection is closed if the body is not complete."""
        if not self._exchange.is_over:
            self._engine.abandon(self._exchange)
