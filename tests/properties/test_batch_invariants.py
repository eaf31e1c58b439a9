"""
What must hold of whole batches, whatever happens: a random mix of uses on one fetcher.

Hypothesis draws what servers do, what the limits are, how the fetcher is used, and who gives up
when; the network keeps its own books of every try. Time is virtual.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import attrs
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher, FetcherClosed, Request, Result, Retry
from tests.properties.mixture import (
    DEAD,
    LIMITS,
    LIVE,
    RELAYED_LIMITS,
    SHORT_USES,
    SILENT,
    TIMEOUT,
    USES,
    Call,
    Limits,
    Use,
)
from tests.properties.networks import CLOSE, Books, Network, OnLoopback, made_up, on_loopback
from tests.virtual_time import virtual_time

MOST_LOOKS = 500
FOREVER = 100_000
SPREAD = 0.01
"""Seconds between single fetches."""


class InputFailed(Exception):
    """What an input raises in the middle."""


class Scenario:
    """Several uses of one fetcher."""

    def __init__(
        self,
        network: Network,
        limits: Limits,
        uses: list[Use],
        *,
        closes_after: float | None,
        reopened: list[tuple[float, str]],
    ) -> None:
        self.network = network
        self.books = network.books
        self.limits = limits
        self.uses = uses
        self.closes_after = closes_after
        self.reopened = reopened
        self._begun = anyio.current_time()

    async def play(self) -> None:
        """Use the fetcher in all ways at once, and look that nothing is left."""
        async with Fetcher(**self._options()) as fetcher:
            self.network.watch(fetcher)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look_now_and_then, fetcher)
                for number, use in enumerate(self.uses):
                    tasks.start_soon(self._use, fetcher, number, use)
                for moment, host in self.reopened:
                    tasks.start_soon(self._reopen, fetcher, moment, host)
                if self.closes_after is not None:
                    await anyio.sleep(self.closes_after)
                    await fetcher.__aexit__(None, None, None)
            await self._look_that_nothing_is_left(fetcher)
            if self.closes_after is None:
                await self._look_that_it_serves_on(fetcher)

    def _options(self) -> dict[str, Any]:
        limits = self.limits
        return {
            **self.network.options,
            "concurrency": limits.concurrency,
            "per_host": limits.per_host,
            "rate": limits.rate,
            "total_rate": limits.total_rate,
            "retry": limits.retry,
            "deadline": limits.deadline,
            "give_up_host_after": limits.give_up_host_after,
            "max_body": limits.max_body,
            "timeout": TIMEOUT,
            "check": refuse_bad(self.books) if limits.has_check else None,
            "hosts": {self.network.name("a"): limits.of_a} if limits.of_a is not None else None,
        }

    # While it runs

    async def _reopen(self, fetcher: Fetcher, moment: float, host: str) -> None:
        await anyio.sleep(moment)
        if self.closes_after is None:
            fetcher.reopen(self.network.name(host))
            self.books.forget_pause(host)

    async def _look_now_and_then(self, fetcher: Fetcher) -> None:
        for _ in range(MOST_LOOKS):
            self._look_at(fetcher)
            if not fetcher.statistics().batches and anyio.current_time() > self._begun + 4:
                return
            await anyio.sleep(0.173)

    def _look_at(self, fetcher: Fetcher) -> None:
        seen = fetcher.statistics()
        assert 0 <= seen.in_flight <= self.limits.concurrency
        assert seen.waiting >= 0
        hosts = seen.by_host.values()
        assert sum(host.in_flight for host in hosts) <= seen.in_flight
        assert sum(host.waiting for host in hosts) == seen.waiting
        for host in hosts:
            assert host.in_flight >= 0
            assert host.waiting >= 0
            assert host.paused_until is None or host.paused_until > 0

    async def _use(self, fetcher: Fetcher, number: int, use: Use) -> None:
        await anyio.sleep(use.begins)
        requests = self._requests(number, use)
        begun = anyio.current_time()
        taken: list[Result] = []
        complete = False
        with anyio.move_on_after(use.cancelled_after) as scope:
            try:
                complete = await self._consume(fetcher, use, requests, taken)
            except FetcherClosed:
                assert self.closes_after is not None
        took = anyio.current_time() - begun
        if use.batch_timeout is not None and not use.pause:
            spread = SPREAD * len(use.calls) if use.way == "fetch" else 0.0
            assert took <= use.batch_timeout + spread + CLOSE, "batch_timeout"
        self._check(use, requests, taken, complete=complete and not scope.cancelled_caught)

    def _requests(self, number: int, use: Use) -> list[Any]:
        requests: list[Any] = []
        for index, call in enumerate(use.calls):
            path = f"/planned/{number}/{index}"
            self.books.calls[path] = call
            url = self.network.origin(call.host) + path
            is_plain = not call.options and not index % 3
            requests.append(url if is_plain else Request(url, tag=index, **call.options))
        return requests

    async def _consume(
        self, fetcher: Fetcher, use: Use, requests: list[Any], taken: list[Result]
    ) -> bool:
        """Use the fetcher; return whether all that is promised must have come."""
        timeout = use.batch_timeout
        source = input_of(use, requests)
        fails = use.source == "raising" and use.way != "fetch"
        try:
            if use.way == "fetch":
                await self._fetch_each(fetcher, requests, taken, timeout)
            elif use.way == "fetch_many":
                results = await fetcher.fetch_many(source, batch_timeout=timeout)
                self._check_results(results)
                taken += results
            else:
                ordered = use.way == "ordered"
                async with fetcher.stream(
                    source, ordered=ordered, backlog=use.backlog, batch_timeout=timeout
                ) as stream:
                    async for result in stream:
                        taken.append(result)
                        self._check_stream(stream, taken)
                        if len(taken) > use.left_after:
                            return False
                        if use.pause:
                            await anyio.sleep(use.pause)
        except InputFailed as error:
            assert fails
            if use.way == "fetch_many":
                taken += error.results  # type: ignore[attr-defined]
        else:
            assert not fails or timeout is not None, "the input's error is lost"
        return True

    async def _fetch_each(
        self, fetcher: Fetcher, requests: list[Any], taken: list[Result], seconds: float | None
    ) -> None:
        async def fetch(request: Any, delay: float) -> None:
            await anyio.sleep(delay)
            try:
                taken.append(await fetcher.fetch(request, batch_timeout=seconds))
            except FetcherClosed:
                assert self.closes_after is not None

        async with anyio.create_task_group() as tasks:
            for index, request in enumerate(requests):
                tasks.start_soon(fetch, request, SPREAD * index)
        if len(taken) < len(requests):
            raise FetcherClosed

    # What must hold

    def _check(
        self, use: Use, requests: list[Any], results: list[Result], *, complete: bool
    ) -> None:
        if use.way == "fetch":
            paths = Counter(path_of(result) for result in results)
            assert max(paths.values(), default=0) <= 1
            assert not complete or len(results) == len(requests)
        else:
            indexes = [result.index for result in results]
            if use.way == "stream":
                indexes.sort()
                assert len(set(indexes)) == len(indexes)
            if complete or use.way != "stream":
                assert indexes == list(range(len(indexes)))
            if complete and (use.source == "list" or use.batch_timeout is None):
                assert len(indexes) == len(requests) // (2 if use.source == "raising" else 1)
            for result in results:
                given = requests[result.index]
                assert given is result.request or given == result.request.url
        for result in results:
            self._check_result(result, use)

    def _check_result(self, result: Result, use: Use) -> None:
        path = path_of(result)
        call, limits = self.books.calls[path], self.limits
        retry = limits.retry_of(call)
        attempts = result.attempts
        assert attempts <= (1 if retry is None else retry.attempts)
        if call.host != DEAD or self.network.counts_dead:
            assert self.books.tries[path] == attempts
        assert len(result.history) == max(0, attempts - 1)
        deadline = limits.deadline_of(call)
        # Where a stream has no room for one more result, a request that waits ends later.
        is_held_up = use.is_stream and (use.backlog < len(use.calls) or use.pause)
        if deadline is not None and attempts and not is_held_up:
            assert result.elapsed <= deadline + self.books.late, (result.elapsed, deadline)
        timing = result.timing
        assert timing.queued >= 0
        assert timing.throttled >= 0
        if attempts:
            self._check_end(result, path, call)
        else:
            assert result.kind in ("not_started", "host_down", "retry_after"), result.kind

    def _check_end(self, result: Result, path: str, call: Call) -> None:
        kind = call.step(result.attempts - 1)[0]
        if call.host in (DEAD, SILENT):
            assert not result.ok
        elif result.ok:
            assert kind in ("ok", "bad", "big", "moved"), kind
            assert not self.limits.checks(kind)
            if kind in ("ok", "bad"):
                assert result.text == path
        elif result.kind == "status":
            assert kind in ("500", "429", "503", "asked", "too long", "moved to 429"), kind
        elif result.kind == "callback":
            assert self.limits.checks(kind)
        elif result.kind == "too_large":
            assert kind == "big"

    def _check_results(self, results: Any) -> None:
        summary = results.summary()
        self._check_figures(summary, list(results))
        assert summary.slots_full <= summary.duration + CLOSE
        for result in results:
            # Other batches have turns, of which one that is not used is waited for.
            if len(self.uses) == 1:
                assert result.timing.queued <= summary.slots_full + CLOSE, "queued"
            assert result.elapsed <= summary.duration + CLOSE

    def _check_stream(self, stream: Any, taken: list[Result]) -> None:
        if len(taken) % 7 == 1:
            self._check_figures(stream.summary(), taken)

    def _check_figures(self, summary: Any, results: list[Result]) -> None:
        assert summary.total == len(results)
        assert summary.succeeded == sum(result.ok for result in results)
        assert summary.failed == summary.total - summary.succeeded
        assert summary.retries == sum(max(0, result.attempts - 1) for result in results)
        assert summary.kinds == Counter(result.kind for result in results if not result.ok)
        assert summary.bytes == sum(len(result.content) for result in results)

    # In the end

    async def _look_that_nothing_is_left(self, fetcher: Fetcher) -> None:
        if self.closes_after is None:
            await anyio.sleep(0.001)  # a server sees that a connection has closed
        seen = fetcher.statistics()
        assert (seen.in_flight, seen.batches, seen.waiting) == (0, 0, 0)
        for host in seen.by_host.values():
            assert (host.in_flight, host.waiting) == (0, 0)
        for host in hosts_of(fetcher):
            assert (host.in_flight, host.joined) == (0, [])
        assert not +self.books.active
        assert not self.books.broken, self.books.broken

    async def _look_that_it_serves_on(self, fetcher: Fetcher) -> None:
        await anyio.sleep(100)  # every pause is over then
        call = Call("a", (("ok", 0.01),))
        urls = []
        for number in range(self.limits.concurrency + len(LIVE)):
            host = LIVE[number % len(LIVE)]
            path = f"/planned/last/{number}"
            self.books.calls[path] = Call(host, call.plan)
            urls.append(self.network.origin(host) + path)
        for url in urls[: len(LIVE)]:  # a host that was down lets one through to begin with
            assert (await fetcher.fetch(url)).ok
        results = await fetcher.fetch_many(urls[len(LIVE) :])
        assert all(result.ok for result in results)
        assert not self.books.broken, self.books.broken


def path_of(result: Result) -> str:
    return httpx.URL(str(result.request.url)).path


def hosts_of(fetcher: Fetcher) -> Iterable[Any]:
    """Return all hosts that a fetcher knows."""
    shared: Any = fetcher._shared
    return list(shared.hosts._table.values())


def refuse_bad(books: Books) -> Any:
    def check(response: Any) -> None:
        call = books.calls.get(response.request.url.path)
        if call is not None and call.step(books.tries[response.request.url.path] - 1)[0] == "bad":
            raise ValueError("bad")

    return check


def input_of(use: Use, requests: list[Any]) -> Any:
    match use.source:
        case "list":
            return requests
        case "generator":
            return (request for request in requests)
        case "raising":
            return raising(requests)
        case _:
            return slowly(requests)


def raising(requests: list[Any]) -> Iterator[Any]:
    yield from requests[: len(requests) // 2]
    raise InputFailed


async def slowly(requests: list[Any]) -> AsyncIterator[Any]:
    for request in requests:
        await anyio.sleep(0.01)
        yield request


def play(network: Any, limits: Limits, uses: list[Use], **rest: Any) -> None:
    async def main() -> None:
        # A batch in which all sleep and nobody will be woken has no timer to jump to; this one is.
        with virtual_time(), anyio.fail_after(FOREVER):
            opened: AbstractAsyncContextManager[Network] = network(limits)
            async with opened as opened_network:
                await Scenario(opened_network, limits, uses, **rest).play()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


CHECKS = list(HealthCheck)
SLOW = pytest.param(3_000, marks=pytest.mark.slow)
MIX = {
    "closes_after": st.sampled_from([None] * 7 + [1.007]),
    "reopened": st.lists(st.tuples(st.sampled_from([0.5, 3.0]), st.sampled_from(LIVE)), max_size=2),
}


def explore(network: Any, examples: int, **drawn: st.SearchStrategy[Any]) -> None:
    """Play so many mixes over networks of one kind."""

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=CHECKS)
    @given(**drawn, **MIX)
    def check(limits: Limits, uses: list[Use], **rest: Any) -> None:
        play(network, limits, uses, **rest)

    check()


@pytest.mark.parametrize("examples", [16, SLOW])
def test_batches_keep_every_promise_whatever_happens(examples: int) -> None:
    """One result each, limits, rates, pauses and time limits kept, and nothing starves or stays."""
    explore(made_up, examples, limits=LIMITS, uses=st.lists(USES, min_size=1, max_size=3))


ONE_SLOT = Limits(
    concurrency=1,
    per_host=None,
    rate=None,
    total_rate=None,
    retry=Retry(),
    deadline=None,
    give_up_host_after=10,
    max_body=1000,
    has_check=False,
    of_a=None,
)


def plain_use(count: int) -> Use:
    """Return a batch of requests that all succeed."""
    return Use(
        calls=(Call("a", (("ok", 0.0),)),) * count,
        way="fetch_many",
        source="list",
        begins=0.0,
        batch_timeout=None,
        cancelled_after=None,
        backlog=1,
        pause=0.0,
        left_after=1_000_000,
    )


@pytest.mark.parametrize("examples", [8, SLOW])
def test_relays_keep_every_promise_whatever_happens(examples: int) -> None:
    """The same on real sockets, where plain requests go from one to the next without a task."""
    OnLoopback.relayed = 0

    uses = st.lists(SHORT_USES, min_size=1, max_size=3)
    explore(on_loopback, examples, limits=RELAYED_LIMITS, uses=uses)

    # Of few mixes, none may have two requests that follow one another; this one has.
    play(on_loopback, ONE_SLOT, [plain_use(10)], closes_after=None, reopened=[])
    assert OnLoopback.relayed > 0


def test_a_deadline_is_kept_where_another_batch_has_looked_at_the_timers_first() -> None:
    """Single fetches wait for the one slot, and their deadlines pass in the same moment."""
    batch, failing = plain_use(1), Call("a", (("500", 0.0),))
    calls = (failing, *batch.calls, *[Call(SILENT, (("ok", 0.0),))] * 5)
    uses = [batch, attrs.evolve(batch, way="fetch", calls=calls)]
    limits = attrs.evolve(ONE_SLOT, deadline=4.003)

    play(made_up, limits, uses, closes_after=None, reopened=[])
