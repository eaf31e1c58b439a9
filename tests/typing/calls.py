"""Type-checked only: what the entry points take and return."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Unpack, assert_type

import httpx

import asyncbatch
from asyncbatch import (
    Failure,
    FailureKind,
    Fetcher,
    FetcherOptions,
    HostLimits,
    Progress,
    Rate,
    Request,
    RequestLike,
    Requests,
    Result,
    Results,
    ResultStream,
    Retry,
    Summary,
)
from asyncbatch.telemetry import OpenTelemetry


def urls() -> Iterator[str]:
    yield "https://example.org/"


async def requests() -> AsyncIterator[Request]:
    yield Request("https://example.org/", tag=1)


async def accept_every_kind_of_input() -> None:
    url = httpx.URL("https://example.org/")
    assert_type(await asyncbatch.fetch_many(["https://example.org/"]), Results)
    assert_type(await asyncbatch.fetch_many([url]), Results)
    assert_type(await asyncbatch.fetch_many((httpx.Request("GET", url),)), Results)
    assert_type(await asyncbatch.fetch_many(["https://example.org/", url, Request(url)]), Results)
    assert_type(await asyncbatch.fetch_many(urls()), Results)
    assert_type(await asyncbatch.fetch_many(requests()), Results)


async def accept_the_requests_of_failures(results: Results) -> None:
    await asyncbatch.fetch_many([failure.request for failure in results.failures])


def report(progress: Progress) -> None: ...


def check(response: httpx.Response) -> None: ...


def when(failure: Failure) -> bool | float | None:
    return 2.0 if failure.status_code == 409 else None


Retry(when=when)
Retry(when=lambda failure: failure.kind is FailureKind.callback)


async def accept_every_option() -> None:
    await asyncbatch.fetch_many(
        urls(),
        batch_timeout=60,
        concurrency=50,
        per_host=2,
        rate=Rate(20),
        total_rate=Rate(100, per=60.0),
        hosts={"*.example.org": HostLimits(per_host=2, rate=Rate(1), timeout=5.0)},
        retry=Retry(attempts=4),
        timeout=httpx.Timeout(10.0, connect=2.0),
        connect_timeout=5,
        deadline=90.0,
        follow_redirects=False,
        max_redirects=5,
        max_body=None,
        minimum_rate=512,
        check=check,
        give_up_host_after=None,
        progress=report,
        telemetry=OpenTelemetry(propagate=["*.example.org"]),
        headers={"user-agent": "me"},
        auth=("user", "password"),
        base_url="https://example.org/",
        verify=False,
    )
    Fetcher(httpx.AsyncClient(), concurrency=1, retry=None, progress="rich")
    Request(
        "https://example.org/",
        "POST",
        headers=[("accept", "*/*")],
        params={"page": 1},
        json={"a": [1]},
        auth=None,
        timeout=None,
        deadline=5,
        retry=Retry(attempts=2),
        max_body=None,
        tag=object(),
    )


async def refuse_wrong_options() -> None:
    await asyncbatch.fetch_many(urls(), concurency=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await asyncbatch.fetch_many(urls(), concurrency="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await asyncbatch.fetch_many(urls(), telemetry=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await asyncbatch.fetch_many(urls(), progress="bar")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Fetcher(rate=20)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Fetcher(batch_timeout=1.0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Request("https://example.org/", tags=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def fetch_pages(requests: Requests, **options: Unpack[FetcherOptions]) -> Results:
    return await asyncbatch.fetch_many(requests, **options)


async def wrap_with_every_option(request: RequestLike) -> None:
    assert_type(await fetch_pages([request], concurrency=5, headers={"a": "b"}), Results)
    assert_type(await fetch_pages(iter([request])), Results)
    await fetch_pages([request], concurency=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(asyncbatch.__version__, str)


async def refuse_a_single_request() -> None:
    request = Request("https://example.org/")
    await asyncbatch.fetch_many(request)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def use_a_fetcher() -> None:
    async with Fetcher(concurrency=10) as fetcher:
        assert_type(fetcher, Fetcher)
        assert_type(fetcher.client, httpx.AsyncClient)
        assert_type(await fetcher.fetch("https://example.org/", batch_timeout=2), Result)
        assert_type(await fetcher.fetch_many(urls(), batch_timeout=None), Results)
        async with fetcher.stream(requests(), ordered=True, backlog=10) as results:
            async for result in results:
                assert_type(result, Result)
            assert_type(results, ResultStream)
            assert_type(results.summary(), Summary)
