"""A stream as a context manager: entered once, left by the task that entered it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, Progress
from asyncbatch._api._stream import Streaming
from tests.transports import HeldTransport, mock, settle, urls

pytestmark = pytest.mark.any_loop


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with httpx.AsyncClient(transport=mock()) as client, Fetcher(client) as fetcher:
        yield fetcher


async def test_results_are_inside_and_not_outside(fetcher: Fetcher) -> None:
    """A stream that is not entered has none."""
    stream = fetcher.stream(urls(3))
    assert isinstance(stream, Streaming)
    with pytest.raises(TypeError, match="entered first"):
        aiter(stream)  # type: ignore[call-overload]
    async with stream as results:
        assert sorted([result.text async for result in results]) == ["/0", "/1", "/2"]


async def test_a_stream_is_entered_once(fetcher: Fetcher) -> None:
    """Its batch runs once."""
    stream = fetcher.stream(urls(1))
    async with stream:
        pass
    with pytest.raises(RuntimeError, match="entered before"):
        await stream.__aenter__()


async def test_the_batch_ends_with_the_block() -> None:
    """What is in flight is cancelled, and the fetcher forgets it."""
    held = HeldTransport()
    async with httpx.AsyncClient(transport=held) as client, Fetcher(client) as fetcher:
        async with fetcher.stream(urls(3)):
            await held.wait_started(3)
            assert fetcher.statistics().in_flight == 3
        assert held.active == 0
        assert fetcher.statistics().in_flight == 0


async def test_an_error_in_the_block_comes_out_as_it_was_raised(fetcher: Fetcher) -> None:
    """Not in a group."""
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with fetcher.stream(urls(3)):
            raise error

    assert caught.value is error


async def test_a_cancellation_from_outside_goes_on(fetcher: Fetcher) -> None:
    """The scope around it sees that it has ended."""
    with anyio.CancelScope() as scope:
        async with fetcher.stream(urls(3)) as results:
            scope.cancel()
            await anext(results)

    assert scope.cancelled_caught


async def test_a_stream_that_another_task_leaves_ends_with_a_warning(fetcher: Fetcher) -> None:
    """As where an async generator is dropped; nothing of the batch goes on."""
    stream = fetcher.stream(urls(3))
    entered, left = anyio.Event(), anyio.Event()

    async def enter() -> None:
        await stream.__aenter__()
        entered.set()
        await left.wait()
        tasks: Any = stream._tasks  # type: ignore[attr-defined]
        tasks.cancel_scope.cancel()
        await tasks.__aexit__(None, None, None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await entered.wait()
        with pytest.warns(ResourceWarning, match="another task"):
            await stream.__aexit__(None, None, None)
        left.set()


async def test_a_stream_that_is_not_left_is_ended_when_it_is_garbage(fetcher: Fetcher) -> None:
    """With a warning where it was dropped."""
    stream: Any = fetcher.stream(urls(3))
    await stream.__aenter__()
    group = stream._tasks
    streams = [stream]
    del stream
    with pytest.warns(ResourceWarning, match="not left"):
        streams.clear()
    await settle()
    group.cancel_scope.cancel()
    await group.__aexit__(None, None, None)

    assert fetcher.statistics().waiting == 0


async def test_a_stream_that_was_never_entered_is_dropped_without_a_word(
    fetcher: Fetcher,
) -> None:
    """Nothing has begun."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fetcher.stream(urls(1))

    assert not caught


async def test_what_ends_after_a_stream_was_left_is_not_done_in_its_progress() -> None:
    """It is dropped: bar and summary have the same figures, whatever comes in that turn."""
    transport = HeldTransport()
    seen: list[Progress] = []
    async with Fetcher(transport=transport, progress=seen.append) as fetcher:
        async with fetcher.stream(urls(5)) as results:
            transport.let_go(1)
            await anext(results)
            transport.let_go(4)
        summary = results.summary()

    assert seen[-1].done == summary.total == 1
