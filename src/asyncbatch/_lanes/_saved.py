"""
Send requests whose bodies go to a sink by the engine, without httpx's own code.

The client lane continues all other outcomes than a plain success: a redirect, an error, a body that
is not read.
"""

from __future__ import annotations

import functools
from time import monotonic
from typing import Any

from asyncbatch._decoding import DecodingFailure, decoder_into
from asyncbatch._engine import (
    NEVER,
    Exchange,
    ExchangeLimits,
    LentBodyStream,
    SentTooSlowly,
)
from asyncbatch._engine.http11 import ExchangeError
from asyncbatch._lanes._make_outcome import OutcomeMaker
from asyncbatch._lanes._sender import Sender
from asyncbatch._lanes.client._attempt import Resumed
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._routes import forwarded_by
from asyncbatch._lanes.failures._of_sink import sink_outcome
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._lanes.response._response_builder import (
    PreparedResponseBuilder,
    response_to,
)
from asyncbatch._lanes.response._save import write_all
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._sink import Head, Saved, Sink, SinkFailure, Taking
from asyncbatch._values._timeouts import shorter


class SavedRequests:
    """
    Sends requests of one client whose bodies go to a sink.

    Args:
        client: The client.
        binding: That of its library.
        sender: Sends them.
        outcomes: Makes their outcomes.
        minimum_rate: Bytes per second below which a body is given up.
    """

    def __init__(
        self,
        client: Any,
        binding: Binding,
        sender: Sender,
        outcomes: OutcomeMaker,
        minimum_rate: float | None,
    ) -> None:
        self._default_encoding: Any = client._default_encoding
        self._binding = binding
        self._sender = sender
        self._outcomes = outcomes
        self._minimum_rate = minimum_rate

    async def exchange(
        self,
        prepared: PreparedRequest,
        limits: ExchangeLimits,
        seconds: float | None,
        sink: Sink,
    ) -> Outcome:
        """
        Send a request and return the outcome, within `seconds`; only cancellation is raised.

        Args:
            prepared: The request.
            limits: Those of its exchange, from `ExchangeLimitsCache.streamed`.
            seconds: The limit on the attempt.
            sink: Takes the body.

        Raises:
            EngineClosed: The client was closed.
            RuntimeError: The client is used from another event loop.
        """
        allowed = shorter(seconds, prepared.limits.head)
        exchange = self._sender.begin(
            prepared, limits, NEVER if allowed is None else monotonic() + allowed
        )
        return await self.conclude(prepared, exchange, seconds, sink)

    async def conclude(
        self, prepared: PreparedRequest, exchange: Exchange, seconds: float | None, sink: Sink
    ) -> Outcome:
        """
        Return the outcome of an exchange that has begun; see `exchange`.

        It may have come to any point, but nothing of its body may have been taken.
        """
        allowed = shorter(seconds, prepared.limits.head)
        try:
            await self._sender.wait(exchange)
            if exchange.head is None:
                outcome = self._outcomes.failed(exchange, prepared, allowed)
                outcome.cut = outcome.cut and allowed == seconds
                return outcome
            if exchange.head.status >= 300:
                return await self._sender.leave_to_client(
                    prepared,
                    exchange,
                    # Not built anew from the item: the jar may have changed since it was sent.
                    Resumed(prepared.native(), []),
                    course_of(exchange),
                    seconds,
                    monotonic() - exchange.begun_at,
                    sink,
                )
            _allow_more(exchange, seconds, allowed)
            self._outcomes.note_head(exchange, prepared)
            return await self._save(exchange, prepared, seconds, sink)
        finally:
            if not exchange.is_over:
                self._sender.engine.abandon(exchange)

    async def _save(
        self, exchange: Exchange, prepared: PreparedRequest, seconds: float | None, sink: Sink
    ) -> Outcome:
        prepared.forget_payload()
        response_builder = self._outcomes.response_builder(exchange, prepared)
        try:
            received, saved = await self._receive_file(exchange, prepared, response_builder, sink)
        except SinkFailure as failure:
            outcome = sink_outcome(failure, prepared.native(), self._binding)
            outcome.timing = course_of(exchange)
            outcome.url = prepared.native().url
            return outcome
        except ExchangeError as error:
            exchange.error = error
            return self._outcomes.failed(exchange, prepared, seconds)
        except DecodingFailure as error:
            return self._outcomes.undecodable(exchange, prepared, error)
        return Outcome(
            response=response_builder,
            timing=(*course_of(exchange)[:-1], received),
            status_code=response_builder.status_code,
            forwarded_by=forwarded_by(exchange),
            saved=saved,
        )

    async def _receive_file(
        self,
        exchange: Exchange,
        prepared: PreparedRequest,
        response_builder: PreparedResponseBuilder,
        sink: Sink,
    ) -> tuple[int, Saved]:
        """Hand the body over; return the number of bytes received, and the file."""
        head = exchange.head
        assert head is not None
        facts = Head(
            head.status,
            prepared.method.decode("ascii"),
            prepared.url,
            head.fields,
            functools.partial(self._response_of, exchange, prepared),
        )
        received = 0
        if await sink.accept(facts) is Taking.BODY:
            if response_builder.coding is not None:
                sink.decode_by(functools.partial(decoder_into, response_builder.coding))
            body = LentBodyStream(self._sender.engine, exchange)
            written = await write_all(body, sink, self._minimum_rate, body.refill)
            if written is None:
                assert self._minimum_rate is not None
                raise SentTooSlowly(self._minimum_rate)
            received = written
        return received, await sink.finish()

    def _response_of(self, exchange: Exchange, prepared: PreparedRequest) -> Any:
        """Return the native response, without its body."""
        library = self._binding.library
        return response_to(
            prepared.native(),
            exchange.head,
            exchange.connection,
            library,
            library.ByteStream(b""),
            self._default_encoding,
        )


def _allow_more(exchange: Exchange, seconds: float | None, allowed: float | None) -> None:
    """Replace the limit on the wait for the head by that on the whole attempt."""
    if allowed == seconds:
        return
    exchange.deadline = NEVER if seconds is None else exchange.begun_at + seconds
    connection = exchange.active_connection
    if connection is not None:
        connection.limit_wait(exchange, None)
