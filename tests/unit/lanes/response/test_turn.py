"""How much is done in one turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher
from asyncbatch._lanes.response._turn import AT_ONCE, EXCHANGE, FIXED, LoopTurn

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


class Loop:
    """An event loop whose turns are made by hand."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def call_soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the next turn."""
        self.calls.append((function, arguments))

    def go_on(self) -> int:
        """Make the next turn; return the number of its calls."""
        calls, self.calls = self.calls, []
        for function, arguments in calls:
            function(*arguments)
        return len(calls)


def test_what_is_put_off_comes_in_order_as_far_as_each_turn_reaches() -> None:
    """One call of the event loop serves all that can be done in its turn."""
    loop, turn, done = Loop(), LoopTurn(), []

    def take(number: int) -> None:
        done.append(number)
        turn.spend(AT_ONCE // 2, loop.call_soon)

    turn.spend(AT_ONCE, loop.call_soon)
    for number in range(5):
        turn.put_off(take, number, loop.call_soon)
    calls, by_turn = [], []
    while loop.calls:
        calls.append(loop.go_on())
        by_turn.append(len(done))

    assert done == [0, 1, 2, 3, 4]
    assert by_turn == [2, 4, 5, 5]
    assert calls == [1, 1, 1, 1]
    assert turn.left == AT_ONCE


def test_what_is_put_off_again_waits_for_another_turn() -> None:
    """Although something of this one is left."""
    loop, turn, done = Loop(), LoopTurn(), []

    def take(number: int) -> None:
        done.append(number)
        if number:
            turn.put_off(take, number - 1, loop.call_soon)

    turn.put_off(take, 2, loop.call_soon)
    by_turn = []
    while loop.calls:
        loop.go_on()
        by_turn.append(list(done))

    assert by_turn == [[2], [2, 1], [2, 1, 0]]


def test_an_error_holds_up_nothing_else_that_was_put_off() -> None:
    """It is the event loop's to report; the others are called in the next turn."""
    loop, turn, done = Loop(), LoopTurn(), []

    def take(number: int) -> None:
        if not number:
            raise RuntimeError("of a callback")
        done.append(number)

    for number in range(3):
        turn.put_off(take, number, loop.call_soon)
    with pytest.raises(RuntimeError):
        loop.go_on()
    loop.go_on()

    assert done == [1, 2]
    assert not loop.calls
