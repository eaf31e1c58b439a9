"""A worker: what it takes, what it gives back, and what needs a task."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from time import monotonic, sleep
from typing import Any

import anyio
import attrs
import httpx
import pytest

from asyncbatch import DeadlineExceeded, FailureKind, Fetcher, Request, Retry, Success
from asyncbatch._api import _setup
from asyncbatch._batch import _worker
from asyncbatch._batch._make_result import attempt_of, success_of
from asyncbatch._batch._window import Window
from asyncbatch._batch._worker import Worker
from asyncbatch._lanes import Relay
from asyncbatch._schedule import Job
from asyncbatch._values._outcome import Outcome
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import HeldTransport, urls
from tests.unit.batch.one_batch import OneBatch, run_workers, sharing

URL = "http://a.test/x"


@pytest.fixture
async def mixed() -> AsyncIterator[LoopbackServer]:
    """Answer three of four paths with a status that a relay leaves to a task."""
    async with LoopbackServer() as server:
        for status in (200, 404, 500, 503):
            server.on(f"/{status}", Reply(status))
        yield server


@pytest.mark.any_loop
@pytest.mark.parametrize("tries", [1, 2])
async def test_a_result_made_by_a_worker_is_like_one_of_success_of(tries: int) -> None:
    """`Worker.take_response` sets by hand what `success_of` sets: every field, and the class."""
    response = httpx.Response(200, request=httpx.Request("GET", URL))
    course = (1.0, 1.5, 2.0, 3.0, 4.0, None, None, None, 1)
    failed = Outcome(status_code=503, kind=FailureKind.status, error=httpx.ReadError("x"))
    async with sharing() as shared:
        one = OneBatch(shared, ())
        one.ledger.enter(URL, 3, one.clock())
        job = one.start()
        job.attempts, job.queued, job.throttled = tries, 0.25, 0.5
        job.history = [attempt_of(job, failed, 1.0)] * (tries - 1) or None
        now = job.first_started_at + 7.0
        outcome = Outcome(response=response, content=b"x", timing=course)
        expected = success_of(job, outcome, now, one.ledger.epoch)

        Worker(one.batch._workers, job).take_response(response, b"x", course, now)

    (result,) = one.results
    assert type(result) is type(expected) is Success
    assert fields_of(result) == fields_of(expected)


def fields_of(result: Success) -> dict[str, Any]:
    """Return what is in all slots of a result."""
    return {name: getattr(result, name) for name in attrs.fields_dict(Success)}


@pytest.mark.any_loop
@pytest.mark.parametrize(
    "item",
    [
        pytest.param(URL, id="text"),
        pytest.param(httpx.URL(URL), id="URL"),
        pytest.param(httpx.Request("PUT", URL), id="request of httpx"),
        pytest.param(Request(URL), id="request"),
        pytest.param(Request(URL, "PATCH", content=b"x"), id="method"),
        pytest.param(Request(URL, retry=None), id="no retry"),
        pytest.param(Request(URL, retry=Retry(attempts=7)), id="retry"),
    ],
)
async def test_a_request_that_replaces_another_is_like_one_that_was_entered(item: Any) -> None:
    """`Worker` sets by hand what `Ledger.enter` sets: nothing is left of the one before."""
    async with Fetcher(concurrency=1, deadline=60.0, trust_env=False) as fetcher:
        shared: Any = fetcher._shared
        plain, one = OneBatch(shared, [item]), OneBatch(shared, [item])
        shared.attempter.lane.begin_batch(one.clock)
        shared.slots.try_acquire()
        one.ledger.enter(Request(URL, "POST", retry=Retry(attempts=3)), 5, one.clock())
        job = one.start()
        job.queued, job.throttled, job.history = 0.25, 0.5, [object()]
        job.host.steady = True
        worker, source = Worker(one.batch._workers, job), one.reader.source
        replaced = worker._replace(job, source, one.clock() + 3.0, True)
        plain.ledger.enter(item, 0, job.first_started_at)
        entered = plain.batch._workers.next_job(job.first_started_at)
        assert entered is not None
        shared.slots.release()

    # These are where it is in the schedule, which has not changed.
    names = [name for name in Job.__slots__ if name not in {"queue", "since", "clock"}]
    assert replaced is not None
    assert job.queued > 0
    assert {name: getattr(job, name) for name in names} == {
        name: getattr(entered, name) for name in names
    }


@pytest.mark.asyncio_only
@pytest.mark.may_block
async def test_the_time_of_the_input_counts_for_no_other_request(mixed: LoopbackServer) -> None:
    """A generator that a relay reads blocks the loop while another request is in flight."""
    mixed.on("/late", Reply(200).delayed(0.3))

    def slowly() -> Iterator[str]:
        yield mixed.url("/late")
        yield mixed.url("/200")
        sleep(0.1)
        yield mixed.url("/200")

    async with Fetcher(concurrency=2, retry=None) as fetcher:
        await fetcher.fetch_many([mixed.url("/200")] * 10)
        at_start = monotonic()
        late = (await fetcher.fetch_many(slowly()))[0]
        took = monotonic() - at_start

    assert late.ok
    assert late.elapsed <= took - 0.1


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


@pytest.mark.once
@pytest.mark.parametrize("path", ["/200", "/404"])
async def test_ended_workers_leave_no_relays_to_the_garbage_collector(
    mixed: LoopbackServer, path: str
) -> None:
    """A fetcher keeps some until it closes, without their workers; the others are freed at once."""
    gc.collect()
    earlier = set(map(id, relays := relays_there()))  # of other tests; they keep their places
    gc.disable()
    try:
        async with Fetcher(concurrency=10, retry=None) as fetcher:
            assert len(await fetcher.fetch_many([mixed.url(path)] * 40)) == 40
            kept = [each for each in relays_there() if id(each) not in earlier]
            workers = [each for each in gc.get_referrers(*kept) if isinstance(each, Worker)]
            assert workers == []
            assert len(kept) <= 10
            assert path == "/200" or kept == []
            del kept
        left = [each for each in relays_there() if id(each) not in earlier]
    finally:
        gc.enable()

    assert left == []
    del relays


def relays_there() -> list[Relay]:
    """Return all relays of this process."""
    return [each for each in gc.get_objects() if isinstance(each, Relay)]


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
        jobs = one.ledger.withdraw_unfinished(one.clock())
        assert [job.index for job in jobs][:2] == [0, 1]


async def test_an_error_that_is_no_failure_ends_the_work() -> None:
    """A worker raises it, and has given its permit back."""

    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    async with sharing(interrupt) as shared:
        one = OneBatch(shared, ())
        one.ledger.enter("http://a.test/x", 0, one.clock())
        with pytest.raises(KeyboardInterrupt):
            await one.dispatcher.work_alone()

        assert shared.slots.taken == 0


class Stop(BaseException):
    """What is no `Exception`, as KeyboardInterrupt; which would end asyncio's loop itself."""


