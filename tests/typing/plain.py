"""Type-checked only: the entry points without `await`."""

from __future__ import annotations

from typing import assert_type

import httpx

import asyncbatch
from asyncbatch import Rate, Result, Results, Statistics, Summary, SyncFetcher, SyncResultStream


def fetch_at_once() -> None:
    urls = ["https://example.org/"]
    assert_type(asyncbatch.fetch_many_sync(urls), Results)
    assert_type(asyncbatch.fetch_many_sync(urls, batch_timeout=60, rate=Rate(20)), Results)
    assert_type(asyncbatch.fetch_many_sync(urls, client=httpx.AsyncClient), Results)


def share_a_fetcher() -> None:
    with SyncFetcher(concurrency=10, headers={"user-agent": "me"}) as fetcher:
        assert_type(fetcher, SyncFetcher)
        assert_type(fetcher.fetch("https://example.org/"), Result)
        assert_type(fetcher.fetch_many(["https://example.org/"]), Results)
        assert_type(fetcher.statistics(), Statistics)
        for result in fetcher.stream(["https://example.org/"], ordered=True, backlog=10):
            assert_type(result, Result)


def look_at_the_figures(fetcher: SyncFetcher) -> None:
    stream = fetcher.stream(["https://example.org/"])
    assert_type(stream, SyncResultStream)
    assert_type(stream.summary(), Summary)


def refuse_a_client_of_another_loop() -> None:
    client = httpx.AsyncClient()
    SyncFetcher(client)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    asyncbatch.fetch_many_sync([], concurency=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def refuse_a_name_that_there_is_not() -> None:
    print(asyncbatch.fetch_most)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
