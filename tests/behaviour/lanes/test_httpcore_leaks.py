"""That httpcore's pool serves on, whatever was cancelled, and that nothing is kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Iterator
from traceback import walk_tb
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher
from asyncbatch._batch._attempt import Attempter
from asyncbatch._lanes import ClientLane, binding_of
from asyncbatch._values._result import status_error
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch.testing import LoopbackServer, Reply
from tests.unit.lanes.conftest import TRUSTING

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

LIMITS = {"max_connections": 5, "max_keepalive_connections": 5}


def new_client(library: Any, **settings: Any) -> Any:
    """Make a client with a pool of five."""
    return library.AsyncClient(
        **{"verify": TRUSTING, "trust_env": False, "limits": library.Limits(**LIMITS), **settings}
    )


async def assert_serves(client: Any, server: LoopbackServer) -> None:
    """Fetch more than the pool holds, each in its time."""
    async with Fetcher(client, concurrency=5, retry=None, timeout=10) as fetcher:
        results = await fetcher.fetch_many([server.url("/well")] * 20)
    assert results.failures == []


@pytest.mark.parametrize("seconds", [0.0001, 0.005])
async def test_tight_time_limits_leave_the_pool_whole(
    library: Any, server: LoopbackServer, seconds: float
) -> None:
    """However early they cut, in connecting or in waiting, every connection's place comes back."""
    server.on("/slow", Reply().hang())

    async with new_client(library) as client:
        async with Fetcher(
            client, concurrency=5, retry=None, timeout=seconds, give_up_host_after=None
        ) as fetcher:
            results = await fetcher.fetch_many([server.url("/slow")] * 40)
        await assert_serves(client, server)

    assert {failure.kind for failure in results.failures} == {FailureKind.timeout}
    assert len(results.failures) == 40


async def test_a_cancelled_batch_leaves_the_pool_whole(
    library: Any, server: LoopbackServer
) -> None:
    """At whatever moment the batch is given up."""
    server.on("/slow", Reply().delayed(0.005))

    async with new_client(library) as client:
        for turns in range(0, 60, 10):
            async with (
                Fetcher(client, concurrency=5) as fetcher,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(fetcher.fetch_many, [server.url("/slow")] * 50)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        await assert_serves(client, server)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8, 13, 21, 34])
async def test_native_cancellation_leaves_the_pool_whole(
    library: Any, server: LoopbackServer, turns: int
) -> None:
    """`task.cancel()` reaches into shielded scopes, where httpcore gives places back."""
    server.on("/slow", Reply(body=20_000).paced(5000, every=0.001))

    async with new_client(library) as client:
        async with Fetcher(client, concurrency=5, retry=None) as fetcher:
            for _ in range(3):
                tasks = [
                    asyncio.ensure_future(fetcher.fetch(server.url("/slow"))) for _ in range(5)
                ]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        await assert_serves(client, server)


@pytest.mark.asyncio_only
async def test_wait_for_and_task_groups_leave_the_pool_whole(
    library: Any, server: LoopbackServer
) -> None:
    """What users put around a fetch: their own time limits, and a group in which another fails."""
    server.on("/slow", Reply().hang())

    async def fail() -> None:
        await asyncio.sleep(0.003)
        raise ValueError

    async def fetch_in_group(fetcher: Fetcher) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(7):
                group.create_task(fetcher.fetch(server.url("/slow")))
            group.create_task(fail())

    async def use(client: Any) -> None:
        async with Fetcher(client, concurrency=5, retry=None) as fetcher:
            for _ in range(8):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(fetcher.fetch_many([server.url("/slow")] * 9), 0.003)
                with pytest.raises(ExceptionGroup):
                    await fetch_in_group(fetcher)

    async with new_client(library) as client:
        # In a task of its own: asyncio.TaskGroup of CPython 3.11 may leave a cancellation counted
        # on its task, and anyio's scopes around it would take that for a real one.
        await asyncio.ensure_future(use(client))
        await assert_serves(client, server)


