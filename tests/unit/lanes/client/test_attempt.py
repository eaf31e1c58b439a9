"""One attempt through a client: its request, its redirects, and what it leaves of the caller's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch.testing import LoopbackServer, Reply
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.any_loop

CHALLENGE = 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'


async def fetch(client: Any, request: Any, **options: Any) -> asyncbatch.Result:
    async with Fetcher(client, retry=None, **options) as fetcher:
        return await fetcher.fetch(request)


async def test_a_callers_request_object_is_left_as_it_was(
    library: Any, server: LoopbackServer
) -> None:
    """Hooks and authentication write into a copy, and the same object may be in a batch twice."""
    seen: list[str] = []

    async def trace(event: str, _: Any) -> None:
        seen.append(event)

    request = library.Request(
        "POST", server.url("/echo"), content=b"abc", extensions={"trace": trace}
    )
    before = (list(request.headers.raw), dict(request.extensions))
    async with (
        library.AsyncClient(auth=("a", "b"), verify=TRUSTING) as client,
        Fetcher(client, retry=None) as fetcher,
    ):
        results = await fetcher.fetch_many([request] * 3)

    assert results.failures == []
    assert [arrived.body for arrived in server.requests] == [b"abc"] * 3
    assert (list(request.headers.raw), dict(request.extensions)) == before
    assert seen.count("http11.send_request_headers.started") == 3


async def test_a_request_object_of_the_other_library_is_sent_as_well(
    client: Any, server: LoopbackServer
) -> None:
    """Its parts are the same, only its type is not."""
    other = pytest.importorskip("httpx2") if isinstance(client, httpx.AsyncClient) else httpx
    request = other.Request("PUT", server.url("/x"), headers={"x-a": "1"}, content=b"abc")

    result = await fetch(client, request)

    assert result.ok
    assert server.requests[0].body == b"abc"
    assert server.requests[0].headers["x-a"] == "1"


async def test_a_body_that_was_read_is_not_sent_a_second_time(
    client: Any, server: LoopbackServer
) -> None:
    """An exhausted iterator would go out as an empty body."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    server.on("/", Reply(503))
    request = Request(server.url(), "PUT", content=chunks())
    async with Fetcher(client, retry=asyncbatch.Retry(backoff=0)) as fetcher:
        first = await fetcher.fetch(request)
        again = await fetcher.fetch(request)

    assert first.status_code == 503
    assert first.attempts == 1
    assert not again.ok
    assert again.kind == FailureKind.invalid_request
    assert [arrived.body for arrived in server.requests] == [b"abc"]


async def test_a_flow_of_the_callers_that_takes_too_long_is_cut_off(
    library: Any, server: LoopbackServer
) -> None:
    """As a server would be, and nothing is sent after it."""

    class Slow(library.Auth):  # type: ignore[misc]  # chosen at run time
        """Waits for a token that never comes."""

        async def async_auth_flow(self, request: Any) -> AsyncIterator[Any]:
            await anyio.sleep_forever()
            yield request

    async with library.AsyncClient(auth=Slow(), verify=TRUSTING) as client:
        result = await fetch(client, server.url(), timeout=0.02)

    assert result.kind is FailureKind.timeout
    assert isinstance(result.error, asyncbatch.AttemptTimeout)
    assert not server.requests


async def test_the_body_of_a_redirect_is_read_only_if_it_is_short(
    client: Any, server: LoopbackServer
) -> None:
    """An endless one is left, with its connection."""
    server.on("/", Reply(302, 10_000_000, {"location": "/there"}).paced(100_000, every=0.01))

    with anyio.fail_after(100):
        result = await fetch(client, server.url())

    assert result.ok
    assert result.unwrap().history[0].content == b""


async def test_the_same_redirects_are_followed_whoever_asks(
    client: Any, server: LoopbackServer
) -> None:
    """A request may follow where its fetcher does not, and the other way round."""
    server.on("/", Reply.redirect("/there"))

    followed = await fetch(client, Request(server.url(), follow_redirects=True))
    stopped = await fetch(client, Request(server.url(), follow_redirects=False))

    assert followed.status_code == 200
    assert stopped.status_code == 302
    assert stopped.unwrap().next_request is not None
    assert followed.unwrap().history[0].next_request is None
