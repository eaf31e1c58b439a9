"""One batch: how it runs, and how it ends."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import attrs
import httpx
import pytest

from asyncbatch import FailureKind, FetcherClosed
from asyncbatch._batch import _batch
from asyncbatch._batch._input import Settled
from asyncbatch._batch._output import Delivered
from tests.samples import success
from tests.transports import HeldTransport, urls
from tests.unit.batch.one_batch import OneBatch, sharing

pytestmark = pytest.mark.any_loop


async def hang(_: httpx.Request) -> httpx.Response:
    await anyio.sleep_forever()
    raise AssertionError


async def test_a_batch_gives_each_request_its_result() -> None:
    """And leaves nothing taken."""
    async with sharing() as shared:
        one = OneBatch(shared, urls(5))
        await one.batch.run()

        assert [result.text for result in one.results] == [f"/{n}" for n in range(5)]
        assert shared.slots.taken == 0
        assert one.batch.waiting == 0
        await one.batch.wait_ended()


async def test_a_batch_of_one_can_be_run_again() -> None:
    """Unless something of it is left."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        assert await one.batch.run_one("http://a.test/1")
        assert await one.batch.run_one("http://a.test/2")
        assert await one.batch.run_one("no url")

        kinds = [result.kind for result in one.results]
        assert kinds == [None, None, FailureKind.invalid_request]


@pytest.mark.parametrize("run_one", [False, True])
async def test_at_the_time_limit_each_request_gets_its_result(run_one: bool) -> None:
    """Those in flight have been cancelled, the others were not started."""
    async with sharing(hang, concurrency=2) as shared:
        one = OneBatch(shared, () if run_one else urls(4), batch_timeout=0.5)
        if run_one:
            assert not await one.batch.run_one("http://a.test/")
        else:
            await one.batch.run()

        timeout, not_started = FailureKind.timeout, FailureKind.not_started
        kinds = [result.kind for result in one.results]
        assert kinds == ([timeout] if run_one else [timeout] * 2 + [not_started] * 2)
        assert shared.slots.taken == 0


async def test_at_the_time_limit_results_that_came_with_their_requests_are_passed_on() -> None:
    """Also those behind requests that were not started."""
    kept = success(4, body=b"kept")
    async with sharing(hang, concurrency=2) as shared:
        narrow = attrs.evolve(shared, window=2)
        one = OneBatch(narrow, [*urls(4), Settled(kept), *urls(1)], batch_timeout=0.05)
        await one.batch.run()

        assert one.results[4] is kept
        assert [result.kind for result in one.results[3:]] == [
            FailureKind.not_started,
            None,
            FailureKind.not_started,
        ]


async def test_a_batch_that_is_abandoned_ends_and_says_so() -> None:
    """All who wait for its end learn of it when nothing is taken any more."""
    held = HeldTransport()
    async with sharing(held.handle_async_request, concurrency=2) as shared:
        one = OneBatch(shared, urls(4))
        taken: list[int] = []

        async def run() -> None:
            with pytest.raises(FetcherClosed):
                await one.batch.run()

        async def wait() -> None:
            with anyio.fail_after(5):
                await one.batch.wait_ended()
            taken.append(shared.slots.taken)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await held.wait_started(2)
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            one.batch.end_at_once()

    assert taken == [0, 0]


async def test_a_batch_of_one_that_was_abandoned_sends_nothing() -> None:
    """Its fetcher was closed before it had work for its task."""
    held = HeldTransport()
    held.let_go(1)
    async with sharing(held.handle_async_request) as shared:
        one = OneBatch(shared, ())
        one.batch.end_at_once()
        with pytest.raises(FetcherClosed):
            await one.batch.run_one("http://a.test/")

    assert held.started == []


async def test_the_input_of_a_batch_that_never_ran_is_closed_once() -> None:
    """As of a stream whose task is cancelled before its first step."""
    closed: list[int] = []

    async def requests() -> AsyncIterator[str]:
        try:
            yield "http://a.test/1"
            yield "http://a.test/2"
        finally:
            closed.append(1)

    source = requests()
    await anext(source)
    async with sharing() as shared:
        one = OneBatch(shared, source)
        await one.batch.close_input()
        await one.batch.close_input()
        with anyio.fail_after(5):
            await one.batch.wait_ended()

    assert closed == [1]


