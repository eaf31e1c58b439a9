"""`Timing.queued` and `Summary.slots_full`: for how long no slot was free."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, Results
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import run_virtually
from tests.virtual_time import virtual_time


@pytest.fixture(params=["asyncio", "trio"])
def virtual(request: pytest.FixtureRequest):
    """Run a function under virtual time."""
    return lambda function: run_virtually(request.param, function)


async def slow(_: httpx.Request) -> httpx.Response:
    await anyio.sleep(1)
    return httpx.Response(200)


def fetched(
    count: int, concurrency: int, given: Callable[[list[str]], Iterable[str]] = list, **options: Any
) -> Callable[[], Any]:
    async def main() -> Results:
        urls = [f"http://host.test/{n}" for n in range(count)]
        transport = httpx.MockTransport(slow)
        async with Fetcher(transport=transport, concurrency=concurrency, **options) as fetcher:
            return await fetcher.fetch_many(given(urls))

    return main


@pytest.mark.parametrize("given", [list, tuple, deque])
def test_an_input_at_hand_is_queued_while_no_slot_is_free(virtual, given):
    """From the beginning of the batch: the later it comes to its turn, the longer."""
    results = virtual(fetched(9, 3, given))

    expected = [n // 3 for n in range(9)]
    assert [r.timing.queued for r in results] == pytest.approx(expected, abs=0.05)
    assert [r.timing.throttled for r in results] == [0] * 9
    assert [r.elapsed for r in results] == pytest.approx([1] * 9, abs=0.05)


def test_on_a_real_network_what_takes_the_place_of_another_has_been_queued_until_then():
    """Without a task for each, a request is begun where the one before it ends."""

    async def main() -> Results:
        with virtual_time():
            async with LoopbackServer() as server, Fetcher(concurrency=1, retry=None) as fetcher:
                server.on("/", Reply().delayed(1.0))
                return await fetcher.fetch_many([server.url("/")] * 20)

    results = anyio.run(main)

    assert [r.timing.queued for r in results] == pytest.approx(range(20), abs=0.05)
    assert [r.elapsed for r in results] == pytest.approx([1] * 20, abs=0.05)


def test_an_input_that_is_made_while_it_is_read_is_queued_from_then_on(virtual):
    """A generator's items are not there before."""
    results = virtual(fetched(9, 3, iter))

    assert max(r.timing.queued for r in results) < 0.05


def test_nothing_is_queued_while_slots_are_free(virtual):
    """What a host's cap holds up is throttled."""
    results = virtual(fetched(4, 10, per_host=1))

    assert [r.timing.queued for r in results] == pytest.approx([0] * 4, abs=0.01)
    assert [r.timing.throttled for r in results] == pytest.approx(range(4), abs=0.05)
    assert results.summary().slots_full == 0
    assert "slots" not in str(results.summary())


def test_the_summary_says_for_how_long_all_slots_were_taken(virtual):
    """In a field, in its text, and in those of its parts."""
    summary = virtual(fetched(7, 3)).summary()

    # Three, three and one.
    assert summary.slots_full == pytest.approx(2, abs=0.05)
    assert summary.duration == pytest.approx(3, abs=0.05)
    assert "  slots      all taken for 67% of the time" in str(summary).splitlines()
    assert pickle.loads(pickle.dumps(summary)).slots_full == summary.slots_full


def test_parts_of_results_keep_it(virtual):
    """As they keep the duration."""
    results = virtual(fetched(6, 3))
    parts = [results[:2], *results.by_host().values(), pickle.loads(pickle.dumps(results))]

    assert {part.summary().slots_full for part in parts} == {results.summary().slots_full}


def test_the_summary_of_a_stream_says_it_too(virtual):
    """While it runs, and after."""

    async def main() -> list[float]:
        urls = [f"http://host.test/{n}" for n in range(4)]
        fetcher = Fetcher(transport=httpx.MockTransport(slow), concurrency=2)
        async with fetcher, fetcher.stream(urls) as results:
            await anext(results)
            seen = [results.summary().slots_full]
            async for _ in results:
                pass
            seen.append(results.summary().slots_full)
            await anyio.sleep(10)
            return [*seen, results.summary().slots_full]

    assert virtual(main) == pytest.approx([1, 2, 2], abs=0.1)


def test_what_other_batches_take_counts_as_taken(virtual):
    """They share the slots."""

    async def main() -> Any:
        fetcher = Fetcher(transport=httpx.MockTransport(slow), concurrency=1)
        async with fetcher, anyio.create_task_group() as tasks:
            tasks.start_soon(fetcher.fetch, "http://host.test/first")
            await anyio.sleep(0.5)
            return await fetcher.fetch_many(["http://host.test/second"])

    results = virtual(main)

    assert results[0].timing.queued == pytest.approx(0.5, abs=0.05)
    assert results.summary().slots_full == pytest.approx(1.5, abs=0.05)
