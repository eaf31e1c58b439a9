"""
The chaos run: every use of a fetcher at once, over hosts that fail in every way at once.

`answers` and `world` have what may happen, and `checker` compares the results with it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import attrs

from asyncbatch import Fetcher, Request, Retry
from tests.behaviour.faults.checker import BatchLimits, ResultChecker, SentRequest
from tests.behaviour.faults.world import World

LIMITS = BatchLimits(
    timeout=0.4,
    connect_timeout=0.3,
    deadline=None,
    batch_timeout=None,
    retry=Retry(attempts=3, backoff=0.01, retry_after_max=1.0, budget=None),
)

STALL = 0.1
"""Seconds of standing still with which a whole host may seem to be down."""

SEVERAL = 10
"""Uses of a fetcher that go on at once."""


class Chaos:
    """One run over one world, by one fetcher."""

    def __init__(self, world: World, fetcher: Fetcher, limits: BatchLimits) -> None:
        self.sent = 0
        """Requests handed to the fetcher, those of cancelled batches included."""
        self.cancelled = 0
        """Requests whose batch was cancelled, or left early, before they had a result."""
        self.checker = ResultChecker(world.memory, lambda: world.worst_stall > STALL)
        self._world = world
        self._fetcher = fetcher
        self._limits = limits
        self._dice = random.Random(world.seed)
        self._weights = [place.weight for place in world.places]

    async def run(self, count: int) -> None:
        """Send so many requests, in every way there is."""
        while count > 0:
            async with anyio.create_task_group() as tasks:
                for use in self._dice.choices(self._uses(), k=SEVERAL):
                    size = min(count, self._dice.randint(5, 60))
                    count -= size
                    if size:
                        tasks.start_soon(use, size)
            counts = self._fetcher.statistics()
            assert (counts.in_flight, counts.waiting, counts.batches) == (0, 0, 0)

    def _uses(self) -> list[Callable[[int], Any]]:
        often = [self._fetch_many, self._stream] * 2
        return [*often, self._fetch, self._hurry, self._leave, self._cancel]

    # The uses

    async def _fetch_many(self, size: int) -> None:
        sent_requests, requests = self._requests(size)
        results = await self._fetcher.fetch_many(requests)
        assert len(results) == size
        for index, (sent, result) in enumerate(zip(sent_requests, results, strict=True)):
            assert result.index == index
            self.checker.check(sent, result, self._limits)

    async def _hurry(self, size: int) -> None:
        """Give the whole batch less time than it takes."""
        limit = self._dice.uniform(0.0, 0.3)
        sent_requests, requests = self._requests(size)
        results = await self._fetcher.fetch_many(requests, batch_timeout=limit)
        assert len(results) == size
        limits = attrs.evolve(self._limits, batch_timeout=limit)
        for sent, result in zip(sent_requests, results, strict=True):
            self.checker.check(sent, result, limits)

    async def _stream(self, size: int) -> None:
        """Consume a stream to its end, in either order, slowly now and then."""
        sent_requests, requests = self._requests(size)
        ordered = self._dice.random() < 0.5
        backlog = self._dice.choice([None, 3])
        seen: list[int] = []
        async with self._fetcher.stream(
            self._pulled(requests), ordered=ordered, backlog=backlog
        ) as results:
            async for result in results:
                seen.append(result.index)
                self.checker.check(sent_requests[result.index], result, self._limits)
        assert (seen if ordered else sorted(seen)) == [*range(size)]

    async def _leave(self, size: int) -> None:
        """Leave a stream early."""
        sent_requests, requests = self._requests(size)
        enough = self._dice.randrange(size)
        seen: set[int] = set()
        async with self._fetcher.stream(requests) as results:
            async for result in results:
                assert result.index not in seen
                seen.add(result.index)
                self.checker.check(sent_requests[result.index], result, self._limits)
                if len(seen) > enough:
                    break
        self.cancelled += size - len(seen)

    async def _cancel(self, size: int) -> None:
        """Cancel a batch at some moment."""
        sent_requests, requests = self._requests(size)
        with anyio.move_on_after(self._dice.uniform(0, 0.2)):
            results = await self._fetcher.fetch_many(requests)
            for sent, result in zip(sent_requests, results, strict=True):
                self.checker.check(sent, result, self._limits)
            return
        self.cancelled += size

    async def _fetch(self, size: int) -> None:
        """Fetch one after the other, and give up on some."""
        sent_requests, requests = self._requests(size)
        for sent, request in zip(sent_requests, requests, strict=True):
            seconds = self._dice.choice([None, None, None, 0.0, 0.01])
            with anyio.move_on_after(seconds) as scope:
                self.checker.check(sent, await self._fetcher.fetch(request), self._limits)
            self.cancelled += scope.cancelled_caught

    # What is sent

    def _requests(self, size: int) -> tuple[list[SentRequest], list[str | Request]]:
        sent_requests = [self._sent_request() for _ in range(size)]
        return sent_requests, [self._request(sent) for sent in sent_requests]

    def _sent_request(self) -> SentRequest:
        self.sent += 1
        (place,) = self._dice.choices(self._world.places, self._weights)
        method = self._dice.choices(["GET", "POST", "DELETE"], [8, 1, 1])[0]
        return SentRequest(f"r{self.sent}", place, method)

    def _request(self, sent: SentRequest) -> str | Request:
        url = self._dice.choice(sent.place.urls(f"/{sent.name}"))
        if sent.method == "GET" and self._dice.random() < 0.7:
            return url
        body = sent.name.encode() if sent.method == "POST" else None
        return Request(url, sent.method, content=body, tag=sent)

    def _pulled(self, requests: list[str | Request]) -> Any:
        """Return the requests as a list, or as an iterator of either sort."""
        return self._dice.choice([list, _lazily, _slowly])(requests)


def _lazily(requests: list[str | Request]) -> Iterator[str | Request]:
    yield from requests


async def _slowly(requests: list[str | Request]) -> AsyncIterator[str | Request]:
    for request in requests:
        await anyio.lowlevel.checkpoint()
        yield request
