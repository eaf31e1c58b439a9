"""`fetch_many`: one batch on a fetcher of its own."""

from __future__ import annotations

import httpx
import pytest

import asyncbatch
from asyncbatch.testing import LoopbackServer
from tests.transports import mock, urls


async def test_it_fetches_and_closes_everything(server: LoopbackServer):
    """Results in input order, and no connection left open."""
    results = await asyncbatch.fetch_many([server.url(f"/{number}") for number in range(20)])

    assert [result.index for result in results.successes] == list(range(20))
    await server.wait_until(lambda seen: seen.open_connections == 0)


async def test_it_uses_a_client_and_leaves_it_open():
    """`client` is used as it is."""
    async with httpx.AsyncClient(transport=mock()) as client:
        results = await asyncbatch.fetch_many(urls(3), client=client)

        assert [result.text for result in results] == ["/0", "/1", "/2"]
        assert not client.is_closed


async def test_what_failed_can_be_fetched_again(server: LoopbackServer):
    """The requests of the failures are an input like any other."""
    results = await asyncbatch.fetch_many([server.url("/"), server.dead_url()], retry=None)
    again = await asyncbatch.fetch_many([f.request for f in results.failures], retry=None)

    assert [failure.kind for failure in again.failures] == ["connect"]


async def test_wrong_options_are_refused():
    """As by `Fetcher`."""
    with pytest.raises(TypeError, match="did you mean 'per_host'"):
        await asyncbatch.fetch_many([], per_hosts=3)  # type: ignore[call-arg]
