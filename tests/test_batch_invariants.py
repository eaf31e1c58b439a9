"""
What must hold of whole batches, whatever happens: fetchers over a transport that misbehaves at
random, on a virtual clock.

Hypothesis draws what servers do, what the limits are, and who gives up when; the transport keeps
its own books of every request that starts and ends.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import Any

import anyio
import attrs
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher, Rate, Request, Result, Retry
from asyncbatch.testing import FakeClock

HOSTS = ("a.test", "b.test", "c.test")
CLOSE = 1e-6

# What a server does with one request, and after how many seconds.
FAULTS = ("ok", "ok", "ok", "500", "429", "asked", "too long", "refused", "reset", "hang")

faults = st.tuples(st.sampled_from(FAULTS), st.sampled_from([0.0, 0.01, 0.3, 2.0]))
plans = st.lists(st.lists(faults, min_size=1, max_size=4), min_size=1, max_size=24)


@attrs.frozen
class Limits:
    """What the fetcher is told to keep to."""

    concurrency: int
    per_host: int | None
    rate: Rate | None
    total_rate: Rate | None
    retry: Retry | None
    deadline: float | None
    give_up_host_after: int | None


limits = st.builds(
    Limits,
    concurrency=st.integers(1, 6),
    per_host=st.sampled_from([None, 1, 2]),
    rate=st.sampled_from([None, Rate(2), Rate(5, burst=3)]),
    total_rate=st.sampled_from([None, Rate(3), Rate(8, burst=4)]),
    retry=st.sampled_from([None, Retry(attempts=2), Retry(attempts=4, budget=None)]),
    deadline=st.sampled_from([None, 0.5, 4.0]),
    give_up_host_after=st.sampled_from([None, 3]),
)


@attrs.frozen
class Run:
    """One batch: which requests, how it is consumed, and what ends it early."""

    plan: list[list[tuple[str, float]]]
    way: str
    begins: float
    batch_timeout: float | None
    cancelled_after: float | None

    @property
    def seconds(self) -> float | None:
        """Its time limit; none where not all of the input would have a result."""
        return None if self.way == "async" else self.batch_timeout


runs = st.builds(
    Run,
    plan=plans,
    way=st.sampled_from(["fetch_many", "stream", "ordered", "async"]),
    begins=st.sampled_from([0.0, 0.2, 3.0]),
    batch_timeout=st.sampled_from([None, None, 1.0, 5.0]),
    cancelled_after=st.sampled_from([None, None, None, 0.1, 2.5]),
)


class Network(httpx.AsyncBaseTransport):
    """Does what the plans say, and notes what it is asked."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.plans: dict[str, list[tuple[str, float]]] = {}
        self.tries: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.starts: list[float] = []
        self.host_starts: dict[str, list[float]] = {host: [] for host in HOSTS}
        # When the last pause of a host began, and when it ends.
        self.pauses: dict[str, tuple[float, float]] = {}
        self.broken: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, host = request.url.path, request.url.host
        self._note_start(host)
        plan = self.plans[path]
        kind, delay = plan[min(self.tries[path], len(plan) - 1)]
        self.tries[path] += 1
        self.active[host] += 1
        try:
            self._demand(self.active[host] <= (self._limits.per_host or math.inf), "per_host")
            self._demand(sum(self.active.values()) <= self._limits.concurrency, "concurrency")
            await anyio.sleep(math.inf if kind == "hang" else delay)
            return self._answer(kind, host, request)
        finally:
            self.active[host] -= 1

    def _note_start(self, host: str) -> None:
        now = anyio.current_time()
        since, until = self.pauses.get(host, (now, now))
        # What starts in the very moment of the answer has been on its way before.
        self._demand(now <= since + CLOSE or now >= until - CLOSE, "pause")
        self.starts.append(now)
        self.host_starts[host].append(now)
        self._demand(keeps_rate(self.starts, self._limits.total_rate), "total_rate")
        self._demand(keeps_rate(self.host_starts[host], self._limits.rate), "rate")

    def _demand(self, is_kept: bool, what: str) -> None:
        # Not raised: it would be one more failure of that request.
        if not is_kept:
            self.broken.append(f"{what} at {anyio.current_time()}")

    def _answer(self, kind: str, host: str, request: httpx.Request) -> httpx.Response:
        match kind:
            case "refused":
                raise httpx.ConnectError("refused", request=request)
            case "reset":
                raise httpx.ReadError("reset", request=request)
            case "asked":
                now = anyio.current_time()
                if self._limits.retry is not None:  # else nobody waits for anything
                    self.pauses[host] = (now, now + 1)
                return httpx.Response(429, headers={"retry-after": "1"})
            case "too long":
                return httpx.Response(500, headers={"retry-after": "3600"})
            case "429" | "500":
                return httpx.Response(int(kind))
            case _:
                return httpx.Response(200, text=request.url.path)


