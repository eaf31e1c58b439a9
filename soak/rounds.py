"""
One round of the soak test: each kind of batch once, in every lane, with what may go wrong.

Between two rounds nothing is under way, and no connection is left: that is when to measure.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

import anyio
import anyio.to_thread
import attrs
import httpx

import asyncbatch
from asyncbatch import Fetcher, Result, Retry, SyncFetcher
from soak.traffic import Traffic, is_expected, kind_of

IDLE_SECONDS = 0.3
"""How long connections are kept, so that none is left when it is measured."""

OPTIONS: dict[str, Any] = {
    "concurrency": 100,
    "timeout": 20.0,
    "retry": Retry(attempts=2, backoff=0.005, backoff_max=0.02),
    "give_up_host_after": None,
}


@attrs.define
class Tally:
    """What has come of the requests so far."""

    requests: int = 0
    kinds: Counter[str] = attrs.field(factory=Counter)
    """By what was asked for, and what it ended as."""
    wrong: list[str] = attrs.field(factory=list)
    """What ended as it should not have."""
    seconds: list[float] = attrs.field(factory=list)
    """How long good answers of the direct lane took, since the last measurement."""

    def add(self, results: Iterable[Result], *, is_timed: bool = False) -> int:
        """Look at results, and return how many there were."""
        count = 0
        for result in results:
            count += 1
            kind = kind_of(result)
            self.kinds[f"{kind}: {'ok' if result.ok else result.kind}"] += 1
            if not is_expected(result):
                self.wrong.append(f"{kind}: {result!r}")
            elif is_timed and kind == "good" and result.attempts == 1:
                self.seconds.append(result.elapsed - result.timing.queued - result.timing.throttled)
        self.requests += count
        return count

    def expect(self, what: str, count: int, wanted: int) -> None:
        """Note a batch that has lost or made up results."""
        if count != wanted:
            self.wrong.append(f"{what}: {count} results of {wanted} requests")


class Rounds:
    """
    The fetchers that live through the whole run, and what is done with them in each round.

    Args:
        traffic: makes the requests.
        size: requests of the largest batch of a round.
    """

    def __init__(self, traffic: Traffic, size: int) -> None:
        self.tally = Tally()
        self._traffic = traffic
        self._size = size
        self._fetchers: dict[str, Fetcher] = {}
        self._sync: SyncFetcher | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = httpx.Limits(
            max_connections=100, max_keepalive_connections=100, keepalive_expiry=IDLE_SECONDS
        )
        enter = self._stack.enter_async_context
        self._fetchers["direct"] = await enter(Fetcher(**OPTIONS, limits=limits))
        client = httpx.AsyncClient(
            transport=asyncbatch.HTTPTransport(limits=limits), follow_redirects=True
        )
        await enter(client)
        self._fetchers["client"] = await enter(Fetcher(client, **OPTIONS))
        self._sync = SyncFetcher(**OPTIONS, limits=limits)
        await anyio.to_thread.run_sync(self._sync.__enter__)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._sync is not None
        await anyio.to_thread.run_sync(self._sync.__exit__, None, None, None)
        await self._stack.aclose()

    async def go(self) -> None:
        """Run one round, and wait until its connections have expired."""
        await self._fetch_many("direct", self._size, is_timed=True)
        await self._stream("direct", self._size)
        await self._stream_in_order("direct", self._size // 2)
        await self._leave_early("direct", self._size // 4)
        await self._run_out_of_time("direct", self._size // 4)
        await self._fetch_many("client", self._size // 10)
        await self._stream("client", self._size // 10)
        await self._leave_early("client", self._size // 20)
        await self._two_at_once(self._size // 4)
        await self._throw_away(self._size // 20)
        await self._stock_client(self._size // 100)
        await anyio.to_thread.run_sync(self._fetch_sync, self._size // 4)
        await anyio.sleep(2 * IDLE_SECONDS)

    async def _fetch_many(self, name: str, size: int, *, is_timed: bool = False) -> None:
        results = await self._fetchers[name].fetch_many(self._traffic.requests(size))
        self.tally.expect(f"fetch_many, {name}", self.tally.add(results, is_timed=is_timed), size)

    async def _stream(self, name: str, size: int) -> None:
        count = 0
        async with self._fetchers[name].stream(self._traffic.requests(size)) as results:
            async for result in results:
                count += self.tally.add([result])
        self.tally.expect(f"stream, {name}", count, size)

    async def _stream_in_order(self, name: str, size: int) -> None:
        """Read lazily from an async iterable, and get the results in its order."""

        async def requests() -> AsyncIterator[asyncbatch.Request | str]:
            for request in self._traffic.requests(size):
                yield request

        indexes = []
        async with self._fetchers[name].stream(requests(), ordered=True) as results:
            async for result in results:
                self.tally.add([result])
                indexes.append(result.index)
        self.tally.expect(f"ordered stream, {name}", len(indexes), size)
        if indexes != sorted(indexes):
            self.tally.wrong.append("an ordered stream was out of order")

    async def _leave_early(self, name: str, size: int) -> None:
        """Cancel what is under way by leaving a stream after some of its results."""
        left = size // 2
        async with self._fetchers[name].stream(self._traffic.requests(size)) as results:
            async for result in results:
                self.tally.add([result])
                left -= 1
                if not left:
                    break

    async def _run_out_of_time(self, name: str, size: int) -> None:
        """End a batch by its own limit, and another by a cancellation from outside."""
        fetcher = self._fetchers[name]
        results = await fetcher.fetch_many(self._traffic.requests(size), batch_timeout=0.03)
        self.tally.requests += len(results)
        with anyio.move_on_after(0.03):
            await fetcher.fetch_many(self._traffic.requests(size))

    async def _two_at_once(self, size: int) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(self._fetch_many, "direct", size)

    async def _throw_away(self, size: int) -> None:
        """Use a fetcher, and a client, for one batch only."""
        results = await asyncbatch.fetch_many(self._traffic.requests(size), **OPTIONS)
        self.tally.expect("fetch_many, thrown away", self.tally.add(results), size)

    async def _stock_client(self, size: int) -> None:
        """Fetch over httpx's own transport; closed each time, since that is when it lets go."""
        async with (
            httpx.AsyncClient(follow_redirects=True, trust_env=False) as client,
            Fetcher(client, **{**OPTIONS, "concurrency": 20}) as fetcher,
        ):
            results = await fetcher.fetch_many(self._traffic.requests(size))
        self.tally.expect("fetch_many, httpx", self.tally.add(results), size)

    def _fetch_sync(self, size: int) -> None:
        """Use the API for plain code from a thread."""
        assert self._sync is not None
        results = self._sync.fetch_many(self._traffic.requests(size))
        self.tally.expect("fetch_many, SyncFetcher", self.tally.add(results), size)
        with contextlib.closing(self._sync.stream(self._traffic.requests(size))) as stream:
            self.tally.expect("stream, SyncFetcher", self.tally.add(stream), size)
        results = asyncbatch.fetch_many_sync(self._traffic.requests(size // 5), **OPTIONS)
        self.tally.expect("fetch_many_sync", self.tally.add(results), size // 5)