@pytest.mark.asyncio_only
async def test_places_that_other_code_lost_are_found_again(server: LoopbackServer) -> None:
    """A client that its owner has used under native cancellation serves our batch after all."""
    server.on("/slow", Reply().hang())
    async with new_client(httpx, timeout=httpx.Timeout(5, pool=0.05)) as client:
        for turns in range(1, 40):
            tasks = [asyncio.ensure_future(client.get(server.url("/slow"))) for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        lost = sum(not each.is_idle() for each in client._transport._pool.connections)
        async with Fetcher(client, concurrency=5, retry=None) as fetcher:
            results = await fetcher.fetch_many([server.url("/well")] * 20)

    assert lost, "the defect is gone: this test and the cure have lost their reason"
    assert results.failures == []


async def test_two_fetchers_on_one_client_stay_within_its_pool(
    library: Any, server: LoopbackServer
) -> None:
    """They share one gate, so that nobody queues inside the pool, where time-outs tick."""
    server.on("/slow", Reply().delayed(0.01))
    most = 0

    async with new_client(library, timeout=library.Timeout(5, pool=0.001)) as client:

        async def count(_: Any) -> None:
            nonlocal most
            most = max(most, len(client._transport._pool._requests))

        client.event_hooks = {"request": [count]}
        outcomes: list[asyncbatch.Results] = []

        async def run() -> None:
            async with Fetcher(client, concurrency=5, retry=None) as fetcher:
                outcomes.append(await fetcher.fetch_many([server.url("/slow")] * 30))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(run)

    assert all(results.failures == [] for results in outcomes)
    assert 0 < most < 5  # before the hook's own request joins them


async def test_a_pool_that_other_code_has_filled_costs_no_try(
    library: Any, server: LoopbackServer
) -> None:
    """The request waits until there is room, although its attempts are used up."""
    server.on("/slow", Reply().hang())
    limits = library.Timeout(5, pool=0.01)
    results: list[asyncbatch.Result] = []

    async def fetch(client: Any, tries: anyio.Event) -> None:
        async def note(_: Any) -> None:
            tries.set()

        client.event_hooks = {"request": [note]}
        async with Fetcher(client, concurrency=5, retry=None) as fetcher:
            results.append(await fetcher.fetch(server.url("/well")))

    async with (
        new_client(library, timeout=limits) as client,
        anyio.create_task_group() as tasks,
        anyio.create_task_group() as fillers,
    ):
        for _ in range(5):
            fillers.start_soon(client.get, server.url("/slow"))
        await server.wait_until(lambda seen: seen.active == 5)
        tried = anyio.Event()
        tasks.start_soon(fetch, client, tried)
        await tried.wait()
        await anyio.sleep(0.03)  # past the pool's time limit, so that it has been refused
        fillers.cancel_scope.cancel()

    assert results[0].ok
    assert results[0].attempts == 1


async def test_connections_are_kept_beyond_twenty(server: LoopbackServer) -> None:
    """By default httpx keeps 20 of its connections, and closes others while more are asked for."""
    server.on("/slow", Reply(body=b"ok").delayed(0.01))

    async with Fetcher(concurrency=50, verify=TRUSTING) as fetcher:
        results = await fetcher.fetch_many([server.url("/slow")] * 200)

    assert results.failures == []
    assert server.statistics().connections <= 60


def lane_on(client: Any) -> ClientLane:
    """Return a lane as a fetcher makes one."""
    return ClientLane(
        client, binding_of(client), max_body=1000, follow_redirects=True, max_redirects=5
    )


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def test_responses_are_freed_without_the_garbage_collector(
    client: Any, server: LoopbackServer
) -> None:
    """In httpx 0.28 each response and its stream refer to each other."""
    server.on("/moved", Reply.redirect("/missing"))
    server.on("/missing", Reply(404))
    server.on("/gzip", Reply(body=b"text").gzipped())
    server.on("/cut", Reply(body=99).cut(body=9))
    server.on("/large", Reply(body=9999))
    attempter = Attempter(lane_on(client), TimeLimits(5, 5))
    watched: list[weakref.ref[Any]] = []

    with no_garbage_collection():
        for path in ("/", "/moved", "/missing", "/gzip", "/cut", "/large"):
            outcome = await attempter.run(
                server.url(path), deadline_at=None, clock=anyio.current_time
            )
            error = outcome.error
            if outcome.kind is FailureKind.status:
                error = status_error(outcome.response)
            watched += [weakref.ref(each) for each in (outcome.response, error) if each]
        del outcome, error
        left = [reference() for reference in watched]

    assert len(watched) == 8
    assert left == [None] * 8


async def test_a_response_from_memory_is_freed_too(library: Any) -> None:
    """As a mock gives it, body and all."""
    transport = library.MockTransport(lambda _: library.Response(200, text="made up"))
    async with library.AsyncClient(transport=transport) as client:
        attempter = Attempter(lane_on(client), TimeLimits(5, 5))
        with no_garbage_collection():
            outcome = await attempter.run(
                "http://x.test/", deadline_at=None, clock=anyio.current_time
            )
            assert outcome.response is not None
            response = weakref.ref(outcome.response)
            assert outcome.response.text == "made up"
            del outcome
            left = response()

    assert left is None


async def test_a_kept_failure_keeps_nothing_else_alive(
    library: Any, server: LoopbackServer
) -> None:
    """No frames but those of the caller's code that raised it: a million are kept in a batch."""
    server.on("/", Reply(body=99).cut(body=9))
    seen: list[weakref.ref[Any]] = []

    class Passenger:
        pass

    async def look(request: Any) -> None:
        passenger = Passenger()
        seen.append(weakref.ref(passenger))
        if request.url.path == "/refused":
            raise ValueError("refused")

    async with library.AsyncClient(verify=TRUSTING, event_hooks={"request": [look]}) as client:
        async with Fetcher(client, retry=None) as fetcher:
            results = await fetcher.fetch_many([server.url(), server.url("/refused")])
        errors = [failure.error for failure in results.failures]

    assert len(errors) == len(seen) == 2
    gc.collect()
    assert seen[0]() is None
    assert errors[0].__traceback__ is None
    assert [frame.f_code for frame, _ in walk_tb(errors[1].__traceback__)] == [look.__code__]
