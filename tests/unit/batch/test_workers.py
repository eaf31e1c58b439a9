"""Workers and their dispatcher: what they take, what they give back, and what needs a task."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher
from asyncbatch._batch._workers import Worker
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import HeldTransport, settle, urls
from tests.unit.batch.one_batch import OneBatch, sharing


@pytest.fixture
async def mixed() -> AsyncIterator[LoopbackServer]:
    """Answer three of four paths with a status that a relay leaves to a task."""
    async with LoopbackServer() as server:
        for status in (200, 404, 500, 503):
            server.on(f"/{status}", Reply(status))
        yield server


async def test_requests_that_go_by_relay_take_no_tasks(
    mixed: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker gets a task for what its relay leaves, and for nothing else."""
    started: list[Worker] = []
    work = Worker.work

    async def noted(worker: Worker) -> None:
        started.append(worker)
        await work(worker)

    monkeypatch.setattr(Worker, "work", noted)
    async with Fetcher(concurrency=50, retry=None) as fetcher:
        assert len((await fetcher.fetch_many([mixed.url("/200")] * 200)).successes) == 200
        assert started == []
        await fetcher.fetch_many([mixed.url("/404")] + [mixed.url("/200")] * 200)

    assert len(started) == 1


async def test_batches_that_wait_for_slots_start_the_tasks_that_they_need(
    mixed: LoopbackServer,
) -> None:
    """A dispatcher that waits for a slot of another batch starts a task for its own worker."""
    targets = [mixed.url(f"/{status}") for status in (200, 404, 500, 503)] * 10
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


async def test_a_batch_that_is_cancelled_leaves_no_request_under_way(
    mixed: LoopbackServer,
) -> None:
    """Requests without a task are given up too, and their slots come back."""
    async with Fetcher(concurrency=3, retry=None) as fetcher:
        seen = 0

        def urls() -> Iterator[str]:
            nonlocal seen
            while True:
                seen += 1
                if seen == 50:
                    scope.cancel()
                yield mixed.url("/200")

        with anyio.CancelScope() as scope:
            await fetcher.fetch_many(urls())

        assert all(host.in_flight == 0 for host in fetcher.statistics().by_host.values())
        assert len((await fetcher.fetch_many([mixed.url("/200")] * 10)).successes) == 10


async def run_workers(one: OneBatch, spawned: list[Any]) -> None:
    """Dispatch until all have their results; note each worker that is started."""
    async with anyio.create_task_group() as tasks:

        def spawn(work: Any) -> None:
            spawned.append(work)
            tasks.start_soon(work)

        await one.workers.dispatch(spawn)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("requests", "concurrency"), [(1, 5), (5, 1), (20, 4), (0, 4)])
async def test_there_are_no_more_workers_than_slots_or_requests(
    requests: int, concurrency: int
) -> None:
    """Each takes one request after the other, and gives its permit back."""
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
        await one.workers.work_alone()

        assert one.results[0].text == "/x"
        assert shared.slots.taken == 0


async def test_a_worker_that_is_cancelled_gives_all_back() -> None:
    """Its request is withdrawn, not lost."""
    held = HeldTransport()
    async with sharing(held.handle_async_request, concurrency=2) as shared:
        one = OneBatch(shared, urls(3))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_workers, one, [])
            await held.wait_started(2)
            tasks.cancel_scope.cancel()

        assert shared.slots.taken == 0
        assert held.active == 0
        jobs = one.ledger.withdraw(one.clock())
        assert [job.index for job in jobs][:2] == [0, 1]


async def test_an_error_that_is_no_failure_ends_the_work() -> None:
    """A worker raises it, and has given its permit back."""

    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    async with sharing(interrupt) as shared:
        one = OneBatch(shared, ())
        one.ledger.enter("http://a.test/x", 0, one.clock())
        with pytest.raises(KeyboardInterrupt):
            await one.workers.work_alone()

        assert shared.slots.taken == 0
