"""
asyncbatch itself: the direct lane, and the client lane over any client.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

import asyncbatch
from conformance._case import Request
from conformance._outcome import Outcome
from conformance._trust import Trust

from ._streamed import streamed
from .peers import HttpxClient

PLAIN: dict[str, Any] = {"retry": None, "give_up_host_after": None}
"""Options that leave each request to itself."""


class FetcherClient:
    """Fetches through `Fetcher.fetch`, with a fetcher for each set of its options."""

    lacks: frozenset[str] = frozenset()

    def __init__(
        self, name: str, open_fetcher: Callable[..., asyncbatch.Fetcher], stack: Any
    ) -> None:
        self.name = name
        self._open_fetcher = open_fetcher
        self._stack = stack
        self._fetchers: dict[tuple[Any, ...], asyncbatch.Fetcher] = {}

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Fetch and translate."""
        fetcher = await self._fetcher_for(request)
        result = await fetcher.fetch(
            asyncbatch.Request(
                url,
                request.method,
                headers=request.headers,
                content=streamed(request.body) if request.streamed else request.body,
                timeout=request.timeout,
                follow_redirects=request.follow_redirects,
            )
        )
        if result.status_code is not None and result.response is not None:
            fields = list(result.headers.multi_items())
            return Outcome.answered(result.status_code, result.content, fields)
        assert isinstance(result, asyncbatch.Failure)
        return Outcome.failed(result.kind.value, f"{type(result.error).__name__}: {result.error}")

    async def _fetcher_for(self, request: Request) -> asyncbatch.Fetcher:
        options: dict[str, Any] = dict(PLAIN)
        if request.max_body is not None:
            options["max_body"] = request.max_body
        if request.max_redirects is not None:
            options["max_redirects"] = request.max_redirects
        key = tuple(sorted(options.items(), key=str))
        if key not in self._fetchers:
            fetcher = self._open_fetcher(**options)
            # Before entering, which may let others run: a second one would have other connections.
            self._fetchers[key] = fetcher
            await self._stack.enter_async_context(fetcher)
        return self._fetchers[key]


@contextlib.asynccontextmanager
async def direct_lane(trust: Trust) -> AsyncIterator[FetcherClient]:
    """Open a fetcher of asyncbatch's own: requests take the direct lane."""
    async with contextlib.AsyncExitStack() as stack:

        def open_fetcher(**options: Any) -> asyncbatch.Fetcher:
            return asyncbatch.Fetcher(trust_env=False, verify=trust.client_context, **options)

        yield FetcherClient("asyncbatch, direct lane", open_fetcher, stack)


@contextlib.asynccontextmanager
async def client_lane(trust: Trust) -> AsyncIterator[FetcherClient]:
    """Open a fetcher over an httpx client on our transport."""
    transport = asyncbatch.HTTPTransport(verify=trust.client_context)
    async with _over(httpx.AsyncClient(transport=transport, trust_env=False)) as client:
        client.name = "asyncbatch, client lane on our transport"
        yield client


@contextlib.asynccontextmanager
async def stock_lane(trust: Trust) -> AsyncIterator[FetcherClient]:
    """Open a fetcher over an httpx client as it is made by default."""
    async with _over(httpx.AsyncClient(verify=trust.client_context, trust_env=False)) as client:
        client.name = "asyncbatch, client lane on stock httpx"
        yield client


@contextlib.asynccontextmanager
async def plain_httpx(trust: Trust) -> AsyncIterator[HttpxClient]:
    """Open a plain client of httpx on our transport: nothing else of asyncbatch is there."""

    def make_transport() -> asyncbatch.HTTPTransport:
        return asyncbatch.HTTPTransport(verify=trust.client_context)

    async with contextlib.aclosing(HttpxClient(httpx, trust, make_transport)) as client:
        client.name = f"httpx {httpx.__version__} on asyncbatch.HTTPTransport"
        yield client


@contextlib.asynccontextmanager
async def plain_httpx2(trust: Trust) -> AsyncIterator[HttpxClient]:
    """Open a plain client of httpx2 on our transport."""
    httpx2: Any = importlib.import_module("httpx2")
    transport_class = asyncbatch.HTTPTransport.for_library(httpx2)

    def make_transport() -> Any:
        return transport_class(verify=trust.client_context)

    async with contextlib.aclosing(HttpxClient(httpx2, trust, make_transport)) as client:
        client.name = f"httpx2 {httpx2.__version__} on asyncbatch.HTTPTransport"
        yield client


@contextlib.asynccontextmanager
async def _over(client: httpx.AsyncClient) -> AsyncIterator[FetcherClient]:
    async with client, contextlib.AsyncExitStack() as stack:

        def open_fetcher(**options: Any) -> asyncbatch.Fetcher:
            return asyncbatch.Fetcher(client=client, **options)

        yield FetcherClient("", open_fetcher, stack)
