"""
asyncbatch as it is measured: the public API, and two of its parts on their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncbatch
from benchmarks.entrant import (
    AsyncUrls,
    Client,
    Fetch,
    Setting,
    Unavailable,
    WrongAnswer,
    httpx_options,
    pulling,
    through_httpx,
)
from benchmarks.workloads import COOKIE, POSTED, Way


def fetching(fetcher: asyncbatch.Fetcher, setting: Setting) -> Fetch:
    """
    Return a fetch by `fetch_many`, where every result is kept to the end, and checked.

    Large bodies are streamed: to keep gigabytes that no peer keeps would measure the kernel.
    """
    check, workload = checking(setting), setting.workload
    if workload.way == "single":
        return _single(fetcher, setting)
    asked: Callable[[Iterable[str]], Any] = _INPUTS.get(workload.way, iter)
    if workload.posts:
        asked = posting
    elif workload.kind == "batches":
        asked = list

    async def stream(urls: Iterable[str]) -> None:
        async with fetcher.stream(asked(urls), ordered=workload.way == "ordered") as results:
            async for result in results:
                check(result)

    if workload.is_large or workload.way == "ordered":
        return stream

    async def fetch(urls: Iterable[str]) -> None:
        for result in await fetcher.fetch_many(asked(urls)):
            check(result)

    return fetch


def _single(fetcher: asyncbatch.Fetcher, setting: Setting) -> Fetch:
    """Return a fetch by as many tasks as there are connections, a `fetch` call for each URL."""

    async def get(url: str) -> tuple[int, bytes]:
        result = await fetcher.fetch(url)
        return result.status_code or 0, result.content

    return pulling(get, setting)


def tagging(urls: Iterable[str]) -> Iterator[asyncbatch.Request]:
    """Yield a request with a tag of its own for each of the URLs."""
    return (asyncbatch.Request(url, tag=number) for number, url in enumerate(urls))


_INPUTS: dict[Way, Callable[[Iterable[str]], Any]] = {"async input": AsyncUrls, "tags": tagging}


async def _look(response: Any) -> None:
    assert response.status_code == 200


_OPTIONS: dict[Way, dict[str, Any]] = {
    "progress": {"progress": True},
    "rate": {"rate": asyncbatch.Rate(1_000_000, burst=1_000)},
    "deadline": {"deadline": 30.0},
    "cookie": {"cookies": dict([COOKIE])},
    "hook": {"event_hooks": {"response": [_look]}},
}
"""What a fetcher is given beside what all workloads give it."""


def posting(urls: Iterable[str]) -> Iterator[asyncbatch.Request]:
    """Yield a request that posts to each of the URLs."""
    for url in urls:
        yield asyncbatch.Request(url, "POST", json=POSTED, headers={"x-id": url[-6:]})


def checking(setting: Setting) -> Callable[[asyncbatch.Result], None]:
    """Return a function that raises `WrongAnswer` unless a result is what the server sent."""
    size, tail = len(setting.content), setting.tail
    start = -len(tail)

    def check(result: asyncbatch.Result) -> None:
        if not result.ok:
            raise WrongAnswer(repr(result)) from result.error
        body = result.content
        if result.status_code != 200 or len(body) != size or body[start:] != tail:
            raise WrongAnswer(repr(result))

    return check


def open_fetcher(setting: Setting) -> asyncbatch.Fetcher:
    """Return the fetcher of a workload; nothing is tried twice, so that nothing hides."""
    workload = setting.workload
    if workload.way == "defaults":
        return asyncbatch.Fetcher()
    options: dict[str, Any] = {"trust_env": False, **_OPTIONS.get(workload.way, {})}
    if workload.tls:
        options["verify"] = setting.ssl_context()
    if workload.http2:
        options["http2"] = True
    if setting.proxy is not None:
        options["proxy"] = setting.proxy
    return asyncbatch.Fetcher(
        concurrency=setting.connections,
        per_host=workload.per_host,
        retry=None,
        **options,
    )


@asynccontextmanager
async def asyncbatch_client(setting: Setting) -> AsyncIterator[Fetch]:
    async with open_fetcher(setting) as fetcher:
        yield fetching(fetcher, setting)


@asynccontextmanager
async def client_lane(setting: Setting) -> AsyncIterator[Fetch]:
    """Run `Fetcher` over the very client that the bare loop runs over."""
    import httpx

    client = httpx.AsyncClient(**httpx_options(httpx, setting))
    async with client, _over(client, setting) as fetcher:
        yield fetching(fetcher, setting)


@asynccontextmanager
async def client_lane_on_transport(setting: Setting) -> AsyncIterator[Fetch]:
    """Do the same with our transport below the client."""
    async with on_transport(setting) as client, _over(client, setting) as fetcher:
        yield fetching(fetcher, setting)


@asynccontextmanager
async def httpx_on_transport(setting: Setting) -> AsyncIterator[Fetch]:
    """Run the bare loop over httpx on our transport instead of its own."""
    async with on_transport(setting) as client:
        yield through_httpx(client, setting)


def _over(client: Any, setting: Setting) -> asyncbatch.Fetcher:
    return asyncbatch.Fetcher(client, concurrency=setting.connections, retry=None)


def on_transport(setting: Setting) -> Any:
    """Return a client of httpx on our transport."""
    import httpx

    options = httpx_options(httpx, setting)
    transport_options = {name: options.pop(name) for name in ("limits", "verify")}
    return httpx.AsyncClient(transport=transport_class()(**transport_options), **options)


@asynccontextmanager
async def engine_alone(setting: Setting) -> AsyncIterator[Fetch]:
    """Drive the engine by workers, with one encoded head for all requests."""
    if setting.workload.tls:
        raise Unavailable("the engine alone is measured without TLS")
    import httpx

    from asyncbatch._engine import Origin
    from asyncbatch._engine.http11 import encode_fields, encode_request_line

    url = urlsplit(setting.first_url)
    head = encode_request_line(b"GET", url.path.encode())
    head += encode_fields([(b"host", url.netloc.encode()), (b"accept", b"*/*")]).block
    origin = Origin(is_tls=False, host=url.hostname or "", port=url.port or 80)
    limits = httpx.Limits(
        max_connections=setting.connections, max_keepalive_connections=setting.connections
    )
    engine = transport_class()(limits=limits).engine

    async def get(_: str) -> tuple[int, Any]:
        exchange = engine.begin(origin, b"GET", head)
        await exchange.future
        if exchange.error is not None:
            raise exchange.error
        return exchange.head.status, exchange.content

    try:
        yield pulling(get, setting)
    finally:
        await engine.aclose()


def transport_class() -> Any:
    """
    Return our transport.

    Raises:
        Unavailable: This version does not have it.
    """
    transport = getattr(asyncbatch, "HTTPTransport", None)
    if transport is None:
        raise Unavailable("this version of asyncbatch does not export HTTPTransport")
    return transport


OURS: dict[str, Client] = {
    "asyncbatch": asyncbatch_client,
    "asyncbatch over httpx": client_lane,
    "asyncbatch over httpx on HTTPTransport": client_lane_on_transport,
    "httpx on HTTPTransport": httpx_on_transport,
    "engine": engine_alone,
}
