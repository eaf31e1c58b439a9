"""
Send prepared requests by the engine, and leave to the client lane what it has to continue.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from asyncbatch._engine import NEVER, SHORT_BODY, Engine, Exchange, ExchangeLimits
from asyncbatch._lanes._client import ClientLane
from asyncbatch._lanes.client._attempt import Resumed
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._sink import Sink
from asyncbatch._values._timing import Course, timing_of


class Sender:
    """
    Sends the requests of one client by the engine of its transport.

    Args:
        transport: The client's; `None` if it is not ours, and nothing is sent.
        client_lane: Continues exchanges that have begun.
    """

    def __init__(self, transport: Any, client_lane: ClientLane) -> None:
        self._transport = transport
        self._client_lane = client_lane

    @property
    def engine(self) -> Engine:
        """The engine."""
        engine: Engine = self._transport.engine
        return engine

    def begin(self, prepared: PreparedRequest, limits: ExchangeLimits, deadline: float) -> Exchange:
        """
        Begin the exchange of a request.

        Raises:
            EngineClosed: The client was closed.
            RuntimeError: The client is used from another event loop.
        """
        if prepared.watch is not None:
            prepared.announce()
        body = prepared.body
        if body is None or len(body) <= SHORT_BODY:
            # One write for both, which the pool's `Outbox` may send together with others.
            payload, body = prepared.whole(), None
        else:
            payload = prepared.head()
        return self.engine.begin(
            prepared.origin, prepared.method, payload, body, limits, deadline, prepared.closes
        )

    def lift_deadline(self, exchange: Exchange) -> None:
        """Let the rest of a response take any time; its reader has a limit of its own."""
        connection = exchange.active_connection
        exchange.deadline = NEVER
        if connection is not None:
            connection.deadline = NEVER

    async def wait(self, exchange: Exchange) -> None:
        """Wait for an exchange; a cancellation ends it."""
        try:
            await exchange.future
        except BaseException:
            self.engine.abandon(exchange)
            raise

    async def leave_to_client(
        self,
        prepared: PreparedRequest,
        first: Exchange | None,
        resumed: Resumed | None,
        earlier: Course | None,
        seconds: float | None,
        spent: float,
        sink: Sink | None = None,
    ) -> Outcome:
        """
        Continue on the client lane, and return the outcome; no request is sent twice.

        Args:
            prepared: The request.
            first: The exchange that answers the first hop, or the hop after those of `resumed`.
            resumed: What has been done for it, apart from `first`.
            earlier: The course of the hops before, if there were any.
            seconds: The limit on the attempt.
            spent: How many of them have passed.
            sink: Takes the body; see `Lane.exchange`.
        """
        outcome = await self._client_lane.exchange(
            prepared.item,
            None,
            prepared.limits,
            seconds,
            monotonic,
            left=seconds,
            route=prepared.own_route,
            sink=sink,
            watch=prepared.watch,
            first=first,
            resumed=resumed,
            spent=spent,
        )
        if earlier is not None:
            outcome.timing = timing_of(outcome.timing).following(timing_of(earlier))
        return outcome
