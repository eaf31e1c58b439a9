"""
asyncbatch through a proxy that passes every byte on: the same table, with the same outcomes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncbatch
from conformance._case import Request
from conformance._outcome import Outcome
from conformance._proxy import RelayProxy
from conformance._trust import Trust
from conformance.cases import CASES
from conformance.known import OTHER_THROUGH_A_PROXY

from .ours import FetcherClient

_OTHERS = frozenset(
    case.name for case in CASES if any(part in case.name for part in OTHER_THROUGH_A_PROXY)
)


class ProxiedClient(FetcherClient):
    """Fetches through a proxy."""

    lacks = _OTHERS

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Fetch and translate."""
        outcome = await super().fetch(url, request)
        if outcome.kind == "proxy" and "ended without a response" in outcome.detail:
            # A proxy that forwards is blamed for silence. Here it passes on that of the server.
            return Outcome.failed("protocol", outcome.detail)
        return outcome


@contextlib.asynccontextmanager
async def forward(trust: Trust) -> AsyncIterator[FetcherClient]:
    """Open a fetcher whose requests are forwarded; those with TLS take a tunnel by CONNECT."""
    async with _through("http", trust) as client:
        client.name = "asyncbatch, through a forward proxy"
        yield client


@contextlib.asynccontextmanager
async def tunnel(trust: Trust) -> AsyncIterator[FetcherClient]:
    """Open a fetcher whose requests all take a tunnel, by SOCKS5."""
    async with _through("socks5h", trust) as client:
        client.name = "asyncbatch, through a tunnel"
        yield client


@contextlib.asynccontextmanager
async def _through(scheme: str, trust: Trust) -> AsyncIterator[FetcherClient]:
    with RelayProxy() as proxy:
        async with contextlib.AsyncExitStack() as stack:

            def open_fetcher(**options: Any) -> asyncbatch.Fetcher:
                way = f"{scheme}://{proxy.authority}"
                return asyncbatch.Fetcher(proxy=way, verify=trust.client_context, **options)

            yield ProxiedClient("", open_fetcher, stack)
