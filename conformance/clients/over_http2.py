"""
asyncbatch over HTTP/2: the cases that can be translated, played by `http2.Http2Server`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx

import asyncbatch
from conformance._trust import Trust
from conformance.cases import CASES
from conformance.http2 import why_not
from conformance.known import OTHER_OVER_HTTP2

from .ours import FetcherClient

_OTHERS = frozenset(
    case.name for case in CASES if why_not(case) is not None or case.name in OTHER_OVER_HTTP2
)


class Http2Client(FetcherClient):
    """Fetches over HTTP/2."""

    lacks = _OTHERS


@contextlib.asynccontextmanager
async def direct_lane(trust: Trust) -> AsyncIterator[Http2Client]:
    """Open a fetcher of asyncbatch's own: requests take the direct lane."""
    async with contextlib.AsyncExitStack() as stack:

        def open_fetcher(**options: Any) -> asyncbatch.Fetcher:
            verify = trust.client_context
            return asyncbatch.Fetcher(trust_env=False, verify=verify, http2=True, **options)

        yield Http2Client("asyncbatch over HTTP/2, direct lane", open_fetcher, stack)


@contextlib.asynccontextmanager
async def client_lane(trust: Trust) -> AsyncIterator[Http2Client]:
    """Open a fetcher over an httpx client on our transport."""
    transport = asyncbatch.HTTPTransport(verify=trust.client_context, http2=True)
    async with (
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
        contextlib.AsyncExitStack() as stack,
    ):

        def open_fetcher(**options: Any) -> asyncbatch.Fetcher:
            return asyncbatch.Fetcher(client, **options)

        yield Http2Client("asyncbatch over HTTP/2, client lane", open_fetcher, stack)
