"""An input of a batch that another thread adds to."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Self

import anyio
import anyio.lowlevel
from anyio.lowlevel import EventLoopToken

from asyncbatch import Request
from asyncbatch._runtime._event_loop import call_soon


class Feed(AsyncIterator[Request]):
    """Requests that one thread adds, and the event loop of a batch reads."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._is_closed = False
        # Set when there are more requests, or the end; and the loop that waits for it, if any.
        self._waiting: tuple[EventLoopToken, anyio.Event] | None = None

    def add(self, requests: Iterable[Request]) -> None:
        """Add requests to the end, from any thread."""
        self._requests.extend(requests)
        self._wake()

    def close(self) -> None:
        """Say that no more requests follow, from any thread."""
        self._is_closed = True
        self._wake()

    def _wake(self) -> None:
        if (waiting := self._waiting) is not None:
            call_soon(waiting[0], waiting[1].set)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Request:
        while not self._requests:
            if self._is_closed:
                raise StopAsyncIteration
            event = anyio.Event()
            self._waiting = anyio.lowlevel.current_token(), event
            # Once more: a request that came before there was an event has woken nothing.
            if not self._requests and not self._is_closed:
                await event.wait()
        return self._requests.popleft()
