"""`Fetcher`: its results, its streams, its life, and what its batches share."""

from __future__ import annotations

import gc
import itertools
import warnings
import weakref
from collections.abc import Iterable

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, FetcherClosed, Rate, Request, Result, Retry
from asyncbatch._schedule import Schedule
from asyncbatch.testing import Fault, FaultTransport, LoopbackServer, Reply
from tests.transports import SLACK, HeldTransport, mock, run_virtually, settle, texts, urls

pytestmark = pytest.mark.any_loop

# Results


async def test_fetch_many_returns_one_result_each_in_input_order(server: LoopbackServer):
    """Whatever the order of completion, result n belongs to request n."""
    server.on("/slow", Reply(body=b"slow").delayed(0.02))
    items = [Request(server.url("/slow" if n == 0 else f"/{n}"), tag=n) for n in range(30)]
    async with Fetcher(concurrency=4) as fetcher:
        results = await fetcher.fetch_many(items)

    assert [result.index for result in results] == list(range(30))
    assert [result.request for result in results] == items
    assert [result.request.tag for result in results] == list(range(30))
    assert server.statistics().requests == 30
    assert server.statistics().peak_connections <= 4


async def test_a_stream_yields_in_order_of_completion():
    """What is answered first comes first."""
    transport = HeldTransport()
    send, receive = anyio.create_memory_object_stream[str](2)

    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/0":
            await receive.receive()
        return httpx.Response(200, text=request.url.path)

    transport = httpx.MockTransport(handle)
    async with Fetcher(transport=transport) as fetcher, fetcher.stream(urls(3)) as results:
        first = {(await anext(results)).text for _ in range(2)}
        send.send_nowait("go")
        last = (await anext(results)).text

    assert first == {"/1", "/2"}
    assert last == "/0"
    send.close()
    receive.close()


async def test_an_ordered_stream_yields_in_input_order():
    """With `ordered=True` the results come as the requests did."""
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=10)
    async with fetcher, fetcher.stream(urls(50), ordered=True) as results:
        transport.let_go(50)

        assert await texts(results) == [f"/{number}" for number in range(50)]


@pytest.mark.parametrize("backlog", [1, 3, 10, 40])
async def test_the_backlog_bounds_what_nobody_consumes(backlog):
    """In flight and waiting for the consumer together, there are never more than `backlog`."""
    transport = HeldTransport()
    transport.let_go(1000)
    fetcher = Fetcher(transport=transport, concurrency=10)
    async with fetcher, fetcher.stream(urls(1000), backlog=backlog) as results:
        for consumed in range(20):
            await settle(60)

            assert len(transport.started) == backlog + consumed
            await anext(results)


@pytest.mark.parametrize("backlog", [1, 3, 10, 40])
async def test_the_backlog_bounds_an_ordered_stream(backlog):
    """With `ordered=True`, so many may be read and not consumed, be the first ever so slow."""
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=10)
    async with fetcher, fetcher.stream(iter(urls(1000)), ordered=True, backlog=backlog) as results:
        await settle(60)
        assert len(transport.started) == min(backlog, 10)

        transport.let_go(1000)
        for consumed in range(20):
            await settle(60)

            assert len(transport.started) == backlog + consumed
            assert (await anext(results)).index == consumed


async def test_several_tasks_may_share_the_results_of_a_stream():
    """Each result goes to one of them, and all of them see the end."""
    seen: list[str] = []
    transport = HeldTransport()

    async def consume() -> None:
        seen.extend(await texts(results))

    fetcher = Fetcher(transport=transport)
    async with fetcher, fetcher.stream(urls(20)) as results, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(consume)
        await settle()
        transport.let_go(20)

    assert sorted(seen) == sorted(f"/{number}" for number in range(20))


class Mine(Exception):
    """The consumer's own error."""


