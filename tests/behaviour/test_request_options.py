"""The options of a single request: `batch_timeout` of `fetch`, `deadline`, `retry`, `max_body`."""

from __future__ import annotations

import inspect
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import FailureKind, Fetcher, Request, Retry, SyncFetcher
from asyncbatch.testing import LoopbackServer, Reply
from tests.served import lanes_of
from tests.transports import SLACK, HeldTransport, run_virtually

URL = "http://host.test/"


def slow(seconds: float, status: int = 200, **headers: str) -> httpx.MockTransport:
    """Answer after some seconds."""

    async def handle(request: httpx.Request) -> httpx.Response:
        await anyio.sleep(seconds)
        return httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return httpx.MockTransport(handle)


@pytest.fixture(params=["asyncio", "trio"])
def virtual(request: pytest.FixtureRequest):
    """Run a function under virtual time."""
    return lambda function: run_virtually(request.param, function)


# fetch(batch_timeout=)


def test_a_fetch_that_has_been_sent_ends_with_its_batch_timeout(virtual):
    """The failure names the limit; the server may have seen the request."""

    async def main():
        async with Fetcher(transport=slow(100)) as fetcher:
            return await fetcher.fetch(URL, batch_timeout=3)

    result = virtual(main)

    assert result.kind == FailureKind.timeout
    assert "batch_timeout=3" in str(result.error)
    assert result.elapsed == pytest.approx(3, abs=SLACK)


def test_a_fetch_that_waits_for_a_slot_or_a_pause_is_not_started(virtual):
    """Whatever it waits for, its caller gets an answer in time."""

    async def main():
        transport = HeldTransport()
        async with Fetcher(transport=transport, concurrency=1) as fetcher:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fetcher.fetch, URL)
                await transport.wait_started(1)
                waited = await fetcher.fetch(URL, batch_timeout=2)
                transport.let_go(1)
            free = await fetcher.fetch(URL, batch_timeout=2)
        return waited, free

    waited, cut = virtual(main)

    assert waited.kind == FailureKind.not_started
    assert waited.attempts == 0
    assert cut.kind == FailureKind.timeout


def test_a_fetch_waits_for_its_next_try_no_longer_than_its_batch_timeout(virtual):
    """The back-off counts too, and so does the pause of the host."""

    async def main():
        async with Fetcher(transport=slow(0, 503, retry_after="50")) as fetcher:
            return await fetcher.fetch(URL, batch_timeout=3)

    result = virtual(main)

    assert not result.ok
    assert result.elapsed <= 3.1


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "3", True])
async def test_a_batch_timeout_of_fetch_is_checked(wrong: Any):
    """By name and value."""
    async with Fetcher(transport=slow(0)) as fetcher:
        with pytest.raises((TypeError, ValueError), match="batch_timeout must be"):
            await fetcher.fetch(URL, batch_timeout=wrong)


def test_plain_code_has_the_batch_timeout_too():
    """`SyncFetcher.fetch` takes and checks it."""
    with SyncFetcher(transport=slow(0)) as fetcher:
        assert fetcher.fetch(URL, batch_timeout=30).ok
        with pytest.raises(ValueError, match="batch_timeout must be above 0"):
            fetcher.fetch(URL, batch_timeout=0)


# Request(deadline=)


def test_a_deadline_of_its_own_ends_a_request(virtual):
    """Longer or shorter than the fetcher's; `None` for none at all."""

    async def main():
        requests = [
            Request(URL, deadline=2),
            Request(URL),
            Request(URL, deadline=8),
            Request(URL, deadline=None),
        ]
        async with Fetcher(transport=slow(10), deadline=5, retry=None) as fetcher:
            return await fetcher.fetch_many(requests)

    results = virtual(main)

    assert [result.ok or str(result.error) for result in results] == [
        "Not finished within deadline=2 s",
        "Not finished within deadline=5 s",
        "Not finished within deadline=8 s",
        True,
    ]


def test_a_deadline_passes_while_all_slots_are_taken(virtual):
    """A request that waits for its next try ends on time, though no worker looks at it."""

    async def main():
        seen = 0

        async def handle(request: httpx.Request) -> httpx.Response:
            nonlocal seen
            seen += 1
            if request.url.path == "/fails" and seen == 1:
                return httpx.Response(500)
            await anyio.sleep(100)
            return httpx.Response(200)

        transport = httpx.MockTransport(handle)
        requests = [Request(URL + "fails", deadline=4), URL + "slow"]
        fetcher = Fetcher(transport=transport, concurrency=1, timeout=200)
        async with fetcher, fetcher.stream(requests) as stream:
            return [(result, anyio.current_time() - begun) async for result in stream]

    begun = 0.0

    async def timed():
        nonlocal begun
        begun = anyio.current_time()
        return await main()

    (first, at), _ = virtual(timed)

    assert first.kind == FailureKind.timeout
    assert at == pytest.approx(4, abs=SLACK)


