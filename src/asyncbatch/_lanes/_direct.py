"""
The direct lane: one attempt on the engine, without httpx's per-request machinery.

It gives the same result as the client lane, and leaves to that lane whatever it would have to
imitate: redirects and what `_conditions` and `_prepare` name. A redirect's first response is not
fetched a second time; it is replayed through the client.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

import anyio

from asyncbatch._clock import Clock
from asyncbatch._decoding import BodyLimitExceeded
from asyncbatch._http11 import ExchangeError, ResponseHead, ResponseTooLarge
from asyncbatch._lanes._binding import Binding
from asyncbatch._lanes._blueprint import PreparedBlueprint, course_of
from asyncbatch._lanes._client import ClientLane
from asyncbatch._lanes._conditions import Conditions, standing_reason_against
from asyncbatch._lanes._engine_failures import engine_outcome
from asyncbatch._lanes._failures import decoding_outcome, invalid_outcome
from asyncbatch._lanes._heads import coding_in, coding_of, sets_cookies
from asyncbatch._lanes._own import OwnClient
from asyncbatch._lanes._prepare import Preparer
from asyncbatch._lanes._prepared import Prepared
from asyncbatch._lanes._relay import OnAnswer, Relay
from asyncbatch._lanes._terms import TermsByLimits
from asyncbatch._lanes._whole_body import WholeBodyDecoder
from asyncbatch._outcome import Outcome
from asyncbatch._request import Unset
from asyncbatch._stalls import Stalls
from asyncbatch._timeouts import TimeLimits
from asyncbatch._timing import timing_of
from asyncbatch._transport import (
    NEVER,
    SHORT_BODY,
    Engine,
    EngineClosed,
    Exchange,
    TimedOut,
    Upload,
)

_log = logging.getLogger("httpx")


class DirectLane(ClientLane):
    """Carries out attempts on the engine of a client of ours, or on the client where it must."""

    def __init__(self, client: OwnClient, binding: Binding, **rules: Any) -> None:
        super().__init__(client, binding, **rules)
        self._transport = client.own_transport
        self.client = client
        self.preparer = Preparer(client, binding, self._transport)
        self.default_encoding: Any = self._client._default_encoding
        # Why no request of the present batches may take this lane; None if they may.
        self.reason_against: str | None = "no batch has begun"
        self._conditions = Conditions(client, OwnClient, self._transport)
        self.terms = TermsByLimits(
            max_body=self._rules.max_body,
            follow_redirects=self._rules.follow_redirects,
            minimum_rate=self._rules.minimum_rate,
        )
        self.decoder = WholeBodyDecoder(self._rules.max_body)

    def take_part_in(self, stalls: Stalls) -> None:
        """Take part in keeping the time in which the loop stands still out of all accounts."""
        super().take_part_in(stalls)
        if self._transport is not None and self._transport.engine is not None:
            self._transport.engine.on_stall = self._tell_of_stall

    def take_out(self, seconds: float, before: float) -> None:
        """Take time in which the loop stood still out of what is under way."""
        super().take_out(seconds, before)
        if self._transport is not None and self._transport.engine is not None:
            self._transport.engine.take_out(seconds, before)

    def _tell_of_stall(self, seconds: float, before: float) -> None:
        super().take_out(seconds, before)
        self._stalls.take_out(seconds, before, source=self.take_out)

    def begin_batch(self, clock: Clock) -> None:
        """Look whether the lane may be taken."""
        self.decoder.begin()
        if clock is not monotonic:
            # trio, or a clock that somebody has made virtual: the engine knows neither.
            super().begin_batch(clock)
            self.reason_against = "the event loop is not one that the engine runs on"
            return
        self.reason_against = self._conditions.reason_against()

    async def exchange(
        self,
        item: object,
        limits: TimeLimits,
        seconds: float | None,
        clock: Clock,
        left: float | None = None,
    ) -> Outcome:
        """
        Send `item` and return the outcome, within `seconds`; only cancellation is raised.

        The outcome of a response has its status, but no verdict on it.
        """
        prepared = self._prepared(item, limits)
        if prepared is None:
            return await super().exchange(item, limits, seconds, clock, left)
        deadline = NEVER if seconds is None else monotonic() + seconds
        try:
            exchange = self._begin(prepared, limits, deadline)
        except (EngineClosed, RuntimeError):
            # Closed by its user, or used from another event loop: the client says what it thinks.
            return await super().exchange(item, limits, seconds, clock, left)
        try:
            await exchange.future
        except BaseException:
            self.engine.abandon(exchange)
            raise
        return await self.conclude(item, limits, seconds, exchange, prepared)

    async def conclude(
        self,
        item: object,
        limits: TimeLimits,
        seconds: float | None,
        exchange: Exchange,
        prepared: Prepared,
    ) -> Outcome:
        """Return the outcome of an exchange that is over."""
        if _leads_on(exchange):
            return await self._replay(item, limits, seconds, exchange)
        if exchange.head is not None:
            self._note_head(exchange, prepared)
        if exchange.error is not None:
            return self._failed(exchange, prepared, seconds)
        prepared.forget_payload()
        assert exchange.head is not None  # there was no error
        coding = coding_of(exchange.head.status, coding_in(exchange.head.block))
        try:
            raw = bytes(exchange.content)
        except MemoryError as error:
            return self._undecodable(exchange, prepared, error)
        if coding is None:
            return self._arrived(exchange, prepared, raw)
        return await self._decoded(exchange, prepared, raw, coding, seconds)

    def relay(self, limits: TimeLimits, on_answer: OnAnswer) -> Relay | None:
        """Return a relay for plain GETs with these limits, if the lane may be taken at all."""
        # Where the client adds parameters, no URL is sent as it is.
        if self.reason_against is not None or self._client.params:
            return None
        return Relay(self, limits, on_answer)

    @property
    def max_body(self) -> int | None:
        """The longest decoded body to accept, in bytes."""
        return self._rules.max_body

    def _max_body_of(self, limits: TimeLimits) -> int | None:
        own = limits.max_body
        return self._rules.max_body if isinstance(own, Unset) else own

    def is_plain(self, head: ResponseHead) -> bool:
        """Whether a complete response with this head needs nothing but to be decoded and kept."""
        return head.status < 300 and not sets_cookies(head.block)

    def _prepared(self, item: object, limits: TimeLimits) -> Prepared | None:
        """Return `item` as the engine takes it, or `None` if the client is to have it."""
        if self.reason_against is not None or standing_reason_against(self._client) is not None:
            return None
        try:
            return self.preparer.prepare(item, limits)
        except Exception:
            # It cannot be sent; the client lane will meet the same mistake, and report it.
            return None

    async def _replay(
        self, item: object, limits: TimeLimits, seconds: float | None, exchange: Exchange
    ) -> Outcome:
        """Let the client go on from a response that has come: the network sees the request once."""
        first_hop = timing_of(course_of(exchange))
        spent = monotonic() - exchange.begun_at
        exchange.error = None  # of a body that is too long, and left empty
        outcome = await self._send(
            item, limits, seconds, monotonic, left=seconds, first=exchange, spent=spent
        )
        outcome.timing = timing_of(outcome.timing).following(first_hop)
        return outcome

    @property
    def engine(self) -> Engine:
        transport = self._transport
        assert transport is not None
        engine: Engine = transport.engine
        return engine

    def _begin(self, prepared: Prepared, limits: TimeLimits, deadline: float) -> Exchange:
        payload, body = prepared.payload, prepared.body
        if body is not None and len(body) <= SHORT_BODY:
            # One write of both, which can wait for those of others: see the pool's outbox.
            payload, body = payload + body, None
        return self.engine.begin(
            prepared.origin,
            prepared.method,
            payload,
            body,
            self.terms.of(limits, prepared.follow_redirects),
            deadline,
            prepared.closes,
        )

    def _note_head(self, exchange: Exchange, prepared: Prepared) -> None:
        """Do what a client does as soon as a head has come: take its cookies, and log it."""
        head = exchange.head
        assert head is not None
        has_cookies = sets_cookies(head.block)
        if not has_cookies and not _log.isEnabledFor(logging.INFO):
            return
        request = prepared.native()
        if has_cookies:
            response = self.binding.library.Response(
                head.status, headers=head.fields, request=request
            )
            self._client.cookies.extract_cookies(response)
        # Word for word what httpx writes for each exchange.
        _log.info(
            'HTTP Request: %s %s "%s %d %s"',
            request.method,
            request.url,
            head.version.decode("ascii"),
            head.status,
            head.reason.decode("ascii", errors="ignore"),
        )

    def _failed(self, exchange: Exchange, prepared: Prepared, seconds: float | None) -> Outcome:
        request = prepared.native()
        in_body = exchange.head is not None
        error, exchange.error = exchange.error, None
        if isinstance(error, ExchangeError):
            outcome = engine_outcome(
                error,
                self.binding,
                request,
                in_body=in_body,
                seconds=seconds,
                max_body=self._max_body_of(prepared.limits),
            )
            if outcome.cut and not exchange.send_at:
                outcome.connect_failed = True
            outcome.heard = _heard(exchange, outcome)
        elif isinstance(error, MemoryError):
            outcome = decoding_outcome(error, request, self.binding)
        else:
            assert error is not None
            outcome = invalid_outcome(error, self.binding)
        outcome.timing = course_of(exchange)
        outcome.url = request.url
        return outcome

    def _arrived(self, exchange: Exchange, prepared: Prepared, content: bytes) -> Outcome:
        head = exchange.head
        assert head is not None
        limit = self._max_body_of(prepared.limits)
        if limit is not None and len(content) > limit:
            return self._undecodable(exchange, prepared, BodyLimitExceeded(limit))
        blueprint = PreparedBlueprint(
            self.binding.library, self.default_encoding, exchange, prepared
        )
        return Outcome(
            response=blueprint,
            content=content,
            timing=course_of(exchange),
            status_code=head.status,
        )

    async def _decoded(
        self,
        exchange: Exchange,
        prepared: Prepared,
        raw: bytes,
        coding: str,
        seconds: float | None,
    ) -> Outcome:
        decoder = self.decoder
        if not isinstance(prepared.limits.max_body, Unset):
            decoder = WholeBodyDecoder(prepared.limits.max_body)
        try:
            content = decoder.decode_nowait(raw, coding)
            if content is None:
                left = None if seconds is None else exchange.begun_at + seconds - monotonic()
                with anyio.move_on_after(None if left is None else max(0.0, left)):
                    content = await decoder.decode(raw, coding)
        except Exception as error:
            error.with_traceback(None)  # its frames hold the body
            return self._undecodable(exchange, prepared, error)
        if content is None:
            exchange.error = TimedOut("total")
            return self._failed(exchange, prepared, seconds)
        return self._arrived(exchange, prepared, content)

    def _undecodable(self, exchange: Exchange, prepared: Prepared, error: Exception) -> Outcome:
        request = prepared.native()
        outcome = decoding_outcome(error, request, self.binding)
        outcome.heard = True
        outcome.timing = course_of(exchange)
        outcome.url = request.url
        return outcome


def _heard(exchange: Exchange, outcome: Outcome) -> bool | None:
    """Say whether a byte of the response came."""
    if exchange.first_byte_at:
        return True
    is_uploading = isinstance(exchange.body, Upload) and not exchange.sent_at
    if outcome.cut and exchange.send_at and is_uploading:
        return None  # perhaps the caller has produced the body too slowly
    return outcome.heard


def _leads_on(exchange: Exchange) -> bool:
    """
    Whether httpx would follow this redirect, or say where it leads.

    That its body is too long does not matter then.
    """
    head = exchange.head
    if head is None or head.status < 300 or not head.is_redirect:
        return False
    return exchange.error is None or isinstance(exchange.error, ResponseTooLarge)