@pytest.mark.parametrize("way", ["break", "error", "cancel"])
async def test_leaving_a_stream_early_cancels_what_is_under_way(way):
    """A break, an error (which comes out as itself) and a cancellation end all requests."""
    transport = HeldTransport()

    async def consume(fetcher: Fetcher) -> None:
        async with fetcher.stream(urls(100)) as results:
            await anext(results)
            if way == "error":
                raise Mine
            if way == "cancel":
                scope.cancel()
                await anyio.sleep_forever()

    async with Fetcher(transport=transport, concurrency=10) as fetcher:
        transport.let_go(1)
        with anyio.CancelScope() as scope:
            if way == "error":
                with pytest.raises(Mine):
                    await consume(fetcher)
            else:
                await consume(fetcher)

        assert scope.cancelled_caught == (way == "cancel")
        assert transport.active == 0
        assert fetcher.statistics().in_flight == 0
        assert fetcher.statistics().hosts == 0
        assert fetcher.statistics().batches == 0


async def test_reading_on_after_leaving_a_stream_is_an_error():
    """Its results would look like all there are."""
    async with Fetcher(transport=mock()) as fetcher:
        async with fetcher.stream(urls(10)) as results:
            await anext(results)

        with pytest.raises(RuntimeError, match="read its results inside the async with"):
            await anext(results)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_stream_has_a_summary_while_it_runs_and_after(
    ordered: bool, server: LoopbackServer
):
    """Of the results that were taken, and so of all of them in the end."""
    server.on("/gone", Reply(404))
    urls = [server.url("/gone" if n % 3 == 0 else "/") for n in range(30)]
    async with Fetcher() as fetcher:
        async with fetcher.stream(urls, ordered=ordered) as results:
            assert results.summary().total == 0
            counts = [results.summary().total async for _ in results]
            inside = results.summary()
        after = results.summary()

    assert counts == list(range(1, 31))
    assert (after.total, after.succeeded, dict(after.kinds)) == (30, 20, {"status": 10})
    assert after == inside
    assert after.duration > 0
    assert after.phases["wait"].count == 30


def test_the_summary_of_a_stream_tells_how_long_its_batch_took(virtual):
    """Neither what came before it nor what came after counts."""

    async def main() -> None:
        transport = FaultTransport(faults=[Fault.latency(2.0)])
        async with Fetcher(transport=transport) as fetcher:
            stream = fetcher.stream(["http://host.test/"])
            await anyio.sleep(5.0)
            async with stream as results:
                await anyio.sleep(1.0)
                assert results.summary().duration == 1.0
                async for _ in results:
                    pass
                await anyio.sleep(5.0)
            assert results.summary().duration == 2.0
            async with fetcher.stream(["http://host.test/"]) as results:
                await anyio.sleep(0.5)
            await anyio.sleep(5.0)
            assert results.summary().duration == 0.5
            assert results.summary().total == 0

    virtual(main)


async def test_two_streams_at_once_share_the_slots():
    """Together they stay within `concurrency`, and each gets all of its results."""
    transport = HeldTransport()
    transport.let_go(200)
    fetcher = Fetcher(transport=transport, concurrency=5)
    async with fetcher, fetcher.stream(urls(100)) as one, fetcher.stream(urls(100)) as other:
        first, second = await texts(one), await texts(other)

    assert sorted(first) == sorted(second) == sorted(f"/{number}" for number in range(100))
    assert transport.peak == 5


async def test_a_fetch_inside_a_stream_gets_its_turn():
    """Nested use does not wait for the stream around it, not even with one slot in all."""
    transport = HeldTransport()
    transport.let_go(1000)
    fetcher = Fetcher(transport=transport, concurrency=1)
    seen = []
    async with fetcher, fetcher.stream(urls(30), backlog=2) as results:
        async for result in results:
            inner = await fetcher.fetch(f"http://other.test{result.text}")
            assert inner.text == result.text
            seen.append(result.text)

    assert sorted(seen) == sorted(f"/{number}" for number in range(30))


@pytest.mark.usefixtures("wide_hosts")
async def test_a_thousand_tasks_may_fetch_at_once():
    """Single fetches share the slots, and what is read is told in `waiting`."""
    transport = HeldTransport()
    seen: list[str] = []

    async def fetch(url: str) -> None:
        seen.append((await fetcher.fetch(url)).text)

    async with Fetcher(transport=transport, concurrency=50) as fetcher:
        async with anyio.create_task_group() as tasks:
            for url in urls(1000):
                tasks.start_soon(fetch, url)
            await transport.wait_started(50)
            await settle()
            assert fetcher.statistics().in_flight == 50
            assert fetcher.statistics().waiting == 950
            transport.let_go(1000)
        assert fetcher.statistics().in_flight == 0

    assert transport.peak == 50
    assert len(set(seen)) == 1000


