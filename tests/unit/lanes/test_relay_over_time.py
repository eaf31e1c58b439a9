"""What a relay keeps to as time passes, which is virtual here."""

from __future__ import annotations

import asyncio

import pytest

from asyncbatch import Fetcher
from asyncbatch._engine.connection._connection import MAX_AGE
from tests.unit.engine.raw_server import OK, Peer, serve
from tests.unit.engine.virtual import virtual_time

# The virtual clock governs no other event loop.
pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio"])


async def test_a_connection_is_used_for_some_minutes_at_most() -> None:
    """Also by requests of which each follows the one before at once."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await asyncio.sleep(MAX_AGE / 10)
            await peer.send(OK)

    async with serve(script) as server:
        with virtual_time():
            async with Fetcher(concurrency=1, timeout=None, retry=None) as fetcher:
                results = await fetcher.fetch_many([server.url] * 15)

    assert not results.failures
    assert server.connections == 2