def keeps_rate(starts: list[float], rate: Rate | None) -> bool:
    """Any n starts span at least (n - burst) intervals."""
    if rate is None:
        return True
    recent = starts[-20:]
    return all(
        recent[-1] - moment >= (n - rate.burst) * rate.interval - CLOSE
        for n, moment in enumerate(reversed(recent), start=1)
    )


class Scenario:
    """Several batches on one fetcher."""

    def __init__(self, limits: Limits, runs: list[Run]) -> None:
        self.limits = limits
        self.network = Network(limits)
        self.runs = runs
        self.ended: dict[int, list[Result]] = {}

    async def play(self) -> None:
        """Run all batches, and look that nothing is left."""
        options = attrs.asdict(self.limits, recurse=False)
        fetcher = Fetcher(transport=self.network, timeout=3.0, **options)
        async with fetcher:
            async with anyio.create_task_group() as tasks:
                for number, run in enumerate(self.runs):
                    tasks.start_soon(self._run, fetcher, number, run)
            seen = fetcher.statistics()
            assert (seen.in_flight, seen.batches, seen.waiting) == (0, 0, 0)
            assert not +self.network.active
            assert not self.network.broken
            await self._see_that_it_serves_on(fetcher)

    async def _see_that_it_serves_on(self, fetcher: Fetcher) -> None:
        await anyio.sleep(100)  # every pause is over then
        count = self.limits.concurrency
        for number in range(count + len(HOSTS)):
            self.network.plans[f"/last/{number}"] = [("ok", 0.01)]
        urls = [f"http://{HOSTS[n % 3]}/last/{n}" for n in range(count + len(HOSTS))]
        for url in urls[: len(HOSTS)]:  # a host that was down lets one through to begin with
            assert (await fetcher.fetch(url)).ok
        results = await fetcher.fetch_many(urls[len(HOSTS) :])
        assert all(result.ok for result in results)

    async def _run(self, fetcher: Fetcher, number: int, run: Run) -> None:
        await anyio.sleep(run.begins)
        requests = self._requests(number, run)
        begun = anyio.current_time()
        with anyio.move_on_after(run.cancelled_after) as scope:
            results = await self._consume(fetcher, run, requests)
        if scope.cancelled_caught:
            return
        took = anyio.current_time() - begun
        assert run.seconds is None or took <= run.seconds + CLOSE, "batch_timeout"
        self._check(run, requests, results)

    def _requests(self, number: int, run: Run) -> list[Request]:
        requests = []
        for index, plan in enumerate(run.plan):
            path = f"/{number}/{index}"
            self.network.plans[path] = plan
            method = "POST" if index % 5 == 4 else "GET"
            requests.append(Request(f"http://{HOSTS[index % 3]}{path}", method, tag=index))
        return requests

    async def _consume(self, fetcher: Fetcher, run: Run, requests: list[Request]) -> list[Result]:
        timeout = run.seconds
        if run.way == "fetch_many":
            return list(await fetcher.fetch_many(requests, batch_timeout=timeout))
        if run.way == "async":
            return list(await fetcher.fetch_many(slowly(requests)))
        found = []
        async with fetcher.stream(
            requests, ordered=run.way == "ordered", backlog=8, batch_timeout=timeout
        ) as results:
            async for result in results:
                found.append(result)  # noqa: PERF401  # a consumer, not a comprehension
        return found

    def _check(self, run: Run, requests: list[Request], results: list[Result]) -> None:
        # Each has one result, its own, and in order where that was promised.
        indexes = [result.request.tag for result in results]
        if run.way in ("stream",):
            indexes.sort()
        assert indexes == list(range(len(requests)))
        for result in results:
            self._check_result(result)

    def _check_result(self, result: Result) -> None:
        path = httpx.URL(str(result.request.url)).path
        attempts = result.attempts
        assert attempts <= (1 if self.limits.retry is None else self.limits.retry.attempts)
        assert self.network.tries[path] == attempts
        if result.ok:
            assert result.text == path
        if self.limits.deadline is not None and attempts:
            assert result.elapsed <= self.limits.deadline + CLOSE, "deadline"


async def slowly(requests: list[Request]) -> Any:
    for request in requests:
        await anyio.sleep(0.01)
        yield request


def play(scenario: Scenario) -> None:
    async def main() -> None:
        # A batch in which all sleep and nobody will be woken has no timer to jump to; this one is.
        with FakeClock(), anyio.fail_after(100_000):
            await scenario.play()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.mark.parametrize("examples", [60, pytest.param(3_000, marks=pytest.mark.slow)])
def test_batches_keep_every_promise_whatever_happens(examples: int) -> None:
    """One result each, limits, rates, pauses and time limits kept, and nothing starves or stays."""

    @settings(max_examples=examples, deadline=None, database=None)
    @given(limits=limits, runs=st.lists(runs, min_size=1, max_size=3))
    def check(limits: Limits, runs: list[Run]) -> None:
        play(Scenario(limits, runs))

    check()
