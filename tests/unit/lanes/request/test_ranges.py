"""Parts of something: asked for as they are, and kept as they came."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, Request
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.any_loop

PACKED = gzip.compress(bytes(range(256)) * 20)
RANGE = {"Range": "bytes=10-99"}


@pytest.fixture(params=["ours", "theirs"])
async def fetcher(request: pytest.FixtureRequest) -> AsyncIterator[Fetcher]:
    """Open a fetcher on our own transport, and one on httpx's."""
    client = httpx.AsyncClient(trust_env=False) if request.param == "theirs" else None
    options: Any = {} if client else {"trust_env": False}
    async with Fetcher(client, retry=None, **options) as fetcher:
        yield fetcher
        await fetcher.client.aclose()


@pytest.mark.parametrize("form", ["request", "client", "of httpx", "with a body"])
async def test_a_range_asks_for_no_coding(
    fetcher: Fetcher, server: LoopbackServer, form: str
) -> None:
    """Wherever the range is given."""
    url = server.url()
    item: Any = Request(url, headers=RANGE)
    if form == "client":
        fetcher.client.headers.update(RANGE)
        item = url
    elif form == "of httpx":
        item = fetcher.client.build_request("GET", url, headers=RANGE)
    elif form == "with a body":
        item = Request(url, "POST", headers=RANGE, content=iter([b"a"]))
    result = await fetcher.fetch(item)

    assert result.ok
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["range"] == RANGE["Range"]
    assert result.response.request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("given", ["request", "client"])
async def test_whoever_names_codings_with_a_range_is_heard(
    fetcher: Fetcher, server: LoopbackServer, given: str
) -> None:
    """What httpx would say by itself is nobody's wish."""
    usual = fetcher.client.headers["accept-encoding"]
    headers = {**RANGE, "Accept-Encoding": "gzip;q=0.5"}
    if given == "client":
        fetcher.client.headers["Accept-Encoding"] = headers.pop("Accept-Encoding")
    result = await fetcher.fetch(Request(server.url(), headers=headers))
    own = await fetcher.fetch(Request(server.url(), headers={**RANGE, "Accept-Encoding": usual}))

    assert result.ok
    assert own.ok
    accepted = [arrived.headers["accept-encoding"] for arrived in server.requests]
    assert accepted == ["gzip;q=0.5", usual]


async def test_without_a_range_codings_are_asked_for(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """As ever."""
    await fetcher.fetch(Request(server.url(), headers={"x-range": "1"}))

    assert "gzip" in server.requests[0].headers["accept-encoding"]


@pytest.mark.parametrize("plain", [False, True], ids=["on its own", "like any other"])
@pytest.mark.parametrize(
    "part",
    [PACKED[:90], PACKED[10:100], PACKED, b""],
    ids=["the beginning", "the middle", "all", "nothing"],
)
async def test_a_part_with_a_coding_is_kept_as_it_came(
    fetcher: Fetcher, server: LoopbackServer, part: bytes, plain: bool
) -> None:
    """It cannot be decoded by itself."""
    fields = {"content-encoding": "gzip", "content-range": "bytes 10-99/500"}
    server.on("/", Reply(206, body=part, headers=fields))
    headers = None if plain else RANGE
    results = await fetcher.fetch_many([Request(server.url(), headers=headers)] * 3)

    assert [result.content for result in results] == [part] * 3
    assert [result.unwrap().content for result in results] == [part] * 3
    assert results[0].headers["content-encoding"] == "gzip"
