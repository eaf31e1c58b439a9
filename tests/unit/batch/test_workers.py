"""Workers and their dispatcher, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from asyncbatch import Fetcher
from asyncbatch._batch._workers import Worker
from asyncbatch.testing import LoopbackServer, Reply


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
    urls = [mixed.url(f"/{status}") for status in (200, 404, 500, 503)] * 10
    async with Fetcher(concurrency=2, retry=None) as fetcher:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                found: list[list[int | None]] = []

                async def run() -> None:
                    results = await fetcher.fetch_many(urls)
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
