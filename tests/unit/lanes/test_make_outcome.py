"""Outcomes of exchanges: bodies decoded, and within their limits."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from typing import Any

import anyio
import pytest

from asyncbatch import BodyTooLarge, FailureKind, Fetcher, Request
from asyncbatch._engine import Connector
from asyncbatch.testing import LoopbackServer, Raw, Reply
from tests import aio
from tests.unit.lanes.conftest import fetch


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [999, 1000, 1001, 1500, 5000])
async def test_a_plain_body_is_limited_to_the_byte(
    server: LoopbackServer, framing: Any, size: int
) -> None:
    """However its end is told, and the error has the option's own value."""
    server.on("/", Reply(body=b"x" * size, framing=framing))

    result = await fetch(server.url(), max_body=1000)

    if size <= 1000:
        assert result.content == b"x" * size
        return
    assert result.kind == FailureKind.too_large
    assert isinstance(result.error, BodyTooLarge)
    assert result.error.limit == 1000
    assert "max_body=1000" in str(result.error)
    assert result.error.request.url == result.url


@pytest.mark.parametrize("size", [999, 1000, 1001, 100_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_compressed_body_is_limited_by_what_it_decodes_to(
    server: LoopbackServer, framing: Any, size: int
) -> None:
    """Not by what it takes on the wire."""
    server.on("/", Reply(body=b"x" * size, framing=framing).gzipped())

    result = await fetch(server.url(), max_body=1000)

    assert result.ok == (size <= 1000)
    if not result.ok:
        assert result.kind == FailureKind.too_large
        assert result.error.limit == 1000


async def test_a_body_that_compression_makes_longer_is_within_its_limit(
    server: LoopbackServer,
) -> None:
    """Random bytes in gzip are a little longer than by themselves."""
    body = os.urandom(200_000)
    server.on("/", Reply(body=gzip.compress(body), headers={"content-encoding": "gzip"}))

    result = await fetch(server.url(), max_body=len(body))

    assert result.content == body


@pytest.mark.parametrize("limit", [1_000_000, None])
async def test_a_large_body_is_decoded_in_a_thread(
    server: LoopbackServer, limit: int | None
) -> None:
    """A small one that grows large too: the event loop goes on meanwhile."""
    body = bytes(900_000)
    server.on("/", Reply(body=body).gzipped())
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with Fetcher(max_body=limit, retry=None) as fetcher:
        other = aio.ensure_future(turn())
        result = await fetcher.fetch(server.url())
        other.cancel()

    assert result.content == body
    assert turns > 2


async def test_a_bomb_is_not_held_in_memory(server: LoopbackServer) -> None:
    """100 MB out of 100 KB: no more than the limit and a constant."""
    bomb = gzip.compress(bytes(100_000_000), mtime=0)
    server.on("/", Reply(body=bomb, headers={"content-encoding": "gzip"}))
    async with Fetcher(max_body=1_000_000, retry=None) as fetcher:
        await fetcher.fetch(server.url("/warm-up"))
        tracemalloc.start()
        try:
            result = await fetcher.fetch(server.url())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert not result.ok
    assert result.kind == FailureKind.too_large
    assert peak < 4_000_000


@pytest.mark.parametrize("size", [1000, 1001])
async def test_a_part_of_a_compressed_body_is_limited_as_it_is(
    server: LoopbackServer, size: int
) -> None:
    """It cannot be decoded, so that the little more that is received for that is too much."""
    server.on("/", Reply(206, b"x" * size, {"content-encoding": "gzip"}))

    result = await fetch(server.url(), max_body=1000)

    assert result.ok is (size == 1000)
    if not result.ok:
        assert result.kind == FailureKind.too_large
        assert result.error.limit == 1000


async def test_an_error_that_the_engine_does_not_foresee_fails_the_request(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the error of the result, and not of the batch."""
    unforeseen = RuntimeError("unforeseen")

    def raising(*_: object) -> None:
        raise unforeseen

    monkeypatch.setattr(Connector, "begin_connect", raising)
    result = await fetch(server.url())

    assert (result.kind, result.error) == (FailureKind.invalid_request, unforeseen)
    assert str(result.url) == server.url()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "nonsense"])
async def test_a_response_without_a_body_needs_no_decoding(
    server: LoopbackServer, coding: str
) -> None:
    """An answer to HEAD, 204 and 304 may name the coding that a body would have had."""
    fields = b"content-encoding: %b\r\n" % coding.encode()
    server.on("/head", Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n%b\r\n" % fields))
    server.on("/204", Raw(b"HTTP/1.1 204 X\r\n%b\r\n" % fields))
    server.on("/304", Raw(b"HTTP/1.1 304 X\r\ncontent-length: 5000\r\n%b\r\n" % fields))
    requests = [Request(server.url("/head"), "HEAD"), server.url("/204"), server.url("/304")]

    async with Fetcher(max_body=10, retry=None) as fetcher:
        results = await fetcher.fetch_many(requests)

    assert [result.status_code for result in results] == [200, 204, 304]
    assert [result.content for result in results] == [b""] * 3
    assert results.failures == []


async def test_codings_in_several_fields_are_undone_in_order(server: LoopbackServer) -> None:
    """The last one first."""
    body = gzip.compress(zlib.compress(b"text"))
    fields = [("Content-Encoding", "deflate"), ("content-encoding", "gzip")]
    server.on("/", Reply(body=body, headers=fields))

    assert (await fetch(server.url())).content == b"text"
