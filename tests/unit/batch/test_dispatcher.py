"""The dispatcher of a batch: how many workers it starts, and for what it waits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asyncbatch import Fetcher
from asyncbatch._batch import _workers
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import HeldTransport, settle, urls
from tests.unit.batch.one_batch import OneBatch, run_workers, sharing


@pytest.mark.parametrize(("requests", "concurrency"), [(1, 5), (5, 1), (20, 4), (0, 4)])
async def test_there_are_no_more_workers_than_slots_or_requests(
    monkeypatch: pytest.MonkeyPatch, requests: int, concurrency: int
) -> None:
    """Each takes one request after the other, and gives its permit back."""
    # On a busy machine, a worker ends with its slice of time, and another is started for it.
    monkeypatch.setattr(_workers, "SLICE", math.inf)
    async with sharing(concurrency=concurrency) as shared:
        one, spawned = OneBatch(shared, urls(requests)), []
        await run_workers(one, spawned)

        assert len(one.results) == requests
        assert len(spawned) <= min(requests, concurrency) + 1
        assert shared.slots.taken == 0


async def test_workers_share_the_slots_of_the_fetcher() -> None:
    """What another batch has taken is waited for."""
    held = HeldTransport()
    async with sharing(held.handle_async_request, concurrency=2) as shared:
        first, second = OneBatch(shared, urls(2)), OneBatch(shared, urls(2))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_workers, first, [])
            await held.wait_started(2)
            tasks.start_soon(run_workers, second, [])
            await settle()
            assert len(held.started) == 2
            held.let_go(4)

        assert held.peak == 2
        assert len(first.results) == len(second.results) == 2


async def test_one_request_is_worked_at_by_the_task_at_hand() -> None:
    """It gives its permit back too."""
    async with sharing() as shared:
        one = OneBatch(shared, ())
        one.ledger.enter("http://a.test/x", 0, one.clock())
        await one.dispatcher.work_alone()

        assert one.results[0].text == "/x"
        assert shared.slots.taken == 0


async def test_batches_that_wait_for_slots_start_the_tasks_that_they_need(
    server: LoopbackServer,
) -> None:
    """A dispatcher that waits for a slot of another batch starts a task for its own worker."""
    for status in (200, 404, 500, 503):
        server.on(f"/{status}", Reply(status))
    targets = [server.url(f"/{status}") for status in (200, 404, 500, 503)] * 10
    async with Fetcher(concurrency=2, retry=None) as fetcher:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                found: list[list[int | None]] = []

                async def run() -> None:
                    results = await fetcher.fetch_many(targets)
                    found.append([result.status_code for result in results])

                for _ in range(4):
                    tasks.start_soon(run)

    assert found == [[200, 404, 500, 503] * 10] * 4


@pytest.mark.parametrize("is_answered", [False, True])
async def test_64_workers_are_started_in_each_turn_of_the_event_loop(
    is_answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether requests are answered meanwhile or not."""
    turns = [0]
    async with sharing() as shared:
        dispatcher = OneBatch(shared, ()).dispatcher
        workers: Any = dispatcher._workers

        def start() -> Any:
            if sum(turns) == 200:
                return None
            turns[-1] += 1
            workers.members.add(object())
            return SimpleNamespace(has_task=False)

        async def let_others_run() -> None:
            turns.append(0)
            if is_answered:
                workers.last_at_work = object()

        with monkeypatch.context() as patches:
            patches.setattr(dispatcher, "_start_worker", start)
            patches.setattr(anyio.lowlevel, "checkpoint", let_others_run)
            await dispatcher._start_workers()

    assert turns == [64, 64, 64, 8]


async def test_a_task_that_is_needed_while_the_input_is_read_is_started() -> None:
    """As where the input runs the event loop, which then calls what has ended."""
    held, begun = HeldTransport(), anyio.Event()

    class Left:
        has_task = False

        async def work(self) -> None:
            begun.set()

    def requests() -> Iterator[str]:
        yield from urls(1)
        workers.need_task(Left())

    async with sharing(held.handle_async_request) as shared:
        one = OneBatch(shared, requests())
        workers: Any = one.batch._workers
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_workers, one, [])
            with anyio.fail_after(20):
                await begun.wait()
            assert one.results == []
            held.let_go(1)

        assert [result.ok for result in one.results] == [True]
