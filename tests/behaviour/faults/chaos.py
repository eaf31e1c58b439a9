"""
The chaos run: every use of a fetcher at once, over hosts that fail in every way at once.

What may happen is in `menu` and `world`, what must have come of it in `verdict`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import attrs

from asyncbatch import Fetcher, Request, Retry
from tests.behaviour.faults.verdict import Errand, Judge, Terms
from tests.behaviour.faults.world import World

TERMS = Terms(
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

    def __init__(self, world: World, fetcher: Fetcher, terms: Terms) -> None:
        self.sent = 0
        """Requests handed to the fetcher, those of cancelled batches included."""
        self.cancelled = 0
        """Requests whose batch was cancelled, or left early, before they had a result."""
        self.judge = Judge(world.memory, lambda: world.worst_stall > STALL)
        self._world = world
        self._fetcher = fetcher
        self._terms = terms
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
        errands, requests = self._errands(size)
        results = await self._fetcher.fetch_many(requests)
        assert len(results) == size
        for index, (errand, result) in enumerate(zip(errands, results, strict=True)):
            assert result.index == index
            self.judge.judge(errand, result, self._terms)

    async def _hurry(self, size: int) -> None:
        """Give the whole batch less time than it takes."""
        limit = self._dice.uniform(0.0, 0.3)
        errands, requests = self._errands(size)
        results = await self._fetcher.fetch_many(requests, batch_timeout=limit)
        assert len(results) == size
        terms = attrs.evolve(self._terms, batch_timeout=limit)
        for errand, result in zip(errands, results, strict=True):
            self.judge.judge(errand, result, terms)

    async def _stream(self, size: int) -> None:
        """Consume a stream to its end, in either order, slowly now and then."""
        errands, requests = self._errands(size)
        ordered = self._dice.random() < 0.5
        backlog = self._dice.choice([None, 3])
        seen: list[int] = []
        async with self._fetcher.stream(
            self._pulled(requests), ordered=ordered, backlog=backlog
        ) as results:
            async for result in results:
                seen.append(result.index)
                self.judge.judge(errands[result.index], result, self._terms)
        assert (seen if ordered else sorted(seen)) == [*range(size)]

    async def _leave(self, size: int) -> None:
        """Leave a stream early."""
        errands, requests = self._errands(size)
        enough = self._dice.randrange(size)
        seen: set[int] = set()
        async with self._fetcher.stream(requests) as results:
            async for result in results:
                assert result.index not in seen
                seen.add(result.index)
                self.judge.judge(errands[result.index], result, self._terms)
                if len(seen) > enough:
                    break
        self.cancelled += size - len(seen)

    async def _cancel(self, size: int) -> None:
        """Cancel a batch at some moment."""
        errands, requests = self._errands(size)
        with anyio.move_on_after(self._dice.uniform(0, 0.2)):
            results = await self._fetcher.fetch_many(requests)
            for errand, result in zip(errands, results, strict=True):
                self.judge.judge(errand, result, self._terms)
            return
        self.cancelled += size

    async def _fetch(self, size: int) -> None:
        """Fetch one after the other, and give up on some."""
        errands, requests = self._errands(size)
        for errand, request in zip(errands, requests, strict=True):
            patience = self._dice.choice([None, None, None, 0.0, 0.01])
            with anyio.move_on_after(patience) as scope:
                self.judge.judge(errand, await self._fetcher.fetch(request), self._terms)
            self.cancelled += scope.cancelled_caught

    # What is sent

    def _errands(self, size: int) -> tuple[list[Errand], list[str | Request]]:
        errands = [self._errand() for _ in range(size)]
        return errands, [self._request(errand) for errand in errands]

    def _errand(self) -> Errand:
        self.sent += 1
        (place,) = self._dice.choices(self._world.places, self._weights)
        method = self._dice.choices(["GET", "POST", "DELETE"], [8, 1, 1])[0]
        return Errand(f"r{self.sent}", place, method)

    def _request(self, errand: Errand) -> str | Request:
        url = self._dice.choice(errand.place.urls(f"/{errand.name}"))
        if errand.method == "GET" and self._dice.random() < 0.7:
            return url
        body = errand.name.encode() if errand.method == "POST" else None
        return Request(url, errand.method, content=body, tag=errand)

    def _pulled(self, requests: list[str | Request]) -> Any:
        """Return the requests as a list, or as an iterator of either sort."""
        return self._dice.choice([list, _lazily, _slowly])(requests)


def _lazily(requests: list[str | Request]) -> Iterator[str | Request]:
    yield from requests


async def _slowly(requests: list[str | Request]) -> AsyncIterator[str | Request]:
    for request in requests:
        await anyio.lowlevel.checkpoint()
        yield request
