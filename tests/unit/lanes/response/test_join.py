"""Putting a body together."""

from __future__ import annotations

import functools
import gzip
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport
from asyncbatch._engine.http11 import UnjoinedBody
from asyncbatch._lanes.response import _join
from asyncbatch._runtime._threads import NoThreads
from asyncbatch.testing import LoopbackServer, Reply

LARGE = bytes(range(256)) * 8_000
SMALL = LARGE[:300_000]


class Joins:
    """Notes in which threads bodies are joined, and holds them up there until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()
        real = UnjoinedBody.__bytes__

        def noting(body: UnjoinedBody) -> bytes:
            self.threads.append(threading.get_ident())
            assert self.go_on.wait(20)
            return real(body)

        monkeypatch.setattr(UnjoinedBody, "__bytes__", noting)


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> Joins:
    """Watch."""
    return Joins(monkeypatch)


@pytest.fixture(params=["direct", "client lane", "httpx's transport"])
async def fetcher(request: pytest.FixtureRequest) -> AsyncIterator[Fetcher]:
    """Open a fetcher that takes each of the lanes."""
    client = None
    if request.param != "direct":
        transport = HTTPTransport() if request.param == "client lane" else None
        client = httpx.AsyncClient(transport=transport, trust_env=False)
    options: dict[str, Any] = {} if client else {"trust_env": False}
    async with Fetcher(client, retry=None, **options) as fetcher:
        yield fetcher
        await fetcher.client.aclose()


@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_a_large_body_in_chunks_is_joined_in_a_thread(
    fetcher: Fetcher, server: LoopbackServer, joins: Joins, coding: str | None
) -> None:
    """The event loop copies no more than pieces, in every lane."""
    headers = {"content-encoding": coding} if coding else {}
    body = LARGE if coding is None else incompressible_gzip(LARGE)
    server.on("/", Reply(body=body, headers=headers, framing="chunked"))

    result = await fetcher.fetch(server.url())

    assert result.content == LARGE
    assert joins.threads
    assert threading.get_ident() not in joins.threads


def incompressible_gzip(body: bytes) -> bytes:
    """Return gzip that is not shorter than the body."""
    return gzip.compress(body, 0)


async def test_a_short_body_in_chunks_is_joined_on_the_spot(
    fetcher: Fetcher, server: LoopbackServer, joins: Joins
) -> None:
    """A thread would cost more."""
    server.on("/", Reply(body=SMALL, framing="chunked"))

    assert (await fetcher.fetch(server.url())).content == SMALL
    assert not joins.threads


async def test_a_body_that_waits_too_long_to_be_joined_is_a_timeout(
    server: LoopbackServer, joins: Joins
) -> None:
    """Whatever holds the threads up."""
    server.on("/", Reply(body=LARGE, framing="chunked"))
    joins.go_on.clear()
    async with Fetcher(timeout=0.2, retry=None, trust_env=False) as fetcher:
        try:
            result = await fetcher.fetch(server.url())
        finally:
            joins.go_on.set()

    assert not result.ok
    assert result.kind == "timeout"


async def test_a_body_for_which_there_is_no_memory_is_a_failure(
    fetcher: Fetcher, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own request only."""
    server.on("/", Reply(body=LARGE, framing="chunked"))
    # No function of ours: what code of others raises is of another kind.
    without_room = functools.partial(bytes, 2**60)
    monkeypatch.setattr(UnjoinedBody, "__bytes__", staticmethod(without_room))

    result = await fetcher.fetch(server.url())

    assert not result.ok
    assert result.kind == "decode"


async def test_without_a_thread_a_body_is_joined_on_the_spot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the interpreter's exit, under gevent, or where there are too many."""

    async def call(_: Callable[[], Any]) -> Any:
        await anyio.lowlevel.checkpoint()
        raise NoThreads

    monkeypatch.setattr(_join._threads, "call", call)

    assert await _join.join(UnjoinedBody([b"a", b"b"], 2)) == b"ab"
