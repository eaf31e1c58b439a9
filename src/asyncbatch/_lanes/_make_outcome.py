"""
Make the outcome of an exchange that has ended: a response, or the error that it failed with.

Redirects are followed by the `DirectLane`, and event hooks called by `HookedRequests`.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

import anyio

from asyncbatch._decoding import BodyLimitExceeded
from asyncbatch._engine import Exchange, TimedOut
from asyncbatch._engine.http11 import ExchangeError, ResponseHead, UnjoinedBody
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._cookies import AskedUrl, UserAgentJar, has_usual_rules
from asyncbatch._lanes.client._routes import forwarded_by
from asyncbatch._lanes.failures._of_client import decoding_outcome, invalid_outcome
from asyncbatch._lanes.failures._of_engine import engine_outcome
from asyncbatch._lanes.request._encoded_request import Encoded, PreparedRequest
from asyncbatch._lanes.response._body import redirect_limit
from asyncbatch._lanes.response._head_fields import set_cookie_lines, sets_cookies
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._lanes.response._response_builder import (
    Hop,
    PreparedResponseBuilder,
    RedirectedResponseBuilder,
    ResponseBuilder,
    peer_of,
)
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder, join
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._request import Unset
from asyncbatch._values._timeouts import TimeLimits

_log = logging.getLogger("httpx")


class OutcomeMaker:
    """
    Makes the outcomes of exchanges for one client.

    Args:
        client: The client, which has the cookies.
        binding: That of the client's library.
        max_body: Most bytes of a decoded body, for requests that do not set it.
    """

    def __init__(self, client: Any, binding: Binding, max_body: int | None) -> None:
        self._client = client
        self._binding = binding
        self._max_body = max_body
        self._default_encoding: Any = client._default_encoding
        self.decoder = WholeBodyDecoder(max_body)
        """Decodes the bodies of requests that set no `max_body`."""

    def response_builder(
        self, exchange: Exchange, prepared: PreparedRequest, hops: list[Hop] | None = None
    ) -> PreparedResponseBuilder:
        """Return the builder of a response; `hops` are the redirects that led to it."""
        common = self._binding.library, self._default_encoding, exchange, prepared
        if hops:
            return RedirectedResponseBuilder(*common, hops)
        return PreparedResponseBuilder(*common)

    def max_body_of(self, limits: TimeLimits) -> int | None:
        """Return the most bytes of a decoded body for a request with these limits."""
        own = limits.max_body
        return self._max_body if isinstance(own, Unset) else own

    def decoder_of(self, limits: TimeLimits) -> WholeBodyDecoder:
        """Return the decoder of bodies for a request with these limits."""
        own = limits.max_body
        return self.decoder if isinstance(own, Unset) else WholeBodyDecoder(own)

    async def outcome_of(
        self,
        exchange: Exchange,
        prepared: PreparedRequest,
        hops: list[Hop],
        seconds: float | None,
    ) -> Outcome:
        """Return the outcome of the last exchange, which has ended."""
        if exchange.head is not None:
            self.note_head(exchange, prepared)
        if exchange.error is not None:
            return self.failed(exchange, prepared, seconds)
        prepared.forget_payload()
        assert exchange.head is not None  # there was no error
        response_builder = self.response_builder(exchange, prepared, hops)
        raw: bytes | None = None
        try:
            if isinstance(exchange.content, UnjoinedBody):
                with anyio.move_on_after(_left(exchange, seconds)):
                    exchange.content = raw = await join(exchange.content)
            else:
                raw = bytes(exchange.content)
        except MemoryError as error:
            return self.undecodable(exchange, prepared, error)
        if raw is None:
            exchange.error = TimedOut("total")
            return self.failed(exchange, prepared, seconds)
        if response_builder.coding is None:
            return self._arrived(exchange, prepared, response_builder, raw)
        return await self._decoded(exchange, prepared, response_builder, raw, seconds)

    def redirect_body(
        self, exchange: Exchange, response_builder: ResponseBuilder, limits: TimeLimits
    ) -> bytes | None:
        """Return the decoded body of a redirect; `None` if it is too long or slow to decode."""
        content: bytes | None = bytes(exchange.content)
        if content and response_builder.coding is not None:
            content = self.decoder.decode_nowait(content, response_builder.coding)
        limit = redirect_limit(self.max_body_of(limits))
        return None if content is None or len(content) > limit else content

    def take_cookies(self, encoded: Encoded, head: ResponseHead) -> bool:
        """Keep the cookies that a head sets; return `False` if the client must do it."""
        jar = self._client._cookies.jar
        lines = set_cookie_lines(head.block)
        if lines is None or not (type(jar) is UserAgentJar and has_usual_rules(jar)):
            return False
        url = encoded.url if isinstance(encoded, PreparedRequest) else encoded[1]
        jar.extract(lines, AskedUrl.of(url))
        return True

    def note_head(self, exchange: Exchange, prepared: PreparedRequest) -> None:
        """Tell of a head that has come, and do what httpx does: keep its cookies, and log it."""
        head = exchange.head
        assert head is not None
        if prepared.watch is not None:
            prepared.watch.head_received(head.status, head.version, peer_of(exchange.connection))
        if sets_cookies(head.block) and not self.take_cookies(prepared, head):
            request = prepared.native()
            response = self._binding.library.Response(
                head.status, headers=head.fields, request=request
            )
            self._client.cookies.extract_cookies(response)
        self.log_head(head, prepared)

    def log_head(self, head: ResponseHead, prepared: PreparedRequest) -> None:
        """Log a head as httpx does."""
        if not _log.isEnabledFor(logging.INFO):
            return
        request = prepared.native()
        # The same message that httpx logs for each exchange.
        _log.info(
            'HTTP Request: %s %s "%s %d %s"',
            request.method,
            request.url,
            head.version.decode("ascii"),
            head.status,
            head.reason.decode("ascii", errors="ignore"),
        )

    def failed(
        self, exchange: Exchange, prepared: PreparedRequest, seconds: float | None
    ) -> Outcome:
        """Return the outcome of an exchange that has an error."""
        request = prepared.native()
        in_body = exchange.head is not None
        error, exchange.error = exchange.error, None
        if isinstance(error, ExchangeError):
            error.is_at_proxy = exchange.is_at_proxy
            outcome = engine_outcome(
                error,
                self._binding,
                request,
                in_body=in_body,
                seconds=seconds,
                max_body=self.max_body_of(prepared.limits),
            )
            if not outcome.of_proxy:
                if outcome.cut and not exchange.send_at:
                    outcome.connect_failed = True
                if exchange.first_byte_at:
                    outcome.heard = True
        elif isinstance(error, MemoryError):
            outcome = decoding_outcome(error, request, self._binding)
        else:
            assert error is not None
            outcome = invalid_outcome(error, self._binding)
        outcome.timing = course_of(exchange)
        outcome.url = request.url
        return outcome

    def _arrived(
        self,
        exchange: Exchange,
        prepared: PreparedRequest,
        response_builder: ResponseBuilder,
        content: bytes,
    ) -> Outcome:
        limit = self.max_body_of(prepared.limits)
        if limit is not None and len(content) > limit:
            return self.undecodable(exchange, prepared, BodyLimitExceeded(limit))
        return Outcome(
            response=response_builder,
            content=content,
            timing=course_of(exchange),
            status_code=response_builder.status_code,
            forwarded_by=forwarded_by(exchange),
        )

    async def _decoded(
        self,
        exchange: Exchange,
        prepared: PreparedRequest,
        response_builder: ResponseBuilder,
        raw: bytes,
        seconds: float | None,
    ) -> Outcome:
        decoder, coding = self.decoder_of(prepared.limits), response_builder.coding
        assert coding is not None
        try:
            content = decoder.decode_nowait(raw, coding)
            if content is None:
                with anyio.move_on_after(_left(exchange, seconds)):
                    content = await decoder.decode(raw, coding)
        except Exception as error:
            error.with_traceback(None)  # its frames hold the body
            return self.undecodable(exchange, prepared, error)
        if content is None:
            exchange.error = TimedOut("total")
            return self.failed(exchange, prepared, seconds)
        return self._arrived(exchange, prepared, response_builder, content)

    def undecodable(
        self, exchange: Exchange, prepared: PreparedRequest, error: Exception
    ) -> Outcome:
        """Return the outcome of an exchange whose body does not decode, or to too much."""
        request = prepared.native()
        outcome = decoding_outcome(error, request, self._binding)
        outcome.heard = True
        outcome.timing = course_of(exchange)
        outcome.url = request.url
        return outcome


def _left(exchange: Exchange, seconds: float | None) -> float | None:
    """Return the remaining seconds of an attempt."""
    return None if seconds is None else max(0.0, exchange.begun_at + seconds - monotonic())
