"""Fetchers and streams that are dropped, left behind, or used where they must not be."""

from __future__ import annotations

import contextlib
import gc
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from asyncbatch import Fetcher, FetcherClosed, Result
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import HeldTransport, mock, settle, urls


async def open_fetcher(server: LoopbackServer, count: int = 3) -> Fetcher:
    """Return a fetcher with idle connections that nobody is going to close."""
    fetcher = await Fetcher(trust_env=False).__aenter__()
    server.on("/slow", Reply(body=b"ok").delayed(0.02))
    await fetcher.fetch_many([server.url("/slow")] * count)
    # A task holds its last exception, and so what it went through, until its next step.
    await anyio.lowlevel.checkpoint()
    return fetcher


def collect(fetchers: list[Fetcher]) -> None:
    """Drop them, and whatever keeps itself alive with them."""
    fetchers.clear()
    gc.collect()


# Dropped


async def test_the_sockets_of_a_dropped_fetcher_are_closed(server: LoopbackServer):
    """Soon, by its event loop; the warning names the cure."""
    fetchers = [await open_fetcher(server)]
    assert server.statistics().open_connections == 3

    with pytest.warns(ResourceWarning, match="use it in an async with"):
        fetchers.clear()
    await server.wait_until(lambda seen: seen.open_connections == 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_fetcher_may_be_dropped_after_its_loop(backend: str):
    """No hang and no error; the sockets go with their objects, which say so as well."""
    with LoopbackServer().in_thread() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fetchers = [anyio.run(open_fetcher, server, backend=backend)]
        with pytest.warns(ResourceWarning, match="unclosed <Fetcher: open"):
            collect(fetchers)
        gc.collect()


def test_a_fetcher_may_be_collected_in_another_thread():
    """As the garbage collector likes to."""

    async def main(server: LoopbackServer) -> None:
        fetchers = [await open_fetcher(server)]
        with pytest.warns(ResourceWarning, match="unclosed <Fetcher"):
            await anyio.to_thread.run_sync(fetchers.clear)
        with anyio.fail_after(100):
            while server.statistics().open_connections:  # noqa: ASYNC110  # in another thread
                await anyio.sleep(0.005)

    with LoopbackServer().in_thread() as server:
        anyio.run(main, server)


async def test_a_stream_that_is_entered_by_hand_and_dropped_ends_its_batch():
    """With a warning."""
    transport = HeldTransport()
    async with Fetcher(transport=transport) as fetcher:
        streams = [fetcher.stream(urls(3))]
        with pytest.warns(ResourceWarning, match="a stream was not left"):
            await drop_entered(streams, transport)
        with anyio.fail_after(100):
            while fetcher.statistics().batches:  # tells nobody
                await anyio.lowlevel.checkpoint()
        assert transport.active == 0


async def drop_entered(streams: list[Any], transport: HeldTransport) -> None:
    await streams[0].__aenter__()
    await transport.wait_started(3)
    streams.clear()
    gc.collect()


async def results_of(fetcher: Fetcher, count: int) -> AsyncIterator[Result]:
    async with fetcher.stream(urls(count)) as results:
        async for result in results:
            yield result


# trio has a warning of its own for each generator that is dropped.
@pytest.mark.filterwarnings("ignore:Async generator 'tests[.]:ResourceWarning")
async def test_a_generator_over_a_stream_may_be_dropped():
    """Its batch ends with a warning, and the task that looped over it is not harmed."""
    transport = HeldTransport()
    async with Fetcher(transport=transport) as fetcher:
        transport.let_go(1)
        async for result in results_of(fetcher, 5):
            assert result.ok
            break
        with pytest.warns(ResourceWarning, match=r"close the generator with contextlib\.aclosing"):
            await settle()
        transport.let_go(10)

        assert transport.active == 0
        assert (await fetcher.fetch("http://host.test/more")).ok


async def test_a_generator_over_a_stream_can_be_closed():
    """By `contextlib.aclosing`, at once and in silence."""
    transport = HeldTransport()
    async with Fetcher(transport=transport) as fetcher:
        transport.let_go(1)
        async with contextlib.aclosing(results_of(fetcher, 5)) as results:
            async for result in results:
                assert result.ok
                break

        assert transport.active == 0
        assert fetcher.statistics().batches == 0


# In the wrong way


async def test_a_stream_wants_to_be_entered():
    """`async for` over the stream itself says how it is done."""
    async with Fetcher(transport=mock()) as fetcher:
        stream: Any = fetcher.stream(urls(1))
        with pytest.raises(TypeError, match=r"async with fetcher\.stream"):
            async for _ in stream:
                pass


async def test_a_stream_is_entered_once():
    """The second time says what to call."""
    async with Fetcher(transport=mock()) as fetcher:
        stream = fetcher.stream(urls(1))
        async with stream as results:
            assert [result.ok async for result in results] == [True]
        with pytest.raises(RuntimeError, match=r"call stream\(\) again"):
            await stream.__aenter__()


async def test_closing_twice_is_no_error():
    """The second time does nothing."""
    async with Fetcher(transport=mock()) as fetcher:
        await fetcher.fetch("http://host.test/")
    await fetcher.__aexit__(None, None, None)

    with pytest.raises(FetcherClosed, match="make a new one"):
        await fetcher.fetch_many(urls(1))
    with pytest.raises(FetcherClosed, match="make a new one"):
        async with fetcher.stream(urls(1)):
            pass


# In the wrong place


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def elsewhere(request: pytest.FixtureRequest) -> Any:
    """Return what calls an async function in another thread with a loop of its own."""
    backend = "trio" if request.param == "trio" else "asyncio"
    options = {} if backend == "trio" else {"use_uvloop": request.param == "uvloop"}

    def call(function: Any, *args: Any) -> Any:
        async def main() -> Any:
            return await function(*args)

        return anyio.run(main, backend=backend, backend_options=options)

    return call


async def enter_stream(fetcher: Fetcher) -> None:
    async with fetcher.stream(urls(1)):
        pass


async def test_a_fetcher_is_not_used_from_the_loop_of_another_thread(elsewhere: Any):
    """An error that names the cure, no hang; the fetcher goes on in its own."""
    async with Fetcher(transport=mock()) as fetcher:
        ways = [(fetcher.fetch, "http://host.test/"), (fetcher.fetch_many, urls(3))]
        for way in (*ways, (enter_stream, fetcher)):
            with pytest.raises(FetcherClosed, match=r"another event loop.* use a SyncFetcher"):
                await anyio.to_thread.run_sync(elsewhere, *way)

        assert (await fetcher.fetch("http://host.test/")).ok


async def test_a_fetcher_is_not_closed_from_the_loop_of_another_thread(elsewhere: Any):
    """While its own runs; it stays open there."""
    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(FetcherClosed, match="close it there"):
            await anyio.to_thread.run_sync(elsewhere, fetcher.__aexit__, None, None, None)

        assert (await fetcher.fetch("http://host.test/")).ok


async def test_two_batches_at_once_share_the_limits_and_mix_no_results(server: LoopbackServer):
    """On one fetcher, over real connections, each in the order of its own input."""
    server.on("/*", lambda request: Reply(body=request.target).delayed(0.001))
    found: dict[str, list[bytes]] = {}
    async with Fetcher(concurrency=4, per_host=3) as fetcher:

        async def run(name: str) -> None:
            batch = [server.url(f"/{name}/{number}") for number in range(40)]
            found[name] = [result.content for result in await fetcher.fetch_many(batch)]

        async with anyio.create_task_group() as tasks:
            for name in ("one", "other"):
                tasks.start_soon(run, name)

    assert found == {
        name: [f"/{name}/{number}".encode() for number in range(40)] for name in ("one", "other")
    }
    assert server.statistics().peak_active <= 3


def test_threads_with_loops_of_their_own_take_a_fetcher_each():
    """What the error tells them to do works."""
    found = []

    async def main() -> None:
        async with Fetcher(transport=mock()) as fetcher:
            found.append(len((await fetcher.fetch_many(urls(5))).successes))

    threads = [threading.Thread(target=anyio.run, args=(main,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [5, 5, 5]
