"""
The `trace` extension of httpx: events with httpcore's names, for requests that ask for them.

The engine reports events by callbacks, and the caller's trace function is a coroutine. So events
are queued, and the task that sent the request awaits the trace function for each, in order.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from asyncbatch._engine._event_loop import Future, cancelled_class
from asyncbatch._engine._exchange import Exchange

_SEND = ("send_request_headers", "send_request_body")


class ExchangeTrace:
    """
    A `trace` extension that reads times from the exchange instead of being called with events.

    An exchange knows its times anyway; ten awaited calls for each request are saved. It is called
    with events, as any other, by httpcore and if `wants_exchange` is false.
    """

    __slots__ = ()

    # No `ABC`, by which `isinstance` makes a call for each request.
    @property
    @abstractmethod
    def wants_exchange(self) -> bool:
        """Whether `watch_exchange` is called instead of it."""
        ...

    @abstractmethod
    def watch_exchange(self, exchange: Exchange) -> None:
        """Receive the exchange of a request, which has just begun."""
        ...


class EventLog:
    """The events of one exchange, until the head of its response."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._events: deque[tuple[str, Mapping[str, Any]]] = deque()
        self._wake: Future[None] | None = None
        # The first part of the names of events: the protocol that the request is sent by.
        self._protocol = "http11"

    def observe(self, name: str, info: Mapping[str, Any]) -> None:
        """Queue an event of the engine."""
        if name == "sent":
            self._protocol = info.get("protocol", "http11")
            for name in _SEND:
                step = f"{self._protocol}.{name}"
                self._events.append((f"{step}.started", {"request": self._request}))
                self._events.append((f"{step}.complete", {"return_value": None}))
            started = {"request": self._request}
            self._events.append((f"{self._protocol}.receive_response_headers.started", started))
        else:
            self._events.append((name, info))
        self._rouse()

    async def report(self, exchange: Exchange, trace: Any) -> None:
        """Call `trace` for each event until the head has arrived, or the exchange has failed."""
        exchange.future.add_done_callback(lambda _: self._rouse())
        try:
            await self._tell_until_done(exchange, trace)
        except cancelled_class():
            # The request may have been sent in this turn. Code that reads the events must not take
            # it for unsent, and send it again.
            await self._tell(trace)
            raise
        step = f"{self._protocol}.receive_response_headers"
        head = exchange.head
        if head is not None:
            returned = (head.version, head.status, head.reason, list(head.fields))
            await trace(f"{step}.complete", {"return_value": returned})
        elif exchange.connection is not None:
            await trace(f"{step}.failed", {"exception": exchange.error})

    async def _tell_until_done(self, exchange: Exchange, trace: Any) -> None:
        while True:
            await self._tell(trace)
            if exchange.future.done():
                return
            wake: Future[None] = exchange.future.get_loop().create_future()
            self._wake = wake
            await wake

    async def _tell(self, trace: Any) -> None:
        while self._events:
            await trace(*self._events.popleft())

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class TracedStream:
    """A response body that reports its beginning, its end and its closing."""

    def __init__(self, stream: Any, trace: Any, protocol: str) -> None:
        self._stream = stream
        self._protocol = protocol
        self._trace = trace
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        step = f"{self._protocol}.receive_response_body"
        await self._trace(f"{step}.started", {})
        try:
            async for piece in self._stream:
                yield piece
        except Exception as exc:
            await self._trace(f"{step}.failed", {"exception": exc})
            await self.aclose()
            raise
        await self._trace(f"{step}.complete", {"return_value": None})

    async def aclose(self) -> None:
        """Close the body; later calls do nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        step = f"{self._protocol}.response_closed"
        await self._trace(f"{step}.started", {})
        await self._stream.aclose()
        await self._trace(f"{step}.complete", {"return_value": None})