@pytest.mark.parametrize("count", range(1, 8))
async def test_an_error_between_two_requests_ends_the_batch(
    mixed: LoopbackServer, count: int
) -> None:
    """The callback that has given a result reads on, and has no request to blame."""

    def items() -> Iterator[str]:
        for _ in range(count):
            yield mixed.url("/200")
        raise Stop

    async with Fetcher(concurrency=1, retry=None) as fetcher:
        with anyio.fail_after(10), pytest.raises(Stop):
            await fetcher.fetch_many(items())

        assert fetcher.statistics().in_flight == 0


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_each_request_that_must_be_announced_is_announced_before_it_is_sent(
    mixed: LoopbackServer, concurrency: int
) -> None:
    """Also one that takes the place of another at a relay."""
    announced: list[int] = []

    async def announce(job: Job) -> None:
        announced.append(job.index)

    url = mixed.url("/200")
    items = [Request(url, "POST") if n % 2 else url for n in range(20)]
    async with Fetcher(concurrency=concurrency, retry=None) as fetcher:
        shared: Any = fetcher._shared
        one = OneBatch(shared, items, announce=announce)
        await one.batch.run()

    assert all(result.ok for result in one.results)
    assert sorted(announced) == list(range(1, 20, 2))


async def test_a_worker_ends_without_a_place_for_its_relay(
    mixed: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more relays rest than a fetcher keeps."""
    monkeypatch.setattr(_worker, "MOST_RESTING", 1)
    async with Fetcher(concurrency=4, retry=None) as fetcher:
        shared: Any = fetcher._shared
        one = OneBatch(shared, [mixed.url("/200")] * 20)
        await one.batch.run()
        relays = one.batch._workers.relays

        assert relays is not None
        assert len(relays.resting) == 1

    assert len(one.results) == 20


async def test_a_relay_keeps_the_deadline_of_the_only_request(mixed: LoopbackServer) -> None:
    """It is cut off by it, and has no other limit."""
    mixed.on("/hang", Reply().hang())
    async with Fetcher(deadline=0.3, timeout=None, retry=None) as fetcher:
        with anyio.fail_after(20):
            result = await fetcher.fetch(mixed.url("/hang"))

    assert isinstance(result.error, DeadlineExceeded)


async def test_a_request_with_limits_of_its_own_ends_the_work_of_a_relay(
    mixed: LoopbackServer,
) -> None:
    """It is sent with them by a task, and the relay goes on after it."""
    mixed.on("/hang", Reply().hang())
    url = mixed.url("/200")
    items = [*[url] * 9, Request(mixed.url("/hang"), timeout=0.2), url]
    async with Fetcher(concurrency=1, retry=None) as fetcher:
        results = await fetcher.fetch_many(items)

    assert [result.ok for result in results] == [True] * 9 + [False, True]
    assert "timeout=0.2" in str(results[9].error)


async def test_a_request_beyond_the_window_weighs_nothing_when_a_relay_has_ended_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its bytes do not keep others from being read."""
    monkeypatch.setattr(_setup, "window_of", lambda options: 2)
    held: list[object] = []
    hold = Window.hold

    def noted(window: Window, item: object) -> int:
        held.append(item)
        return hold(window, item)

    monkeypatch.setattr(Window, "hold", noted)
    async with (
        LoopbackServer(hosts=2) as server,
        Fetcher(concurrency=4, per_host=1, retry=None) as fetcher,
    ):
        shared: Any = fetcher._shared
        items = [server.url("/", host=1 + n // 5) for n in range(10)]
        one = OneBatch(shared, items)
        await one.batch.run()

        assert held
        assert one.ledger.window.weight == 0

    assert len(one.results) == 10
