"""Which transport takes a request, and what stands around it."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport, HTTPXClientInstrumentor

from asyncbatch import HTTPTransport
from asyncbatch._lanes.client._routes import engines_of, is_instrumented, takes_routes

pytestmark = pytest.mark.any_loop


@pytest.fixture(params=["plain", "ours", "httpx2"])
async def client(request: pytest.FixtureRequest) -> Any:
    """Return a client on some transport."""
    library: Any = httpx2 if request.param == "httpx2" else httpx
    options = {"transport": HTTPTransport()} if request.param == "ours" else {}
    async with library.AsyncClient(**options) as client:
        yield client


def url_for(client: Any) -> Any:
    library: Any = httpx2 if isinstance(client, httpx2.AsyncClient) else httpx
    return library.URL("http://a.test/")


async def test_an_instrument_of_all_clients_is_seen(client: Any) -> None:
    """It has wrapped the method of a class below the transport's."""
    assert not is_instrumented(client, url_for(client))
    HTTPXClientInstrumentor().instrument()
    try:
        seen = is_instrumented(client, url_for(client))
    finally:
        HTTPXClientInstrumentor().uninstrument()

    assert seen or isinstance(client, httpx2.AsyncClient)
    assert not is_instrumented(client, url_for(client))


async def test_an_instrument_of_one_client_is_seen(client: Any) -> None:
    """It has wrapped the method of the transport itself, and of no other client's."""
    instrument: Any = HTTPXClientInstrumentor()
    async with httpx.AsyncClient() as other:
        instrument.instrument_client(client)
        try:
            assert is_instrumented(client, url_for(client))
            assert not is_instrumented(other, url_for(other))
        finally:
            instrument.uninstrument_client(client)
    assert not is_instrumented(client, url_for(client))


async def test_a_transport_of_opentelemetry_is_an_instrument() -> None:
    """As one that wraps another."""
    transport = AsyncOpenTelemetryTransport(httpx.AsyncHTTPTransport())
    async with httpx.AsyncClient(transport=transport) as client:
        assert is_instrumented(client, url_for(client))
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: None)) as client:  # type: ignore[arg-type, return-value]
        assert not is_instrumented(client, url_for(client))


async def test_engines_and_routes_are_those_of_our_transports(client: Any) -> None:
    """A mount with the same engine counts once."""
    transport = getattr(client, "_transport", None)
    is_ours = isinstance(transport, HTTPTransport)

    assert len(engines_of(client)) == int(is_ours)
    request = client.build_request("GET", "http://a.test/")
    assert takes_routes(client, request) is is_ours
