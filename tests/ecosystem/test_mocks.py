"""That the mocks and instruments of httpx's users see the requests of a fetcher."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher
from asyncbatch.testing import LoopbackServer, Reply

# A name that does not resolve: a mock that lets a request pass is a failure of kind `dns`.
URL = "http://host.invalid/"


async def test_respx_answers_for_the_network() -> None:
    """With its default patch of httpcore, and a fetcher that makes its own client."""
    respx = pytest.importorskip("respx")

    with respx.mock() as mock:
        mock.get(URL).respond(200, json={"made": "up"})
        mock.get(URL + "down").mock(side_effect=httpx.ConnectError)
        async with Fetcher(retry=None) as fetcher:
            results = await fetcher.fetch_many([URL, URL + "down"])

    assert results[0].json() == {"made": "up"}
    assert [failure.kind for failure in results.failures] == [FailureKind.connect]


async def test_respx_answers_for_the_client() -> None:
    """With its patch of httpx, which chooses the transport."""
    respx = pytest.importorskip("respx")

    with respx.mock(using="httpx") as mock:
        mock.get(URL).respond(200, text="made up")
        async with Fetcher(retry=None) as fetcher:
            result = await fetcher.fetch(URL)

    assert result.text == "made up"


async def test_pytest_httpx_answers(httpx_mock: Any) -> None:
    """Redirects, statuses and errors included."""
    httpx_mock.add_response(url=URL, status_code=302, headers={"location": "/there"})
    httpx_mock.add_response(url=URL + "there", text="made up")
    httpx_mock.add_response(url=URL + "busy", status_code=503)
    httpx_mock.add_exception(httpx.ReadTimeout("slow"), url=URL + "slow")

    async with Fetcher(retry=None) as fetcher:
        results = await fetcher.fetch_many([URL, URL + "busy", URL + "slow"])

    assert results[0].text == "made up"
    assert [failure.kind for failure in results.failures] == [
        FailureKind.status,
        FailureKind.timeout,
    ]


async def test_a_mock_transport_answers() -> None:
    """Given to the fetcher or to a client."""
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=request.method))

    results = await asyncbatch.fetch_many(
        [URL, asyncbatch.Request(URL, "PUT")], transport=transport
    )

    assert [result.text for result in results] == ["GET", "PUT"]


async def test_an_asgi_application_answers() -> None:
    """In process, as in the tests of a web framework."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    results = await asyncbatch.fetch_many(
        [URL + "a", URL + "b"], transport=httpx.ASGITransport(application)
    )

    assert [result.text for result in results] == ["/a", "/b"]


@pytest.mark.asyncio_only
async def test_vcr_records_and_plays_back(tmp_path: Path, server: LoopbackServer) -> None:
    """The second time, nothing reaches the server."""
    vcr = pytest.importorskip("vcr")
    server.on("/", Reply(body=b"recorded"))
    texts = []

    for _ in range(2):
        with vcr.use_cassette(str(tmp_path / "tape.yaml")):
            async with Fetcher(retry=None) as fetcher:
                texts.append((await fetcher.fetch(server.url())).text)

    assert texts == ["recorded", "recorded"]
    assert server.statistics().requests == 1


@pytest.mark.asyncio_only
async def test_opentelemetry_has_a_span_for_each_request(server: LoopbackServer) -> None:
    """And the server is told of it."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    processors = pytest.importorskip("opentelemetry.sdk.trace.export")
    exporter = export.InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(processors.SimpleSpanProcessor(exporter))
    instrumentor = instrumentation.HTTPXClientInstrumentor()

    instrumentor.instrument(tracer_provider=provider)
    try:
        async with Fetcher(retry=None) as fetcher:
            results = await fetcher.fetch_many([server.url()] * 3)
    finally:
        instrumentor.uninstrument()
        provider.shutdown()

    assert results.failures == []
    assert len(exporter.get_finished_spans()) == 3
    assert all("traceparent" in request.headers for request in server.requests)


def test_sentry_sees_each_request() -> None:
    """As a span of the transaction around the batch; apart, as it patches httpx for good."""
    pytest.importorskip("sentry_sdk")
    program = Path(__file__).with_name("under_sentry.py")
    ended = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True)

    assert ended.stdout.split() == ["0", "3"]


@pytest.mark.asyncio_only
@pytest.mark.may_block  # hishel makes its folder in the event loop
async def test_hishel_answers_from_its_cache(tmp_path: Path, server: LoopbackServer) -> None:
    """A fresh response is not asked for twice."""
    storage_module = pytest.importorskip("hishel")
    pytest.importorskip("anysqlite")
    transports = pytest.importorskip("hishel.httpx")
    server.on("/", Reply(body=b"cached", headers={"cache-control": "max-age=60"}))
    storage = storage_module.AsyncSqliteStorage(database_path=tmp_path / "cache.db")
    transport = transports.AsyncCacheTransport(httpx.AsyncHTTPTransport(), storage=storage)

    async with Fetcher(transport=transport, retry=None) as fetcher:
        results = [await fetcher.fetch(server.url()) for _ in range(2)]

    assert [result.unwrap().text for result in results] == ["cached", "cached"]
    assert server.statistics().requests == 1