async def test_single_fetches_one_after_the_other_are_as_the_first(server: LoopbackServer):
    """Each with its own result, whatever became of those before, at the same time or not."""
    server.on("/e", lambda request: Reply(body=request.target.encode()))
    server.on("/busy", Reply(503), Reply(body=b"busy"))
    server.on("/404", Reply(404))
    retry = Retry(attempts=2, backoff=0.001, budget=None, pause_hosts=False)
    async with Fetcher(concurrency=3, retry=retry) as fetcher:
        for number in range(3):
            results = [None] * 8

            async def fetch(place: int, number: int = number, results: list = results) -> None:
                path = "/404" if place == 3 else f"/busy?{number}" if place == 5 else f"/e?{place}"
                results[place] = await fetcher.fetch(server.url(path))

            async with anyio.create_task_group() as tasks:
                for place in range(8):
                    tasks.start_soon(fetch, place)
            rejected = await fetcher.fetch("no url")

            texts_seen = [result.text for result in results if result.ok]
            assert texts_seen == ["/e?0", "/e?1", "/e?2", "/e?4", "busy", "/e?6", "/e?7"]
            assert results[3].status_code == 404
            assert rejected.kind == "invalid_request"
            assert {result.index for result in results} == {0}
            assert [result.attempts for result in results] == [1] * 5 + [2, 1, 1]
        assert fetcher.statistics().batches == fetcher.statistics().in_flight == 0
    with pytest.raises(FetcherClosed):
        await fetcher.fetch(server.url("/e"))


async def test_a_fetcher_keeps_nothing_of_a_single_fetch(server: LoopbackServer):
    """Neither the request nor the result, though what they were made by serves again."""

    class Tag:
        pass

    server.on("/404", Reply(404))
    async with Fetcher() as fetcher:
        for path in ("/", "/404"):
            tag = Tag()
            result = await fetcher.fetch(Request(server.url(path), tag=tag))
            gone = [weakref.ref(tag), weakref.ref(result)]
            del tag, result
            gc.collect()

            assert [ref() for ref in gone] == [None, None]


async def test_results_of_a_batch_do_not_wait_for_the_garbage_collector():
    """They may be gigabytes: all of them go when the caller lets go of them."""

    # In frames of their own: what looks for blocking calls keeps the variables of those it has
    # seen, and since Python 3.12 a comprehension has none of its own.
    def references(results: Iterable[Result]) -> list[weakref.ref[Result]]:
        return [weakref.ref(result) for result in results]

    async def fetch_and_forget() -> list[weakref.ref[Result]]:
        return references(await fetcher.fetch_many(urls(20)))

    async with Fetcher(transport=mock()) as fetcher:
        gc.collect()
        gc.disable()
        try:
            gone = await fetch_and_forget()
            left = [number for number, ref in enumerate(gone) if ref() is not None]
        finally:
            gc.enable()

    assert len(gone) == 20
    assert not left


async def test_a_long_batch_does_not_starve_a_short_one():
    """Slots pass between batches: the short one ends long before the long one."""
    transport = HeldTransport()
    done: list[str] = []

    async def run(name: str, count: int) -> None:
        await fetcher.fetch_many(urls(count))
        done.append(f"{name} after {len(transport.started)}")

    fetcher = Fetcher(transport=transport, concurrency=4)
    async with fetcher, anyio.create_task_group() as tasks:
        tasks.start_soon(run, "long", 400)
        await transport.wait_started(4)
        tasks.start_soon(run, "short", 8)
        await settle()
        transport.let_go(1000)

    assert done[0].startswith("short")
    assert int(done[0].split()[-1]) < 60


async def test_a_fetch_of_something_else_is_refused():
    """A list, or anything that is no request, is a TypeError that names `fetch_many`."""
    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(TypeError, match="use fetch_many"):
            await fetcher.fetch(["http://host.test/"])  # type: ignore[arg-type]


