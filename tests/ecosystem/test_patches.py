"""Mocks and instruments that come in the middle of a fetcher's life, or before our import."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Fetcher
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.asyncio_only


@pytest.fixture
def real(server: LoopbackServer) -> LoopbackServer:
    """Have the server answer so that it can be told from a mock."""
    server.on("/*", Reply(body=b"real"))
    return server


@contextmanager
def respx_on(layer: str, url: str) -> Iterator[None]:
    respx = pytest.importorskip("respx")
    with respx.mock(using=layer) as mock:
        mock.get(url).respond(200, text="made up")
        yield


@pytest.mark.parametrize("layer", ["httpcore", "httpx"])
async def test_respx_may_come_and_go_between_two_batches(real: LoopbackServer, layer: str) -> None:
    """With connections to the real server open."""
    texts = []
    async with Fetcher(retry=None) as fetcher:
        texts.append((await fetcher.fetch(real.url())).text)
        with respx_on(layer, real.url()):
            texts.append((await fetcher.fetch(real.url())).text)
        texts.append((await fetcher.fetch(real.url())).text)

    assert texts == ["real", "made up", "real"]
    assert real.statistics().requests == 2


async def test_vcr_may_come_and_go_between_two_batches(
    real: LoopbackServer, tmp_path: Path
) -> None:
    """It records, plays back, and is gone."""
    vcr = pytest.importorskip("vcr")
    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(real.url())
        for _ in range(3):
            with vcr.use_cassette(str(tmp_path / "tape.yaml")):
                assert (await fetcher.fetch(real.url())).text == "real"
        await fetcher.fetch(real.url())

    assert real.statistics().requests == 3


@pytest.mark.parametrize("whole", [True, False])
async def test_opentelemetry_may_come_between_two_batches(
    real: LoopbackServer, whole: bool
) -> None:
    """For all clients, or for the fetcher's own; what it has seen carries a trace."""
    instrumentation = pytest.importorskip("opentelemetry.instrumentation.httpx")
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    processors = pytest.importorskip("opentelemetry.sdk.trace.export")
    exporter = export.InMemorySpanExporter()
    provider = trace.TracerProvider()
    provider.add_span_processor(processors.SimpleSpanProcessor(exporter))
    instrumentor: Any = instrumentation.HTTPXClientInstrumentor()

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(real.url())
        if whole:
            instrumentor.instrument(tracer_provider=provider)
        else:
            instrumentor.instrument_client(fetcher.client, tracer_provider=provider)
        try:
            await fetcher.fetch_many([real.url()] * 2)
        finally:
            if whole:
                instrumentor.uninstrument()
            else:
                instrumentor.uninstrument_client(fetcher.client)
        await fetcher.fetch(real.url())
        provider.shutdown()

    assert len(exporter.get_finished_spans()) == 2
    traced = ["traceparent" in request.headers for request in real.requests]
    assert traced == [False, True, True, False]


BEFORE_IMPORT = {
    "respx": """
        import respx
        mock = respx.mock()
        mock.get("http://host.invalid/").respond(200, text="made up")
        mock.start()
    """,
    "respx on httpx": """
        import respx
        mock = respx.mock(using="httpx")
        mock.get("http://host.invalid/").respond(200, text="made up")
        mock.start()
    """,
    "a patched transport": """
        import httpx

        async def handle(self, request):
            return httpx.Response(200, text="made up")

        httpx.AsyncHTTPTransport.handle_async_request = handle
    """,
    "a patched client": """
        import httpx

        async def send(self, request, **options):
            response = httpx.Response(200, text="made up", request=request)
            response.next_request = None
            return response

        httpx.AsyncClient.send = send
    """,
}


@pytest.mark.parametrize("case", BEFORE_IMPORT)
def test_who_patches_before_we_are_imported_is_asked(case: str) -> None:
    """Nothing is compared with what it was when we came."""
    if case.startswith("respx"):
        pytest.importorskip("respx")
    script = textwrap.dedent(BEFORE_IMPORT[case]) + textwrap.dedent(
        """
        import asyncbatch
        print(asyncbatch.fetch_many_sync(["http://host.invalid/"], retry=None)[0].unwrap().text)
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=False
    )

    assert ended.stdout == "made up\n", ended.stderr
