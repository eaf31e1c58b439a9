"""Spans of requests over HTTP/2: of every attempt, as over HTTP/1.1."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

pytest.importorskip("ngh2")
pytest.importorskip("h2")

from asyncbatch import Fetcher, HTTPTransport, Request, Retry
from tests.http2_server import Conversation, client_context, serve_http2
from tests.traced import Traced

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

VERSION = "network.protocol.version"


def fetcher(traced: Traced, **options: Any) -> Fetcher:
    return Fetcher(
        telemetry=traced.option(),
        verify=client_context(),
        http2=True,
        trust_env=False,
        **{"retry": None, **options},
    )


async def test_each_request_of_a_batch_has_a_span(traced: Traced) -> None:
    """In the relay, with the version, the status and the place; and a measurement."""
    async with serve_http2() as server, fetcher(traced) as fetching:
        results = await fetching.fetch_many([f"{server.url}{n}" for n in range(30)])

    assert all(result.ok for result in results)
    assert traced.told(VERSION) == ["2"] * 30
    assert traced.told("http.response.status_code") == [200] * 30
    assert set(traced.told("server.port")) == {server.raw.port}
    assert sum(point.count for point in traced.points()) == 30
    assert {point.attributes[VERSION] for point in traced.points() if point.attributes} == {"2"}


@pytest.mark.parametrize("status", ["503", "reset"])
async def test_each_attempt_has_a_span(status: str, traced: Traced) -> None:
    """The failed ones with what they failed of."""
    asked = 0

    def answer(conversation: Conversation, stream: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            conversation.respond(stream)
        elif status == "reset":
            conversation.peer.h2.reset_stream(stream, 2)
        else:
            conversation.respond(stream, status=status)

    retry = Retry(attempts=3, backoff=0.001)
    async with serve_http2(answer) as server, fetcher(traced, retry=retry) as fetching:
        result = await fetching.fetch(server.url)

    assert (result.ok, result.attempts) == (True, 3)
    assert traced.told("http.request.resend_count") == [None, 1, 2]
    assert traced.told("error.type") == (
        ["protocol", "protocol", None] if status == "reset" else ["503", "503", None]
    )
    assert traced.told("http.response.status_code")[2] == 200
    assert traced.told(VERSION)[2] == "2"


async def test_each_hop_of_a_redirect_has_a_span(traced: Traced) -> None:
    """And each carries the context of its own."""
    parents: list[str] = []

    def answer(conversation: Conversation, stream: int) -> None:
        parents.append(dict(conversation.peer.requests[stream])["traceparent"])
        if conversation.path(stream) == "/there":
            conversation.respond(stream)
        else:
            conversation.respond(stream, b"", ("location", "/there"), status="302")

    async with serve_http2(answer) as server:
        options = traced.option("127.0.0.1")
        async with Fetcher(
            telemetry=options, verify=client_context(), http2=True, trust_env=False, retry=None
        ) as fetching:
            result = await fetching.fetch(server.url)

    assert result.ok
    assert traced.told("http.response.status_code") == [302, 200]
    assert traced.told(VERSION) == ["2", "2"]
    spans = [f"{span.context.span_id:016x}" for span in traced.spans]
    assert [parent.split("-")[2] for parent in parents] == spans


async def test_a_stream_that_is_refused_is_one_attempt(traced: Traced) -> None:
    """What the engine sends again without counting has the span that has begun."""
    refused = 0

    def answer(conversation: Conversation, stream: int) -> None:
        nonlocal refused
        if refused < 3:
            refused += 1
            conversation.peer.h2.reset_stream(stream, 7)
        else:
            conversation.respond(stream)

    async with serve_http2(answer) as server, fetcher(traced) as fetching:
        result = await fetching.fetch(server.url)

    assert (result.ok, result.attempts) == (True, 1)
    assert traced.told("http.response.status_code") == [200]


async def test_a_client_on_our_transport_tells_the_version(traced: Traced) -> None:
    """As the direct lane does."""
    transport = HTTPTransport(verify=client_context(), http2=True)
    async with (
        serve_http2() as server,
        httpx.AsyncClient(transport=transport, trust_env=False) as client,
        Fetcher(client, telemetry=traced.option(), retry=None) as fetching,
    ):
        await fetching.fetch(Request(server.url, extensions={"a": "b"}))

    assert traced.told(VERSION) == ["2"]
