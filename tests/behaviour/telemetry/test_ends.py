"""However an attempt ends, by a limit or by a cancellation, its span ends with it and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.trace import StatusCode

from asyncbatch import Fetcher, Request
from asyncbatch.testing import FakeClock, LoopbackServer, Reply
from tests.traced import Traced
from tests.waiting import until

pytestmark = pytest.mark.any_loop

WAYS: dict[str, Callable[[str], Any]] = {
    "text": lambda url: url,
    "post": lambda url: Request(url, "POST", json={}),
    "task": lambda url: Request(url, max_body=1000),
    "client lane": lambda url: Request(url, extensions={"a": "b"}),
}
SHORT = 0.05
SECOND = 1_000_000_000

ways = pytest.mark.parametrize("way", WAYS)
propagation = pytest.mark.parametrize("propagate", [(), ("*",)])


async def until_sent(server: LoopbackServer, count: int = 1) -> None:
    await server.wait_until(lambda seen: seen.requests >= count)


async def in_time(fetcher: Fetcher, requests: Any, batch_timeout: float | None) -> Any:
    """Fetch with so long a limit that the first request is begun; a busy machine needs more."""
    results = await fetcher.fetch_many(requests, batch_timeout=batch_timeout)
    while results[0].kind == "not_started":
        assert batch_timeout is not None
        batch_timeout *= 4
        assert batch_timeout < 100
        results = await fetcher.fetch_many(requests, batch_timeout=batch_timeout)
    return results


@ways
@propagation
@pytest.mark.parametrize("option", ["timeout", "deadline", "batch_timeout"])
async def test_a_limit_of_ours_is_named(
    server: LoopbackServer, traced: Traced, way: str, propagate: tuple[str, ...], option: str
) -> None:
    """Its kind is `timeout`, and its message names the limit."""
    options: dict[str, Any] = {"telemetry": traced.option(*propagate), "retry": None}
    batch_timeout = None
    if option == "batch_timeout":
        batch_timeout = SHORT
    else:
        options[option] = SHORT
    async with Fetcher(**options) as fetcher:
        request = WAYS[way](server.silent_url())
        (result,) = await in_time(fetcher, [request], batch_timeout)

    assert result.kind == "timeout"
    (span,) = traced.spans
    assert traced.told("error.type") == ["timeout"]
    assert span.status.status_code is StatusCode.ERROR
    named = {"timeout": "AttemptTimeout", "deadline": "DeadlineExceeded", "batch_timeout": "batch"}
    assert named[option] in (span.status.description or "")
    assert sum(point.count for point in traced.points()) == 1


@propagation
async def test_what_a_batch_has_no_time_for_has_no_span(
    server: LoopbackServer, traced: Traced, propagate: tuple[str, ...]
) -> None:
    """Only what was sent has one."""
    async with Fetcher(telemetry=traced.option(*propagate), concurrency=1) as fetcher:
        urls = [server.silent_url(f"/{n}") for n in range(3)]
        results = await in_time(fetcher, urls, SHORT)

    assert [result.kind for result in results] == ["timeout", "not_started", "not_started"]
    assert traced.told("url.full") == urls[:1]
    assert traced.told("error.type") == ["timeout"]


@propagation
async def test_a_single_request_without_time_has_a_span_if_it_was_sent(
    server: LoopbackServer, traced: Traced, propagate: tuple[str, ...]
) -> None:
    """It is a batch by itself."""
    async with Fetcher(telemetry=traced.option(*propagate)) as fetcher:
        result = await fetcher.fetch(server.silent_url(), batch_timeout=SHORT)

    assert traced.told("error.type") == ["timeout"] * (result.kind == "timeout")


@ways
@propagation
async def test_a_cancellation_is_named(
    server: LoopbackServer, traced: Traced, way: str, propagate: tuple[str, ...]
) -> None:
    """Of the task that waits for the batch."""
    server.on("/", Reply().delayed(1000))
    async with (
        Fetcher(telemetry=traced.option(*propagate)) as fetcher,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(fetcher.fetch_many, [WAYS[way](server.url()) for _ in range(3)])
        await until_sent(server, 3)
        tasks.cancel_scope.cancel()

    assert traced.told("error.type") == ["cancelled"] * 3
    assert {span.status.status_code for span in traced.spans} == {StatusCode.ERROR}


@ways
@propagation
@pytest.mark.parametrize("end", ["stream", "fetcher", "single"])
async def test_whatever_ends_early_leaves_no_span_open(
    server: LoopbackServer, traced: Traced, way: str, propagate: tuple[str, ...], end: str
) -> None:
    """A stream that is left, a fetcher that closes, a single request that is cancelled."""
    server.on("/slow", Reply().delayed(1000))
    request = WAYS[way](server.url("/slow"))
    option = traced.option(*propagate)
    async with anyio.create_task_group() as tasks, Fetcher(telemetry=option) as fetcher:
        if end == "stream":
            async with fetcher.stream([request]):
                await until_sent(server)
        elif end == "single":
            tasks.start_soon(fetcher.fetch, request)
            await until_sent(server)
            tasks.cancel_scope.cancel()
        else:
            tasks.start_soon(_ignoring_errors, fetcher, request)
            await until_sent(server)

    assert traced.told("error.type") == ["cancelled"]


async def _ignoring_errors(fetcher: Fetcher, request: Any) -> None:
    with pytest.raises(RuntimeError):
        await fetcher.fetch_many([request])


@pytest.mark.parametrize("way", ["text", "client lane"])
@propagation
async def test_an_end_within_a_body_is_told_with_the_status(
    server: LoopbackServer, traced: Traced, way: str, propagate: tuple[str, ...]
) -> None:
    """The head had come."""
    server.on("/", Reply(body=1000).hang(body=10))
    option, came = traced.option(*propagate), anyio.Event()

    async def note(response: httpx.Response) -> None:
        came.set()

    hooks = {"response": [note]}
    fetching = Fetcher(telemetry=option, event_hooks=hooks)
    async with anyio.create_task_group() as tasks, fetching as fetcher:
        tasks.start_soon(fetcher.fetch_many, [WAYS[way](server.url())])
        await came.wait()
        tasks.cancel_scope.cancel()

    assert traced.told("error.type") == ["cancelled"]
    assert traced.told("http.response.status_code") == [200]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_pause_belongs_to_no_span(anyio_backend: str, traced: Traced) -> None:
    """Between a 429 and the next try nothing is sent."""
    answers = [httpx.Response(429, headers={"retry-after": "30"}), httpx.Response(200)]
    mock = httpx.MockTransport(lambda _: answers.pop(0))
    with FakeClock():
        async with Fetcher(telemetry=traced.option(), transport=mock) as fetcher:
            (await fetcher.fetch("http://example.org/")).unwrap()

    first, second = traced.spans
    assert (first.end_time or 0) - (first.start_time or 0) < SECOND
    assert (second.start_time or 0) - (first.end_time or 0) >= 30 * SECOND


async def test_an_error_that_ends_the_batch_ends_its_spans(
    server: LoopbackServer, traced: Traced
) -> None:
    """As an interruption that comes out of the input."""
    server.on("/", Reply().delayed(1000))
    sent = 0

    async def urls() -> Any:
        nonlocal sent
        yield server.url()
        await until_sent(server)
        sent = server.statistics().requests
        raise KeyboardInterrupt

    async with Fetcher(telemetry=traced.option("*")) as fetcher:
        with pytest.raises(KeyboardInterrupt):
            await fetcher.fetch_many(urls())

    await until(lambda: sent == 1)
    assert traced.told("error.type") == ["cancelled"]


async def test_a_mock_that_is_cancelled_ends_its_span(traced: Traced) -> None:
    """In the client lane, on any transport."""
    reached = anyio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        reached.set()
        await anyio.sleep_forever()
        raise AssertionError

    transport = httpx.MockTransport(handle)
    async with (
        Fetcher(telemetry=traced.option(), transport=transport) as fetcher,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(fetcher.fetch_many, ["http://example.org/"])
        await reached.wait()
        tasks.cancel_scope.cancel()

    assert traced.told("error.type") == ["cancelled"]
