"""A batch on a transport of the test's own, to be driven part by part."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx

from asyncbatch import Fetcher
from asyncbatch._batch import Batch, Shared
from asyncbatch._batch._input import Input
from asyncbatch._batch._output import Collected, Delivered
from tests.transports import echo_path


@contextlib.asynccontextmanager
async def sharing(answer: Any = echo_path, **options: Any) -> AsyncIterator[Shared]:
    """Open a fetcher whose requests are answered so, and yield what its batches share."""
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client,
        Fetcher(client, **options) as fetcher,
    ):
        shared: Any = fetcher._shared
        yield shared


class OneBatch:
    """A batch over some requests, and its parts."""

    def __init__(
        self, shared: Shared, requests: Any, *, bound: int | None = None, **options: Any
    ) -> None:
        self.shared = shared
        self.output: Any = Collected()
        if bound is not None:
            self.output = Delivered(ordered=False, backlog=bound)
        self.batch = Batch(shared, Input(requests), self.output, **options)
        self.ledger, self.reader = self.batch._ledger, self.batch._reader
        self.schedule, self.dispatcher = self.batch._schedule, self.batch._dispatcher
        self.clock = self.batch.clock

    @property
    def results(self) -> list[Any]:
        """Return the results so far, in the order of the input."""
        results = self.output._ready if self.output.is_bounded else self.output._results
        return sorted(results, key=lambda result: result.index)

    def start(self) -> Any:
        """Start the next request, as a worker does."""
        job = self.schedule.next(self.clock())
        assert job is not None
        return job


async def run_workers(one: OneBatch, spawned: list[Any]) -> None:
    """Dispatch until all have their results; note each worker that is started."""
    async with anyio.create_task_group() as tasks:

        def spawn(work: Any) -> None:
            spawned.append(work)
            tasks.start_soon(work)

        await one.dispatcher.dispatch(spawn)
        tasks.cancel_scope.cancel()
