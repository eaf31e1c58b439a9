"""The lanes that requests take: each has to keep the same promises."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx

from asyncbatch import Fetcher, HTTPTransport
from tests.unit.lanes.conftest import TRUSTING


@contextlib.asynccontextmanager
async def fetcher_on(
    lane: str, *, verify: ssl.SSLContext = TRUSTING, connections: int = 100, **options: Any
) -> AsyncIterator[Fetcher]:
    """
    Open a fetcher whose requests take `lane`.

    Args:
        lane: `direct`: the engine; `client`: a client of the caller's on the engine; `stock`: one
            on httpx's own transport.
        verify: The TLS context.
        connections: What the pool of a client of the caller's holds.
        options: Those of the fetcher.
    """
    if lane == "direct":
        async with Fetcher(verify=verify, trust_env=False, **options) as fetcher:
            yield fetcher
        return
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    given: dict[str, Any] = {"verify": verify, "trust_env": False, "limits": limits}
    if lane == "client":
        given["transport"] = HTTPTransport(**given)
    async with (
        httpx.AsyncClient(**given, follow_redirects=True, timeout=10) as client,
        Fetcher(client, **options) as fetcher,
    ):
        yield fetcher
