"""Trace events: told in order, and all of them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine.bridge._trace import EventLog

pytestmark = pytest.mark.asyncio_only


async def test_a_request_that_was_sent_is_told_so_though_it_is_cancelled_then() -> None:
    """Or it would count as one that never left, and be sent a second time."""
    told: list[str] = []

    async def trace(name: str, _: Any) -> None:
        told.append(name)

    log = EventLog(object())
    exchange: Any = SimpleNamespace(future=asyncio.get_running_loop().create_future())
    report = asyncio.ensure_future(log.report(exchange, trace))
    log.observe("connection.connect_tcp.started", {})
    await asyncio.sleep(0)
    log.observe("connection.connect_tcp.complete", {})
    log.observe("sent", {})
    report.cancel()
    with pytest.raises(asyncio.CancelledError):
        await report

    assert told[0] == "connection.connect_tcp.started"
    assert "http11.send_request_headers.started" in told