@pytest.mark.asyncio_only  # trio takes the first step of each task
async def test_a_part_that_is_cancelled_before_its_first_step_leaves_nothing_behind() -> None:
    """`asyncio.run` cancels all tasks at its end."""

    async def requests() -> AsyncIterator[str]:
        yield "http://a.test/"

    async with sharing() as shared:
        one = OneBatch(shared, requests())
        before = asyncio.all_tasks()
        running = asyncio.create_task(one.batch.run())
        await asyncio.sleep(0)
        [unstarted] = one.batch._unstarted.values()
        for task in asyncio.all_tasks() - before:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert inspect.getcoroutinestate(unstarted) == inspect.CORO_CLOSED


async def test_what_an_input_raises_with_its_cancellation_ends_the_batch() -> None:
    """As it was raised, in no group but its own."""
    begun = anyio.Event()
    raised: list[BaseException] = []

    async def requests() -> AsyncIterator[str]:
        try:
            begun.set()
            await anyio.sleep_forever()
        except BaseException as error:
            raised.append(BaseExceptionGroup("both", [error, KeyboardInterrupt()]))
            raise raised[0] from None
        yield ""

    async with sharing() as shared:
        one = OneBatch(shared, requests())

        async def run() -> None:
            with pytest.raises(BaseExceptionGroup) as caught:
                await one.batch.run()
            assert caught.value is raised[0]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await begun.wait()
            one.batch.end_at_once()


async def test_an_error_of_the_input_ends_the_reading_and_not_the_batch() -> None:
    """What was read gets its results."""

    def requests() -> Iterator[str]:
        yield "http://a.test/1"
        raise ValueError("no more")

    async with sharing() as shared:
        one = OneBatch(shared, requests())
        await one.batch.run()

        assert [result.ok for result in one.results] == [True]
        assert isinstance(one.batch.input_error, ValueError)


async def test_what_ends_a_program_ends_the_batch() -> None:
    """As it was raised, in no group."""

    def requests() -> Iterator[str]:
        yield "http://a.test/1"
        raise KeyboardInterrupt

    async with sharing() as shared:
        one = OneBatch(shared, requests())
        with pytest.raises(KeyboardInterrupt):
            await one.batch.run()

        assert shared.slots.taken == 0


@pytest.mark.parametrize("name", ["open_reporter", "leave"])
async def test_a_batch_that_cannot_begin_or_end_closes_its_input(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It may have a journal, which would stay locked."""

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    closed: list[str] = []

    async def aclose() -> None:
        closed.append("input")

    async with sharing() as shared:
        batch: Any = OneBatch(shared, ()).batch
        batch._source.aclose = aclose
        monkeypatch.setattr(_batch if name == "open_reporter" else shared.stalls, name, fail)
        with pytest.raises(MemoryError):
            await batch.run()
        with anyio.fail_after(10):
            await batch.wait_ended()

    assert closed == ["input"]


@pytest.mark.parametrize("error", [None, ValueError("no more")])
async def test_a_stream_is_closed_with_the_error_of_its_input(error: Any) -> None:
    """Behind the results that came before."""

    def requests() -> Iterator[str]:
        yield "http://a.test/1"
        if error is not None:
            raise error

    async with sharing() as shared:
        output = Delivered(ordered=True, backlog=5)
        one = OneBatch(shared, requests())
        one.batch._output, one.ledger.publish = output, output.put
        await one.batch.run_and_deliver(output)
        assert (await anext(output)).ok
        with pytest.raises(StopAsyncIteration if error is None else ValueError):
            await anext(output)


async def test_the_hosts_of_a_batch_are_counted() -> None:
    """By what they have left."""
    async with sharing() as shared:
        one = OneBatch(shared, [*urls(2, host="a.test"), *urls(1, host="b.test")])
        while one.reader.read(one.clock()):
            pass

        found = one.batch.unfinished_by_host()
        assert {host.key[1]: count for host, count in found.items()} == {  # type: ignore[index]
            "a.test": 2,
            "b.test": 1,
        }
        await one.batch.run()
