"""How much is done in one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from asyncbatch import Fetcher
from asyncbatch._lanes.response._turn import AT_ONCE, EXCHANGE, FIXED

PER_TURN = AT_ONCE // (EXCHANGE + FIXED)


class Together(httpx.AsyncBaseTransport):
    """Answers all requests in one turn, and notes in which ones they are sent and read."""

    def __init__(self, count: int) -> None:
        self.sent: Counter[int] = Counter()
        self.read: Counter[int] = Counter()
        self._awaited = count
        self._all_there = asyncio.Event()
        self._turn = 0
        self._tick()

    def _tick(self) -> None:
        self._turn += 1
        self._handle = asyncio.get_running_loop().call_soon(self._tick)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent[self._turn] += 1
        self._awaited -= 1
        if not self._awaited:
            self._all_there.set()
        await self._all_there.wait()
        return httpx.Response(200, stream=Noting(self))

    def note_reading(self) -> None:
        """Count a body that is read in this turn."""
        self.read[self._turn] += 1

    async def aclose(self) -> None:
        self._handle.cancel()


class Noting(httpx.AsyncByteStream):
    """A body that tells when it is read."""

    def __init__(self, transport: Together) -> None:
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._transport.note_reading()
        yield b"body"


@pytest.mark.asyncio_only  # counts the turns of asyncio's loop
async def test_a_hundred_requests_through_httpx_share_several_turns() -> None:
    """Each takes a fraction of a millisecond, for the request and for its response again."""
    count = 100
    transport = Together(count)
    async with (
        httpx.AsyncClient(transport=transport) as client,
        Fetcher(client, concurrency=count, retry=None) as fetcher,
    ):
        # A new host is sent ten at a time.
        results = await fetcher.fetch_many(f"http://host{n % 10}.test/{n}" for n in range(count))

    assert [result.text for result in results] == ["body"] * count
    assert sum(transport.sent.values()) == sum(transport.read.values()) == count
    # What the last turn has left over is added.
    assert max(transport.sent.values()) < 2 * PER_TURN
    assert max(transport.read.values()) < 2 * PER_TURN