async def test_what_a_transport_raises_beyond_exceptions_is_raised_as_itself():
    """A test's own failure inside a mock is no request's failure, and comes in no group."""

    class Stop(BaseException):
        pass

    def stop(request: httpx.Request) -> httpx.Response:
        raise Stop

    async with Fetcher(transport=httpx.MockTransport(stop)) as fetcher:
        with pytest.raises(Stop):
            await fetcher.fetch_many(urls(5))
        with pytest.raises(Stop):
            await fetcher.fetch("http://host.test/")
        assert fetcher.statistics().in_flight == 0


# Life


async def test_a_fetcher_that_is_not_open_says_so():
    """Before it is entered, after it was left, and when it is entered again."""
    fetcher = Fetcher(transport=mock())
    with pytest.raises(FetcherClosed, match="open it first: async with"):
        await fetcher.fetch("http://host.test/")
    async with fetcher:
        pass
    with pytest.raises(FetcherClosed, match="is closed"):
        await fetcher.fetch_many([])
    with pytest.raises(FetcherClosed, match="make a new one"):
        await fetcher.__aenter__()


async def test_leaving_a_fetcher_that_was_never_entered_closes_its_client():
    """As the client itself does then."""
    fetcher = Fetcher(transport=mock())
    await fetcher.__aexit__(None, None, None)

    assert fetcher.client.is_closed
    assert repr(fetcher).startswith("<Fetcher: closed")


def test_a_fetcher_of_another_loop_says_so():
    """Its client belongs to the event loop in which it was entered."""
    fetcher = Fetcher(transport=mock())
    anyio.run(fetcher.__aenter__)

    async def use() -> None:
        with pytest.raises(FetcherClosed, match="another event loop"):
            await fetcher.fetch("http://host.test/")
        await fetcher.__aexit__(None, None, None)

    anyio.run(use)


