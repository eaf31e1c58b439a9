"""What tests of a batch need besides `asyncbatch.testing`: a transport to hold, virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx
import trio.testing

from asyncbatch import Result
from asyncbatch.testing import FakeClock


class HeldTransport(httpx.AsyncBaseTransport):
    """Holds every request until it is told to let some go; answers with the path."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.active = 0
        self.peak = 0
        """The most that there were at one time."""
        self._answered = 0
        self._allowed = 0
        self._changed = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.started.append(request.url.path)
        self.active += 1
        self.peak = max(self.peak, self.active)
        self._notify()
        try:
            await anyio.lowlevel.checkpoint()
            while self._answered >= self._allowed:
                await self._changed.wait()
            self._answered += 1
        finally:
            self.active -= 1
        return httpx.Response(200, text=request.url.path)

    def let_go(self, count: int) -> None:
        """Answer so many requests, now or when they come."""
        self._allowed += count
        self._notify()

    async def wait_started(self, count: int) -> None:
        """Wait until so many requests have come in all."""
        while len(self.started) < count:
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def echo_path(request: httpx.Request) -> httpx.Response:
    """Answer with the path."""
    return httpx.Response(200, text=request.url.path)


def mock() -> httpx.MockTransport:
    """Return a transport that answers with the path, and never waits for anything."""
    return httpx.MockTransport(echo_path)


def urls(count: int, *, host: str = "host.test") -> list[str]:
    """Return so many URLs of one host."""
    return [f"http://{host}/{number}" for number in range(count)]


async def texts(results: AsyncIterator[Result]) -> list[str]:
    """Consume a stream and return its bodies."""
    return [result.text async for result in results]


async def settle(rounds: int = 20) -> None:
    """Let everything run that can run."""
    for _ in range(rounds):
        await anyio.lowlevel.checkpoint()


SLACK = 0.4
"""
Seconds that a virtual time may differ by if there are sockets.

The engine reads the real clock, which goes on while the machine does something else.
"""


def run_virtually(backend: str, function: Callable[[], Awaitable[Any]]) -> Any:
    """Run `function` under a clock that jumps over every wait."""
    if backend == "trio":
        clock = trio.testing.MockClock(autojump_threshold=0)
        # Not by anyio, whose older versions keep the clock from trio.
        return trio.run(function, clock=clock)

    async def under_fake_clock() -> Any:
        with FakeClock():
            return await function()

    return anyio.run(under_fake_clock)
