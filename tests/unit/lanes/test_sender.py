"""What the engine is given, and what the client lane continues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import anyio
import pytest

from asyncbatch import FailureKind, Request
from asyncbatch._engine import NEVER, SHORT_BODY, EngineClosed
from asyncbatch._lanes import ClientLane, OwnClient, binding_of
from asyncbatch._lanes._exchange_limits import ExchangeLimitsCache
from asyncbatch._lanes._sender import Sender
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._values._request import plain_url
from asyncbatch._values._timeouts import limits_of
from asyncbatch.testing import LoopbackServer, Reply

LIMITS = limits_of(5.0, 2.0)
TERMS = ExchangeLimitsCache(max_body=None, follow_redirects=True, minimum_rate=None).of(LIMITS)


class Parts:
    """A client of ours, and a sender for it."""

    def __init__(self) -> None:
        self.client = OwnClient(trust_env=False)
        self.binding = binding_of(self.client)
        rules: dict[str, Any] = {"max_body": None, "follow_redirects": True, "max_redirects": 5}
        self.lane = ClientLane(self.client, self.binding, **rules)
        self.lane.begin_batch(monotonic)
        self.sender = Sender(self.client.own_transport, self.lane)

    def prepared(self, item: Any) -> PreparedRequest:
        encoder = RequestEncoder(self.client, self.binding, self.client.own_transport)
        encoded = encoder.encode(item, plain_url(item), LIMITS)
        assert encoded is not None
        return PreparedRequest.of(encoded, LIMITS)


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    parts = Parts()
    async with parts.client:
        yield parts


@pytest.mark.parametrize("size", [0, 1, SHORT_BODY, SHORT_BODY + 1])
async def test_head_and_body_are_sent_whole(
    parts: Parts, server: LoopbackServer, size: int
) -> None:
    """In one write where the body is short, and else in two."""
    item = Request(server.url(), "POST", content=b"x" * size)
    exchange = parts.sender.begin(parts.prepared(item), TERMS, NEVER)
    await parts.sender.wait(exchange)

    assert server.requests[0].body == b"x" * size
    assert (exchange.body is None) == (size <= SHORT_BODY)


async def test_a_wait_that_is_cancelled_ends_the_exchange(
    parts: Parts, server: LoopbackServer
) -> None:
    """Its connection is not kept."""
    server.on("/", Reply().hang())
    exchange = parts.sender.begin(parts.prepared(server.url()), TERMS, NEVER)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(parts.sender.wait, exchange)
            await server.wait_until(lambda seen: seen.requests == 1)
            scope.cancel()

    assert exchange.is_over
    assert parts.sender.engine.counts()["connections"] == 0


async def test_a_client_that_was_closed_sends_nothing(server: LoopbackServer) -> None:
    """The caller of `begin` is told."""
    parts = Parts()
    async with parts.client:
        prepared = parts.prepared(server.url())

    with pytest.raises(EngineClosed):
        parts.sender.begin(prepared, TERMS, NEVER)


async def test_what_has_come_is_not_asked_for_again(parts: Parts, server: LoopbackServer) -> None:
    """The client lane begins with it, and its times come first."""
    server.on("/", Reply.redirect("/there"))
    prepared = parts.prepared(server.url())
    exchange = parts.sender.begin(prepared, TERMS, NEVER)
    await parts.sender.wait(exchange)
    outcome = await parts.sender.leave_to_client(
        prepared, exchange, None, course_of(exchange), seconds=5.0, spent=0.0
    )

    assert outcome.status_code == 200
    assert [request.target for request in server.requests] == ["/", "/there"]
    assert outcome.timing.connect is not None


async def test_the_time_that_has_passed_is_not_given_again(
    parts: Parts, server: LoopbackServer
) -> None:
    """An attempt whose time is spent ends at once."""
    server.on("/", Reply().hang())
    outcome = await parts.sender.leave_to_client(
        parts.prepared(server.url()), None, None, None, seconds=60.0, spent=60.0
    )

    assert outcome.kind == FailureKind.timeout
