"""What is left behind after trouble on real sockets: no task, socket, thread, slot or memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import mock, urls

# Tasks, sockets and threads are checked after every test, by the fixtures in conftest.


@pytest.mark.parametrize("active", [1, 5, 10])
async def test_a_cancelled_batch_closes_its_connections(server: LoopbackServer, active: int):
    """Cancelled while requests are being answered, a batch lets the server see them go."""
    server.on("/hang", Reply().hang())
    async with Fetcher(concurrency=active, per_host=active) as fetcher:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fetcher.fetch_many, [server.url("/hang")] * 50)
                await server.wait_until(lambda seen: seen.active == active)
                scope.cancel()
        await server.wait_until(lambda seen: seen.active == 0)

        assert fetcher.statistics().in_flight == 0
        healthy = await fetcher.fetch_many([server.url(f"/{number}") for number in range(50)])
        assert not healthy.failures
    await server.wait_until(lambda seen: seen.open_connections == 0)


async def test_a_pool_serves_on_after_many_tight_timeouts(server: LoopbackServer):
    """100 attempts that are cut off, then every healthy request still gets through."""
    server.on("/hang", Reply().hang())
    async with Fetcher(
        concurrency=50, timeout=0.005, retry=None, give_up_host_after=None
    ) as fetcher:
        cut = await fetcher.fetch_many([server.url("/hang")] * 100)
        requests = [asyncbatch.Request(server.url(f"/{n}"), timeout=10) for n in range(100)]
        healthy = await fetcher.fetch_many(requests)

        assert {failure.kind for failure in cut.failures} == {"timeout"}
        assert len(cut.failures) == 100
        assert not healthy.failures
        assert fetcher.statistics().in_flight == 0
    await server.wait_until(lambda seen: seen.open_connections == 0)


async def test_a_pool_serves_on_after_many_tight_timeouts_on_a_client_of_the_callers(
    server: LoopbackServer,
):
    """The same over a stock `httpx.AsyncClient` with a small pool."""
    server.on("/hang", Reply().hang())
    limits = httpx.Limits(max_connections=10)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        async with Fetcher(client, timeout=0.005, retry=None, give_up_host_after=None) as fetcher:
            cut = await fetcher.fetch_many([server.url("/hang")] * 100)
            requests = [asyncbatch.Request(server.url(f"/{n}"), timeout=10) for n in range(50)]
            healthy = await fetcher.fetch_many(requests)

        assert {failure.kind for failure in cut.failures} == {"timeout"}
        assert not healthy.failures
    await server.wait_until(lambda seen: seen.open_connections == 0)


async def test_a_stream_left_early_closes_its_connections(server: LoopbackServer):
    """What is under way when the consumer leaves is closed, and the fetcher serves on."""
    server.on("/slow", Reply().hang())
    items = [server.url("/quick"), *[server.url("/slow")] * 20]
    async with Fetcher(concurrency=5) as fetcher:
        async with fetcher.stream(items) as results:
            assert (await anext(results)).ok
            await server.wait_until(lambda seen: seen.active == 5)
        await server.wait_until(lambda seen: seen.active == 0)

        assert (await fetcher.fetch(server.url("/quick"))).ok


async def consume(fetcher: Fetcher, requests: Iterable[str]) -> None:
    async with fetcher.stream(requests) as results:
        async for _ in results:
            pass


def measure_stream(count: int) -> int:
    """Return the peak of the memory that a stream of so many requests takes, in bytes."""

    async def main() -> int:
        def many():
            for number in range(count):
                yield f"http://host{number % 400}.test/{number}"

        # Without a budget for retries, which takes the more memory the more seconds have passed.
        async with Fetcher(transport=mock(), concurrency=20, retry=None) as fetcher:
            await consume(fetcher, urls(100))
            gc.collect()
            tracemalloc.start()
            try:
                await consume(fetcher, many())
                assert fetcher.statistics().hosts == 0
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    return anyio.run(main)


@pytest.mark.once
def test_a_long_stream_runs_in_flat_memory():
    """Four times the requests, over the same hosts, take hardly more memory."""
    short, long = measure_stream(400), measure_stream(1_600)

    assert long < short + 300_000
