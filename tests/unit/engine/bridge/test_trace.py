"""Trace events: told in order, and all of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.bridge._trace import EventLog
from tests import aio


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
