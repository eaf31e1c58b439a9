"""Cancellation wherever a batch may be waiting: nothing is lost, held or left behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import anyio
import httpx
import pytest
import trio.testing

from asyncbatch import Fetcher, Rate, Request, Retry
from asyncbatch.testing import FakeClock, Fault, FaultTransport, LoopbackServer
from tests.transports import echo_path, urls

# More than any of the batches below takes.
STEPS = 400


class Counted:
    """A coroutine that says after which of its suspensions it is."""

    def __init__(self, coroutine: Any, on_step: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._on_step = on_step

    def __await__(self) -> Generator[Any, Any, Any]:
        iterator = self._coroutine.__await__()
        value: Any = None
        try:
            awaited = iterator.send(None)
            while True:
                self._on_step()
                try:
                    value = yield awaited
                except BaseException as error:
                    awaited = iterator.throw(error)
                else:
                    awaited = iterator.send(value)
        except StopIteration as stop:
            return stop.value


async def slowly(items: list[str]) -> AsyncIterator[str]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


async def fetch_many(fetcher: Fetcher) -> None:
    await fetcher.fetch_many(urls(6) + urls(2, host="other.test"))


async def fetch_async_input(fetcher: Fetcher) -> None:
    await fetcher.fetch_many(slowly(urls(6)), batch_timeout=5)


async def fetch(fetcher: Fetcher) -> None:
    await fetcher.fetch("http://host.test/1")


async def stream(fetcher: Fetcher) -> None:
    async with fetcher.stream(urls(6), backlog=2) as results:
        async for _ in results:
            await anyio.lowlevel.checkpoint()


async def stream_ordered(fetcher: Fetcher) -> None:
    async with fetcher.stream(slowly(urls(6)), ordered=True, backlog=3) as results:
        async for _ in results:
            await anyio.lowlevel.checkpoint()


WAYS = [fetch_many, fetch_async_input, fetch, stream, stream_ordered]


def make_fetcher() -> tuple[Fetcher, FaultTransport]:
    async def answer(request: httpx.Request) -> httpx.Response:
        await anyio.lowlevel.checkpoint()
        return echo_path(request)

    faults = [
        Fault.status(503).on("http://host.test/1").first(1),
        Fault.connect().on("http://host.test/2").first(1),
        Fault.latency(0.1).on("http://host.test/3"),
    ]
    transport = FaultTransport(answer, faults)
    return Fetcher(
        transport=transport,
        concurrency=2,
        per_host=1,
        rate=Rate(100),
        total_rate=Rate(200),
        retry=Retry(backoff=0.1),
    ), transport


async def cancel_at_each_step(way: Callable[[Fetcher], Any]) -> int:
    """Cancel a batch after its caller's first, second, third … suspension, each on one fetcher."""
    fetcher, _ = make_fetcher()
    async with fetcher:
        for step in range(1, STEPS):
            with anyio.CancelScope() as scope:
                left = step

                def count(scope: anyio.CancelScope = scope) -> None:
                    nonlocal left
                    left -= 1
                    if left == 0:
                        scope.cancel()

                await Counted(way(fetcher), count)
            seen = fetcher.statistics()
            assert (seen.in_flight, seen.batches, seen.waiting) == (0, 0, 0), f"after step {step}"
            if left > 0:
                return step
            # The fetcher goes on working, on the same host with its one slot.
            assert (await fetcher.fetch("http://host.test/0")).ok
    raise AssertionError("the batch never ended by itself")


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_can_be_cancelled_at_every_await_on_asyncio(way):
    """After each suspension of its caller: no slot is kept, and the fetcher goes on working."""

    async def main() -> int:
        with FakeClock():
            return await cancel_at_each_step(way)

    assert anyio.run(main) > 1


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_can_be_cancelled_at_every_await_on_trio(way):
    """The same on trio."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    steps = trio.run(cancel_at_each_step, way, clock=clock)

    assert steps > 1


@pytest.mark.parametrize("way", WAYS)
def test_a_task_can_be_cancelled_after_every_turn_of_the_loop(way):
    """The task of a batch is cancelled after every third turn, from a first one that is drawn."""

    async def main() -> None:
        with FakeClock():
            fetcher, _ = make_fetcher()
            async with fetcher:
                for turns in range(random.randrange(3), STEPS, 3):
                    task = asyncio.create_task(way(fetcher))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    if task.done():
                        return
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    seen = fetcher.statistics()
                    assert (seen.in_flight, seen.batches, seen.waiting) == (0, 0, 0)
                    assert asyncio.all_tasks() == {asyncio.current_task()}
                    # Time goes on, so that what waits for it is reached too.
                    if turns % 10 == 9:
                        await fetcher.fetch("http://host.test/0")

    anyio.run(main)


@pytest.mark.parametrize("way", WAYS)
def test_the_loop_may_end_while_a_batch_runs(way):
    """`asyncio.run` that ends before the batch cancels it: no hang, and no warning."""

    async def main() -> None:
        fetcher, _ = make_fetcher()

        async def run() -> None:
            async with fetcher:
                await way(fetcher)

        with FakeClock():  # or a back-off may be over by then
            task = asyncio.create_task(run())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not task.done()

    asyncio.run(main())


async def test_a_cancelled_batch_leaves_a_busy_host_to_the_others():
    """With `per_host=1`, another batch gets the slot of the one that was cancelled."""
    entered = anyio.Event()
    results = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/hang":
            entered.set()
            await anyio.sleep_forever()
        return echo_path(request)

    async def other() -> None:
        results.extend(await fetcher.fetch_many(urls(5)))

    fetcher = Fetcher(transport=httpx.MockTransport(answer), per_host=1)
    async with fetcher, anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as inner:
                inner.start_soon(fetcher.fetch_many, ["http://host.test/hang"] * 3)
                await entered.wait()
                tasks.start_soon(other)
                await anyio.lowlevel.checkpoint()
                scope.cancel()

    assert [result.text for result in results] == [f"/{number}" for number in range(5)]


async def test_a_request_that_is_cancelled_inside_its_own_scope_is_no_batch_cancelled():
    """A time limit inside a transport of the caller's ends that request alone."""

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/1":
            with anyio.move_on_after(0):
                await anyio.sleep_forever()
            return httpx.Response(504)
        return echo_path(request)

    async with Fetcher(transport=httpx.MockTransport(answer), retry=None) as fetcher:
        results = await fetcher.fetch_many([Request(url) for url in urls(3)])

    assert [result.status_code for result in results] == [200, 504, 200]


@pytest.mark.parametrize("wraps", [False, True], ids=["bare", "wrapped"])
async def test_a_batch_timeout_ends_connections_that_are_being_made(
    server: LoopbackServer, wraps: bool, monkeypatch: pytest.MonkeyPatch
):
    """Also where trio tries several addresses, and wraps the cancellation in a group."""
    silent = server.silent_url()

    async def open_tcp_stream(*_: Any, **__: Any) -> Any:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()

    if wraps:
        monkeypatch.setattr("trio.open_tcp_stream", open_tcp_stream)
    async with Fetcher(retry=None, concurrency=3) as fetcher:
        results = await fetcher.fetch_many([silent] * 5, batch_timeout=1.0)

    assert [result.kind for result in results] == ["timeout"] * 3 + ["not_started"] * 2
