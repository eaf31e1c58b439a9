"""Whole batches against servers that add to their answers: each result has its own."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

import httpx
import pytest

import asyncbatch
from tests.raw_server import Peer, serve

pytestmark = pytest.mark.once

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"

SURPLUS = (b"", EVIL, EVIL * 3, EVIL[:20], b"\r\n", b"\x00\xff", b"HTTP/1.1 100 Continue\r\n\r\n")


@contextlib.asynccontextmanager
async def poisoning() -> AsyncIterator[str]:
    """Answer with the path, and with something more behind it, in one segment."""
    dice = random.Random(1)

    async def script(peer: Peer) -> None:
        while True:
            path = (await peer.read_request()).split(b" ", 2)[1]
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)
            await peer.send(answer + dice.choice(SURPLUS))

    async with serve(script) as server:
        yield server.url.removesuffix("/")


@pytest.mark.parametrize("lane", ["direct", "client"])
@pytest.mark.parametrize("concurrency", [1, 4, 30])
async def test_no_result_is_a_strangers(lane: str, concurrency: int) -> None:
    """200 requests over a few connections, six of seven answers with something behind them."""
    async with contextlib.AsyncExitStack() as stack:
        base = await stack.enter_async_context(poisoning())
        client = None
        if lane == "client":
            transport = asyncbatch.HTTPTransport()
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
        fetcher = asyncbatch.Fetcher(client, concurrency=concurrency, timeout=20)
        await stack.enter_async_context(fetcher)
        results = await fetcher.fetch_many([f"{base}/{number}" for number in range(200)])

    assert [result.text for result in results] == [f"/{number}" for number in range(200)]
    assert {result.attempts for result in results} == {1}
