"""Our telemetry beside the instruments of others, and without OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

import asyncbatch
from asyncbatch import Fetcher, Request
from asyncbatch.testing import LoopbackServer, Reply
from tests.traced import Traced

pytestmark = [pytest.mark.any_loop, pytest.mark.asyncio_only]


@contextmanager
def instrumented(theirs: Traced, client: Any = None) -> Iterator[None]:
    """Have OpenTelemetry's own instrument note all requests of httpx, or those of one client."""
    instrument: Any = HTTPXClientInstrumentor()
    providers = {
        "tracer_provider": theirs.tracer_provider,
        "meter_provider": theirs.meter_provider,
    }
    if client is None:
        instrument.instrument(**providers)
    else:
        instrument.instrument_client(client, **providers)
    try:
        yield
    finally:
        if client is None:
            instrument.uninstrument()
        else:
            instrument.uninstrument_client(client)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("propagate", [(), ("*",)])
async def test_an_instrumented_client_has_one_span_for_each_request(
    server: LoopbackServer, whole: bool, propagate: tuple[str, ...]
) -> None:
    """Ours; and what else uses httpx has the other's, before, meanwhile and afterwards."""
    server.on("/r", Reply.redirect("/a"))
    ours, theirs = Traced(), Traced()
    option = ours.option(*propagate)
    async with Fetcher(telemetry=option, retry=None) as fetcher, Fetcher() as bare:
        with instrumented(theirs, None if whole else fetcher.client):
            await fetcher.fetch_many([server.url("/a"), Request(server.url("/r"))])
            assert len(ours.spans) == 3
            assert theirs.spans == []
            if whole:
                await bare.fetch(server.url("/b"))
                assert len(theirs.spans) == 1
        await fetcher.fetch(server.url("/c"))

    assert len(ours.spans) == 4
    assert len(theirs.points()) == int(whole)
    sent = [len(request.headers.get_list("traceparent")) for request in server.requests]
    expected = int(bool(propagate))
    assert sent == [expected] * 3 + [1] * whole + [expected]


async def test_a_caller_who_fetches_within_a_hook_is_noted_by_others(
    server: LoopbackServer,
) -> None:
    """Nothing else is silenced than the request itself: an authentication may fetch a token."""
    ours, theirs = Traced(), Traced()

    class Token(httpx.Auth):
        async def async_auth_flow(self, request: httpx.Request) -> Any:
            async with httpx.AsyncClient() as client:
                await client.get(server.url("/token"))
            yield request

    with instrumented(theirs):
        async with Fetcher(telemetry=ours.option(), auth=Token()) as fetcher:
            (await fetcher.fetch(server.url("/a"))).unwrap()

    assert ours.told("url.full") == [server.url("/a")]
    assert len(theirs.spans) == 1


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_an_app_behind_a_transport_is_not_silenced(library: Any) -> None:
    """What it sends in turn is noted by others."""
    ours, theirs = Traced(), Traced()
    noted = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled

        noted.append(is_http_instrumentation_enabled())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with instrumented(theirs):
        client = library.AsyncClient(transport=library.ASGITransport(app))
        async with client, Fetcher(client, telemetry=ours.option()) as fetcher:
            (await fetcher.fetch("http://app.test/")).unwrap()

    assert noted == [True]
    assert len(ours.spans) == 1


def run(code: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True
    )
    return ended.stdout


def test_without_its_api_the_extra_is_named() -> None:
    """In an `ImportError`."""
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "try: import asyncbatch.telemetry\n"
        "except ImportError as error: print(error)"
    )

    said = run(code)

    assert "pip install 'asyncbatch[otel]'" in said


def test_it_needs_the_api_alone() -> None:
    """Without the SDK, requests are sent as ever."""
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "import asyncbatch, httpx\n"
        "from asyncbatch.telemetry import OpenTelemetry\n"
        "mock = httpx.MockTransport(lambda _: httpx.Response(200))\n"
        "options = {'telemetry': OpenTelemetry(propagate=['*']), 'transport': mock}\n"
        "print(asyncbatch.fetch_many_sync(['http://a.test/'], **options)[0].ok)"
    )

    assert run(code) == "True\n"


async def test_a_mock_of_respx_has_spans() -> None:
    """It comes in the middle of a client."""
    respx = pytest.importorskip("respx")
    ours = Traced()
    with respx.mock() as mock:
        mock.get("http://host.invalid/a").respond(503)
        results = await asyncbatch.fetch_many(
            ["http://host.invalid/a"], telemetry=ours.option("*"), retry=None
        )
        (call,) = mock.calls

    assert results[0].status_code == 503
    assert ours.told("error.type") == ["503"]
    assert "traceparent" in call.request.headers
