"""A transport over more than one run of trio, and a run that ends without closing it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import httpx
import pytest
import trio

from asyncbatch import HTTPTransport
from asyncbatch.testing import LoopbackServer


@pytest.fixture
def url() -> Iterator[str]:
    """Run a server in a thread of its own."""
    with LoopbackServer().in_thread() as server:
        yield server.url()


def test_a_run_that_ends_without_closing_leaves_no_socket_open(url: str) -> None:
    """Its connections are closed with it: a ResourceWarning would be an error here."""
    transport = HTTPTransport()

    async def main() -> int:
        client = httpx.AsyncClient(transport=transport, trust_env=False)
        status = (await client.get(url)).status_code
        assert transport.engine.counts()["connections"] == 1
        return status

    assert trio.run(main) == 200
    gc.collect()

    assert transport.engine.counts()["connections"] == 0


def test_a_transport_serves_one_run_after_the_other(url: str) -> None:
    """The runs may be of trio or of asyncio; the transport is bound again after each."""
    client = httpx.AsyncClient(transport=HTTPTransport(), trust_env=False)

    async def fetch() -> int:
        return (await client.get(url)).status_code

    async def fetch_and_close() -> int:
        status = await fetch()
        await client.aclose()
        return status

    assert [trio.run(fetch), trio.run(fetch), asyncio.run(fetch_and_close())] == [200] * 3


def test_two_runs_at_a_time_are_refused(url: str) -> None:
    """The connections belong to the first."""
    client = httpx.AsyncClient(transport=HTTPTransport(), trust_env=False)

    def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            trio.run(client.get, url)

    async def main() -> None:
        async with client:
            await client.get(url)
            await trio.to_thread.run_sync(elsewhere)

    trio.run(main)