@pytest.mark.usefixtures("wide_hosts")
async def test_closing_ends_the_batches_under_way():
    """Whoever waits for one gets `FetcherClosed`, at once."""
    transport = HeldTransport()
    errors: list[str] = []
    fetcher = await Fetcher(transport=transport).__aenter__()

    async def run(name: str) -> None:
        try:
            if name == "fetch":
                await fetcher.fetch("http://host.test/")
            elif name == "fetch_many":
                await fetcher.fetch_many(urls(5))
            else:
                async with fetcher.stream(urls(5)) as results:
                    await anext(results)
        except FetcherClosed:
            errors.append(name)

    async with anyio.create_task_group() as tasks:
        for name in ("fetch", "fetch_many", "stream"):
            tasks.start_soon(run, name)
        await transport.wait_started(11)
        await fetcher.__aexit__(None, None, None)
        assert transport.active == 0

    assert sorted(errors) == ["fetch", "fetch_many", "stream"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_closing_is_told_to_batches_that_had_no_slot_yet(is_async):
    """Having read nothing, or nothing more, they are not mistaken for batches at their end."""
    transport = HeldTransport()
    told: list[str] = []

    async def source():
        await anyio.sleep_forever()
        yield

    async def hold():
        await fetcher.fetch_many(urls(1))

    async def fetch_many():
        await fetcher.fetch_many(source() if is_async else urls(5))

    async def stream():
        async with fetcher.stream(source() if is_async else urls(5)) as results:
            async for _ in results:
                pass

    async def expect(call):
        with pytest.raises(FetcherClosed, match="was closed while the batch was running"):
            await call()
        told.append(call.__name__)

    fetcher = Fetcher(transport=transport, concurrency=1)
    async with anyio.create_task_group() as tasks, fetcher:
        tasks.start_soon(expect, hold)
        await transport.wait_started(1)
        tasks.start_soon(expect, fetch_many)
        tasks.start_soon(expect, stream)
        await anyio.wait_all_tasks_blocked()

    assert sorted(told) == ["fetch_many", "hold", "stream"]


async def test_closing_closes_our_client_and_not_the_callers():
    """A client that was given stays open."""
    async with Fetcher(transport=mock()) as fetcher:
        pass
    assert fetcher.client.is_closed

    async with httpx.AsyncClient(transport=mock()) as client:
        async with Fetcher(client) as fetcher:
            await fetcher.fetch("http://host.test/")
        assert not client.is_closed


async def test_a_closed_client_is_refused():
    """Opening a fetcher over it says so, before anything is tried."""
    client = httpx.AsyncClient(transport=mock())
    await client.aclose()

    with pytest.raises(FetcherClosed, match="client of this fetcher is closed"):
        await Fetcher(client).__aenter__()


async def test_a_fetcher_that_was_never_closed_warns():
    """When it is collected as garbage, as files and sockets do."""
    fetcher = await Fetcher(transport=mock()).__aenter__()
    await fetcher.fetch("http://host.test/")

    fetchers = [fetcher]
    del fetcher
    with pytest.warns(ResourceWarning, match="unclosed <Fetcher: open, concurrency=100>"):
        fetchers.clear()


async def test_a_fetcher_that_was_closed_or_never_opened_does_not_warn():
    """Nor does one over a client of the caller's, who closes that himself."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with Fetcher(transport=mock()):
            pass
        Fetcher(transport=mock())
        client = httpx.AsyncClient(transport=mock())
        await Fetcher(client).__aenter__()
        gc.collect()
    await client.aclose()


async def test_statistics_tell_what_is_going_on():
    """Batches, slots in use, requests that wait, and hosts that are remembered."""
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=5, per_host=2)
    async with fetcher:
        async with fetcher.stream(urls(10)) as results:
            await transport.wait_started(2)
            await settle()
            seen = fetcher.statistics()
            assert (seen.batches, seen.in_flight, seen.waiting) == (1, 2, 8)
            assert (seen.hosts, seen.concurrency) == (1, 5)
            transport.let_go(10)
            await texts(results)
        seen = fetcher.statistics()

    assert (seen.batches, seen.in_flight, seen.waiting, seen.hosts) == (0, 0, 0, 0)


# What time does


@pytest.fixture(params=["asyncio", "trio"])
def virtual(request: pytest.FixtureRequest):
    """Run a function under virtual time."""
    return lambda function: run_virtually(request.param, function)


def test_no_time_limit_runs_while_a_request_queues(virtual):
    """50 requests of 1 s each through one slot: none runs into `timeout` or `deadline` of 2 s."""

    async def main():
        async with LoopbackServer(default=Reply().delayed(1)) as server:
            fetcher = Fetcher(concurrency=1, timeout=2, deadline=2, retry=None)
            async with fetcher:
                return await fetcher.fetch_many([server.url(f"/{n}") for n in range(50)])

    results = virtual(main)

    assert not results.failures
    assert results.duration == pytest.approx(50, abs=0.5)
    assert max(result.elapsed for result in results) == pytest.approx(1, abs=SLACK)


def test_a_single_fetch_counts_its_wait_for_a_slot_as_queued(virtual):
    """`queued` is the time without a slot, and no part of `elapsed`."""

    async def main():
        results = []

        async def fetch(url: str) -> None:
            results.append(await fetcher.fetch(url))

        server, fetcher = LoopbackServer(default=Reply().delayed(1)), Fetcher(concurrency=1)
        async with server, fetcher, anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(fetch, server.url(f"/{number}"))
        return sorted(results, key=lambda result: result.timing.queued)

    results = virtual(main)

    assert [r.timing.queued for r in results] == pytest.approx([0, 1, 2], abs=SLACK)
    assert [r.timing.throttled for r in results] == [0, 0, 0]
    assert [r.elapsed for r in results] == pytest.approx([1, 1, 1], abs=SLACK)


def test_waiting_for_a_limit_counts_as_throttled(virtual):
    """A host's cap and its rate make `throttled`, not `queued`."""

    async def main():
        async with LoopbackServer(default=Reply().delayed(1)) as server:
            targets = [server.url(f"/{number}") for number in range(3)]
            async with Fetcher(per_host=1) as capped:
                by_cap = await capped.fetch_many(targets)
            async with Fetcher(rate=Rate(1, per=5)) as limited:
                by_rate = await limited.fetch_many(targets)
            return by_cap, by_rate

    by_cap, by_rate = virtual(main)

    assert [r.timing.throttled for r in by_cap] == pytest.approx([0, 1, 2], abs=SLACK)
    assert [r.timing.throttled for r in by_rate] == pytest.approx([0, 5, 10], abs=SLACK)
    assert [r.timing.queued for r in (*by_cap, *by_rate)] == pytest.approx([0] * 6, abs=SLACK)
    for result in (*by_cap, *by_rate):
        assert sum(seconds for _, seconds in result.timing.phases()) <= result.elapsed + 1e-9


def test_a_refusal_behind_a_redirect_pauses_the_host_that_said_it(virtual):
    """What is asked of it directly waits as well; others do not."""

    async def main():
        async with LoopbackServer(hosts=3) as server:
            server.on("/go", Reply.redirect(server.url("/busy", host=2)), host=1)
            server.on("/busy", Reply(429).retry_after(10), host=2)
            async with Fetcher(retry=Retry(attempts=1)) as fetcher:
                refused = await fetcher.fetch(server.url("/go"))
                others = [await fetcher.fetch(server.url("/", host=host)) for host in (3, 2)]
        return refused, *others

    refused, other, paused = virtual(main)

    assert refused.status_code == 429
    assert other.timing.throttled == 0
    assert paused.timing.throttled == pytest.approx(10, abs=SLACK)


def test_a_retry_holds_no_slot_and_a_paused_host_pauses_no_other(virtual):
    """With one slot, one host that asks for 10 s lets the other be fetched meanwhile."""

    async def main():
        async with LoopbackServer(hosts=2, default=Reply(body=b"ok")) as server:
            server.on("/busy", Reply(429).retry_after(10), Reply(body=b"at last"), host=1)
            targets = [server.url("/busy"), server.url("/same host")]
            targets += [server.url(f"/{number}", host=2) for number in range(5)]
            fetcher = Fetcher(concurrency=1)
            async with fetcher, fetcher.stream(targets) as results:
                return [result async for result in results]

    results = virtual(main)

    order = [result.index for result in results]
    assert set(order[:5]) == {2, 3, 4, 5, 6}
    assert all(result.ok for result in results)
    busy = next(result for result in results if result.index == 0)
    same = next(result for result in results if result.index == 1)
    assert busy.attempts == 2
    assert busy.history[0].status_code == 429
    assert busy.history[0].delay == pytest.approx(10)
    assert busy.timing.throttled == pytest.approx(10, abs=SLACK)
    assert busy.elapsed == pytest.approx(10, abs=SLACK)
    assert same.timing.throttled == pytest.approx(10, abs=SLACK)


def test_a_deadline_spans_the_retries(virtual):
    """It begins at the first admission, and no try is begun or goes on behind it."""

    async def main():
        async with LoopbackServer(default=Reply(503).delayed(1)) as server:
            retry = Retry(attempts=50, backoff=4, backoff_max=4)
            async with Fetcher(deadline=10, retry=retry) as fetcher:
                return await fetcher.fetch(server.url("/"))

    result = virtual(main)

    assert not result.ok
    assert result.attempts > 1
    assert result.elapsed <= 10 + 1e-6


@pytest.mark.parametrize("slow", [False, True], ids=["quick consumer", "slow consumer"])
@pytest.mark.parametrize("ordered", [False, True])
def test_a_batch_timeout_gives_every_request_of_a_list_a_result(virtual, ordered, slow):
    """In flight: `timeout`. Not begun: `not_started`. A slow consumer gets them all too."""

    async def main():
        async with LoopbackServer(default=Reply().delayed(1)) as server:
            targets = [server.url(f"/{number}") for number in range(300)]
            seen = []
            fetcher = Fetcher(concurrency=10)
            async with (
                fetcher,
                fetcher.stream(targets, batch_timeout=2.5, ordered=ordered, backlog=40) as results,
            ):
                async for result in results:
                    seen.append(result)
                    if slow:
                        await anyio.sleep(0.01)
            return seen

    seen = virtual(main)

    assert sorted(result.index for result in seen) == list(range(300))
    if ordered:
        assert [result.index for result in seen] == list(range(300))
    kinds = [None if result.ok else result.kind.value for result in seen]
    assert kinds.count(None) == 20
    assert kinds.count("timeout") == 10
    assert kinds.count("not_started") == 270


def test_a_batch_timeout_ends_fetch_many(virtual):
    """Of a list all requests have results; of an iterator those that had been read."""

    async def main():
        async with LoopbackServer(default=Reply().hang()) as server:
            targets = [server.url(f"/{number}") for number in range(100)]
            async with Fetcher(concurrency=10) as fetcher:
                of_list = await fetcher.fetch_many(targets, batch_timeout=3)
                of_iterator = await fetcher.fetch_many(iter(targets), batch_timeout=3)
                of_nothing = await fetcher.fetch_many([], batch_timeout=3)
                assert fetcher.statistics().in_flight == 0
                return of_list, of_iterator, of_nothing

    of_list, of_iterator, of_nothing = virtual(main)

    assert len(of_list) == 100
    assert of_list.duration == pytest.approx(3, abs=SLACK)
    assert [f.kind.value for f in of_list.failures] == ["timeout"] * 10 + ["not_started"] * 90
    assert [f.kind.value for f in of_iterator.failures] == ["timeout"] * 10
    assert len(of_nothing) == 0


def test_a_retry_is_started_in_time_while_other_requests_are_under_way(virtual):
    """A worker that goes on to a long request does not let the retry of the last one oversleep."""

    async def main():
        async with LoopbackServer(hosts=3, default=Reply().delayed(30)) as server:
            server.on("/flaky", Reply(500), Reply(), host=2)
            targets = [server.url("/"), server.url("/flaky", host=2), server.url("/", host=3)]
            async with Fetcher(concurrency=4, per_host=1) as fetcher:
                return await fetcher.fetch_many(targets)

    results = virtual(main)

    assert results[1].attempts == 2
    assert results[1].elapsed < 1


def test_single_fetches_whose_retries_wait_for_a_slot_all_end(virtual):
    """The end of one's rest, seen while it waits for a slot, is not forgotten over another's."""

    async def main():
        async with LoopbackServer(hosts=3) as server:
            for host, seconds in ((1, 3), (2, 1), (3, 2)):
                refusal = Reply(503).retry_after(seconds)
                server.on("/", refusal, Reply().delayed(3), host=host)
            results = []

            async def fetch(host):
                results.append(await fetcher.fetch(server.url("/", host=host)))

            async with Fetcher(concurrency=1) as fetcher:
                with anyio.move_on_after(100):
                    async with anyio.create_task_group() as tasks:
                        for host in (1, 2, 3):
                            tasks.start_soon(fetch, host)
            return results

    results = virtual(main)

    assert [result.attempts for result in results if result.ok] == [2, 2, 2]


def test_a_retry_that_no_result_has_room_for_does_not_keep_the_loop(virtual, monkeypatch):
    """Its rest ends while the consumer takes nothing; the dispatcher sleeps until he does."""
    looks = itertools.count()

    def wake_at(schedule):
        assert next(looks) < 1000, "it goes round in circles"
        return read(schedule)

    read = Schedule.wake_at.fget
    monkeypatch.setattr(Schedule, "wake_at", property(wake_at))

    async def main():
        async with LoopbackServer() as server:
            server.on("/flaky", Reply(500), Reply())
            targets = [server.url("/flaky"), server.url("/")]
            async with Fetcher() as fetcher, fetcher.stream(targets, backlog=1) as results:
                await anyio.sleep(10)
                return [(await anext(results)).attempts for _ in targets]

    assert virtual(main) == [1, 2]


def test_a_deadline_ends_a_request_that_waits_for_its_host(virtual):
    """On time, though nothing else happens then: another request has the host's one slot."""

    async def main():
        async with LoopbackServer() as server:
            server.on("/flaky", Reply(500).delayed(1))
            server.on("/hang", Reply().hang())
            fetcher = Fetcher(concurrency=4, per_host=1, deadline=5, retry=Retry(backoff=0.1))
            async with fetcher:
                return await fetcher.fetch_many([server.url("/flaky"), server.url("/hang")])

    flaky, hung = virtual(main)

    assert (flaky.kind, flaky.attempts) == ("timeout", 1)
    assert flaky.elapsed == pytest.approx(5, abs=SLACK)
    assert hung.elapsed == pytest.approx(5, abs=SLACK)
    assert hung.timing.throttled == pytest.approx(1, abs=SLACK)


@pytest.mark.parametrize("same_batch", [True, False])
def test_a_deadline_is_kept_while_all_slots_are_taken(virtual, same_batch):
    """On time, by whatever batch the slots are taken."""

    async def main():
        async with LoopbackServer(hosts=2) as server:
            server.on("/refused", Reply(503).delayed(0.9).retry_after(2))
            server.on("/hang", Reply().hang())
            later = []

            async def batch(*waits):
                yield server.url("/refused")
                for wait in waits:
                    await anyio.sleep(wait)
                    yield server.url("/hang", host=2)

            async def take_the_slot():
                await anyio.sleep(2.5)
                later.append(await fetcher.fetch(server.url("/hang", host=2)))

            fetcher = Fetcher(concurrency=1, deadline=3)
            async with fetcher, anyio.create_task_group() as tasks:
                if not same_batch:
                    tasks.start_soon(take_the_slot)
                return (await fetcher.fetch_many(batch(*[2.5] * same_batch)))[0]

    refused = virtual(main)

    assert refused.kind == "timeout"
    assert refused.elapsed == pytest.approx(3, abs=SLACK)


def test_a_host_that_asks_for_too_long_a_wait_ends_the_request(virtual):
    """Beyond `retry_after_max` the request fails, with the seconds asked for."""

    async def main():
        async with LoopbackServer() as server:
            server.on("/", Reply(429).retry_after(3600))
            async with Fetcher() as fetcher:
                return await fetcher.fetch(server.url("/"))

    result = virtual(main)

    assert result.kind == "retry_after"
    assert result.error.retry_after == 3600
    assert result.attempts == 1
    assert result.status_code == 429


def test_a_dead_host_fails_fast_and_no_other_does(virtual):
    """After `give_up_host_after` failed connections within some seconds the rest fail unsent."""

    async def main():
        async with LoopbackServer() as server:
            dead = [server.dead_url(f"/{number}") for number in range(20)]
            fetcher = Fetcher(concurrency=1, give_up_host_after=3, retry=Retry(attempts=1))
            async with fetcher:
                return await fetcher.fetch_many([*dead, server.url("/")])

    results = virtual(main)

    kinds = [failure.kind.value for failure in results.failures]
    tried = kinds.count("connect")
    assert kinds == ["connect"] * tried + ["host_down"] * (20 - tried)
    assert 3 <= tried <= 10
    assert results[-1].ok


def test_a_body_that_can_be_read_once_is_sent_once(virtual):
    """A request whose body is an iterator is not retried; one of bytes is."""

    async def main():
        async with LoopbackServer(default=Reply(503)) as server:

            async def body():
                yield b"once"

            once = Request(server.url("/once"), "PUT", content=body())
            again = Request(server.url("/again"), "PUT", content=b"again")
            async with Fetcher(retry=Retry(attempts=3)) as fetcher:
                results = await fetcher.fetch_many([once, again])
            return results, [request.path for request in server.requests]

    results, seen = virtual(main)

    assert [result.attempts for result in results] == [1, 3]
    assert sorted(seen) == ["/again", "/again", "/again", "/once"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_reopening_a_host_wakes_the_only_batch(backend: str):
    """Its requests start at that moment, not at the end of the pause that is over."""
    times: list[float] = []

    async def handle(_: httpx.Request) -> httpx.Response:
        times.append(anyio.current_time())
        refuses = len(times) == 1
        return httpx.Response(429 if refuses else 200, headers={"retry-after": "20"})

    async def main() -> None:
        transport = httpx.MockTransport(handle)
        async with Fetcher(transport=transport, concurrency=1, retry=Retry()) as fetcher:

            async def reopen() -> None:
                await anyio.sleep(5)
                assert fetcher.reopen("host.test")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(reopen)
                await fetcher.fetch_many(urls(3))

    run_virtually(backend, main)

    assert times[1] - times[0] == pytest.approx(5, abs=0.5)
