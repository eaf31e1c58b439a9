"""One batch: how it runs, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import FailureKind, FetcherClosed
from asyncbatch._batch._output import Delivered
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


async def test_a_batch_that_is_abandoned_ends_and_says_so() -> None:
    """Whoever waits for its end learns of it when nothing is taken any more."""
    held = HeldTransport()
    async with sharing(held.handle_async_request, concurrency=2) as shared:
        one = OneBatch(shared, urls(4))
        ended = anyio.Event()

        async def run() -> None:
            with pytest.raises(FetcherClosed):
                await one.batch.run()
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await held.wait_started(2)
            one.batch.end_at_once()
            await one.batch.wait_ended()
            assert shared.slots.taken == 0
            await ended.wait()


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