# Request(retry=)


def test_a_policy_of_its_own_says_how_often_a_request_is_tried(virtual):
    """More, less or not at all, whatever the fetcher's says."""

    async def main():
        requests = [
            Request(URL, retry=None),
            Request(URL),
            Request(URL, retry=Retry(attempts=4, backoff=0)),
            Request(URL, "POST", retry=Retry(methods={"POST"}, backoff=0)),
        ]
        async with Fetcher(transport=slow(0, 500), retry=Retry(attempts=2)) as fetcher:
            return await fetcher.fetch_many(requests)

    assert [result.attempts for result in virtual(main)] == [1, 2, 4, 3]


def test_the_refusal_of_a_request_without_retries_pauses_nobody(virtual):
    """Of one gateway with many services, the one that refuses holds up no other."""

    async def main():
        async def handle(request: httpx.Request) -> httpx.Response:
            busy = request.url.path == "/busy"
            return httpx.Response(429 if busy else 200, headers={"retry-after": "50"})

        begun = anyio.current_time()
        async with Fetcher(transport=httpx.MockTransport(handle)) as fetcher:
            busy = await fetcher.fetch(Request(URL + "busy", retry=None))
            free = await fetcher.fetch(URL + "free")
        return busy, free, anyio.current_time() - begun

    busy, free, took = virtual(main)

    assert (busy.kind, busy.attempts) == (FailureKind.status, 1)
    assert free.ok
    assert took < 1


def test_the_limit_of_its_own_policy_is_the_one_that_the_error_names(virtual):
    """`retry_after_max` of the request, not of the fetcher."""

    async def main():
        async with Fetcher(transport=slow(0, 503, retry_after="30")) as fetcher:
            return await fetcher.fetch(Request(URL, retry=Retry(retry_after_max=20)))

    result = virtual(main)

    assert result.kind == FailureKind.retry_after
    assert result.error.limit == 20  # type: ignore[attr-defined]


# Request(max_body=)


@pytest.mark.parametrize("lane", ["direct", "client"])
@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_a_limit_of_its_own_bounds_the_body(
    lane: str, coding: str | None, server: LoopbackServer
):
    """Longer than the fetcher's, shorter, none, and 0; encoded or not, in both lanes."""
    reply = Reply(body=b"x" * 1000)
    server.on("/", reply.gzipped() if coding else reply)
    url = server.url("/")
    client = httpx.AsyncClient() if lane == "client" else None
    requests = [
        Request(url, max_body=999),
        Request(url, max_body=1000),
        Request(url, max_body=None),
        Request(url),
        Request(url, max_body=0),
    ]
    async with Fetcher(client, max_body=500) as fetcher:
        lanes = lanes_of(fetcher) if lane == "direct" else []
        results = await fetcher.fetch_many(requests)
    if client is not None:
        await client.aclose()

    assert [result.ok or result.kind for result in results] == [
        "too_large",
        True,
        True,
        "too_large",
        "too_large",
    ]
    assert "max_body=999" in str(results.failures[0].error)
    assert "max_body=500" in str(results.failures[1].error)
    assert set(lanes) <= {"direct"}


# All of them


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("deadline", 0),
        ("deadline", "5"),
        ("deadline", True),
        ("retry", 3),
        ("retry", Retry),
        ("max_body", -1),
        ("max_body", 1.5),
        ("max_body", False),
    ],
)
def test_a_wrong_option_of_a_request_is_told_at_once(option: str, value: Any):
    """By name and value, where it is made."""
    with pytest.raises((TypeError, ValueError), match=f"{option} must be") as caught:
        Request(URL, **{option: value})

    assert repr(value) in str(caught.value)


def test_a_signature_shows_that_the_default_is_the_fetchers():
    """And not the name of something that nobody can import."""
    parameters = inspect.signature(Request).parameters

    for name in ("timeout", "deadline", "retry", "max_body"):
        assert repr(parameters[name].default) == "<the fetcher's own>"


def test_a_request_with_options_is_sent_by_the_direct_lane():
    """Nobody pays httpx's price for a deadline."""

    async def main():
        async with LoopbackServer() as server, Fetcher() as fetcher:
            lanes = lanes_of(fetcher)
            request = Request(server.url("/"), deadline=5, retry=None, max_body=10_000)
            results = await fetcher.fetch_many([request, server.url("/"), request])
            assert not results.failures
            return lanes

    assert anyio.run(main) == ["direct"] * 3
