"""Trace events: told in order, and all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from asyncbatch import HTTPTransport
from asyncbatch._engine import Exchange
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.bridge._trace import EventLog, ExchangeTrace
from asyncbatch.testing import LoopbackServer
from tests import aio
from tests.raw_server import OK, Peer, serve


class Watching(ExchangeTrace):
    """Takes exchanges, or events, as it is told."""

    def __init__(self, *, wants_exchange: bool) -> None:
        self._wants_exchange = wants_exchange
        self.exchanges: list[Exchange] = []
        self.events: list[str] = []

    @property
    def wants_exchange(self) -> bool:
        return self._wants_exchange

    def watch_exchange(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    async def __call__(self, event: str, info: Any) -> None:
        self.events.append(event)


@pytest.mark.parametrize("wants_exchange", [True, False])
async def test_a_trace_is_given_the_exchange_or_called_with_its_events(
    server: LoopbackServer, wants_exchange: bool
) -> None:
    """As it asks for; the exchange knows all times at the end."""
    trace = Watching(wants_exchange=wants_exchange)
    async with httpx.AsyncClient(transport=HTTPTransport()) as client:
        await client.get(server.url(), extensions={"trace": trace})

    if not wants_exchange:
        assert trace.exchanges == []
        assert "http11.receive_response_body.complete" in trace.events
        return
    assert trace.events == []
    (exchange,) = trace.exchanges
    assert 0.0 < exchange.begun_at <= exchange.send_at <= exchange.first_byte_at
    assert exchange.is_over


async def test_a_body_that_breaks_off_is_told_and_closed_once() -> None:
    """As httpcore's: the failure first, and then the end of the response."""
    told: list[str] = []

    async def trace(name: str, _: Any) -> None:
        told.append(name.removeprefix("http11."))

    async def cut(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK[:-1])

    async with serve(cut) as server, HTTPTransport() as transport:
        request = httpx.Request("GET", server.url, extensions={"trace": trace})
        response = await transport.handle_async_request(request)
        with pytest.raises(httpx.RemoteProtocolError):
            await response.aread()
        await response.aclose()

    assert told[-4:] == [
        "receive_response_body.started",
        "receive_response_body.failed",
        "response_closed.started",
        "response_closed.complete",
    ]


async def test_a_request_that_was_sent_is_told_so_though_it_is_cancelled_then() -> None:
    """Or it would count as one that never left, and be sent a second time."""
    told: list[str] = []

    async def trace(name: str, _: Any) -> None:
        told.append(name)

    log = EventLog(object())
    exchange: Any = SimpleNamespace(future=running_loop().create_future())
    report = aio.ensure_future(log.report(exchange, trace))
    log.observe("connection.connect_tcp.started", {})
    await aio.sleep(0)
    log.observe("connection.connect_tcp.complete", {})
    log.observe("sent", {})
    report.cancel()
    with pytest.raises(aio.CancelledError):
        await report

    assert told[0] == "connection.connect_tcp.started"
    assert "http11.send_request_headers.started" in told
