"""
A relay sends encoded requests one after the other, each begun in the callback that ends the last.

A task costs more than all else that a small request needs: its future, the turn of the event loop
until it runs, the coroutines down to the engine. A `Relay` does not wake its task while requests
and responses are ordinary, and wakes it for all others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from asyncbatch._engine import (
    NEVER,
    SHORT_BODY,
    Engine,
    EngineClosed,
    Exchange,
    ExchangeLimits,
    TimedOut,
)
from asyncbatch._lanes._redirects import leads_on
from asyncbatch._lanes.request._encoded_request import Encoded, PreparedRequest
from asyncbatch._lanes.response._response_builder import (
    Hop,
    PlainResponseBuilder,
    PreparedResponseBuilder,
    ResponseBuilder,
    UnconnectedBuilders,
)
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder
from asyncbatch._values._timing import Course, course_of_all

if TYPE_CHECKING:
    from asyncbatch._engine.http11 import ResponseHead
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._telemetry import AttemptWatch
    from asyncbatch._values._timeouts import TimeLimits

NewRelay: TypeAlias = "Callable[[RelayOwner], Relay]"
"""Returns a relay that passes the responses to its owner."""

MOST_RESTING = 4_000
"""Most relays of a lane that are kept to be used again; each takes about 1 KB."""

NextHop: TypeAlias = Callable[[Exchange, PreparedRequest, int], tuple[PreparedRequest, Hop] | None]
"""Returns the request that a redirect leads to, after so many others; see `Redirects.next_hop`."""

Conclude: TypeAlias = Callable[
    [Encoded, Exchange, "TimeLimits", float | None, "AttemptWatch | None", list[Hop] | None],
    Awaitable["Outcome"],
]
"""
Returns the outcome of an exchange that has ended and that the relay cannot finish.

It is passed the redirects that have led to the exchange, if there were any.
"""

_INFO = logging.INFO
_log = logging.getLogger("httpx")


class RelayOwner(Protocol):
    """
    What a relay calls in callbacks, which must not wait.

    An object with two methods, not two functions: a bound method is an object more for the garbage
    collector, for each worker that is started.
    """

    def take_response(
        self, response_builder: ResponseBuilder, content: bytes, course: Course, now: float, /
    ) -> Encoded | None:
        """
        Take a response that the relay has finished.

        It reads the caller's input, which may take any time.

        Args:
            response_builder: Builds the response.
            content: The decoded body.
            course: The times of the exchange.
            now: When it ended.

        Returns:
            The next request; `None` to stop the relay.
        """
        ...

    def relay_stopped(self, is_at_end: bool, /) -> None:
        """
        Note that the relay has stopped, if no task waits for it.

        Args:
            is_at_end: Whether nothing is left for `wait`. If so, it is called where the last
                response was received, and must not call the engine.
        """
        ...


class Relay:
    """
    Sends the requests of one worker by the engine, one at a time.

    Args:
        engine: sends the requests.
        exchange_limits: those of each exchange.
        limits: the time limits of each request.
        decoder: decodes short bodies.
        max_body: most bytes of a decoded body.
        response_builders: makes the `PreparedResponseBuilder` of an exchange.
        unconnected: makes the builders of responses whose connection is closed.
        take_cookies: keeps the cookies that a head sets; returns `False` if the client must.
        next_hop: composes the request that a redirect leads to.
        conclude: finishes the exchange that the relay stops at.
        owner: takes each response that the relay has finished.
    """

    __slots__ = (
        "_conclude",
        "_decoder",
        "_encoded",
        "_engine",
        "_error",
        "_exchange",
        "_exchange_limits",
        "_hops",
        "_is_put_off",
        "_limits",
        "_max_body",
        "_next_hop",
        "_response_builders",
        "_resting",
        "_seconds",
        "_take_cookies",
        "_tells_owner",
        "_unconnected",
        "abandoned",
        "deadline_at",
        "follows_redirects",
        "owner",
    )

    def __init__(
        self,
        engine: Engine,
        exchange_limits: ExchangeLimits,
        limits: TimeLimits,
        decoder: WholeBodyDecoder,
        max_body: int | None,
        response_builders: Callable[
            [Exchange, PreparedRequest, list[Hop] | None], PreparedResponseBuilder
        ],
        unconnected: UnconnectedBuilders,
        take_cookies: Callable[[Encoded, ResponseHead], bool],
        next_hop: NextHop,
        conclude: Conclude,
        owner: RelayOwner,
    ) -> None:
        self._engine = engine
        self._exchange_limits = exchange_limits
        self._limits = limits
        self._seconds = NEVER if limits.total is None else limits.total
        self._decoder = decoder
        self._max_body = NEVER if max_body is None else max_body
        self._response_builders = response_builders
        self._unconnected = unconnected
        self._take_cookies = take_cookies
        self._next_hop = next_hop
        self._conclude = conclude
        self.owner = owner
        """Takes each response that the relay has finished."""
        # The request in progress, or the one for `conclude`, and its exchange.
        self._encoded: Encoded | None = None
        self._exchange: Exchange | None = None
        # The last exchange, if it has ended well and nothing waits for it, to be begun again. The
        # future of an exchange calls `_stopped`.
        self._resting: Exchange | None = None
        # The redirects that have led to the request in progress; `None` for none.
        self._hops: list[Hop] | None = None
        self.follows_redirects = True
        """Whether redirects are followed here; if not, they are left to `conclude`."""
        self.deadline_at = NEVER
        """
        When the next request must have ended, if that may be before its time limit.

        On the monotonic clock; set by the worker before each request.
        """
        self.abandoned: tuple[Encoded, float] | None = None
        """The request that was given up, and when it was begun."""
        # The error that the owner raised.
        self._error: BaseException | None = None
        # Whether the owner is told when the relay stops, since no task waits for it.
        self._tells_owner = False
        # Set by `_pass_response` if the response waits for a later turn of the loop.
        self._is_put_off = False

    @property
    def begun_at(self) -> float:
        """When the request in progress was begun, on the monotonic clock, redirects included."""
        if self._hops is not None:
            return self._hops[0].course[0]
        assert self._exchange is not None
        return self._exchange.begun_at

    # Not keyword-only: CPython 3.11 specialises no call of a function that has such arguments.
    def begin(self, encoded: Encoded | None, tells_owner: bool = False) -> bool:
        """
        Send `encoded` and what the owner returns.

        Args:
            encoded: The first request.
            tells_owner: Whether the owner is told of the end, since no task waits for it.

        Returns:
            `False` if a relay cannot send it.
        """
        if encoded is None:
            return False
        if isinstance(encoded, PreparedRequest):
            if not can_relay(encoded):
                return False
            if encoded.watch is not None:
                encoded.announce()
            origin, method, closes = encoded.origin, encoded.method, encoded.closes
            payload = encoded.whole()
        else:
            _, _, origin_head, payload = encoded
            origin, method, closes = origin_head.origin, b"GET", origin_head.closes
        deadline = monotonic() + self._seconds
        if deadline > self.deadline_at:
            deadline = self.deadline_at
        exchange, self._resting = self._resting, None
        if (
            exchange is not None
            and closes is exchange.closes
            and self._engine.begin_again(exchange, origin, method, payload, deadline)
        ):
            self._exchange, self._encoded = exchange, encoded
            self._tells_owner = tells_owner
            return True
        try:
            self._exchange = self._engine.begin(
                origin,
                method,
                payload,
                None,
                self._exchange_limits,
                deadline,
                closes,
                follow=self._follow,
            )
        except (EngineClosed, RuntimeError):
            return False  # closed, or used from another event loop: the lane will report it
        self._encoded = encoded
        if tells_owner:
            self._tells_owner = True
            self._exchange.future.add_done_callback(self._stopped)
        return True

    def _stopped(self, _: object) -> None:
        if self._tells_owner:  # not abandoned meanwhile
            self._tells_owner = False
            try:
                self.owner.relay_stopped(self._exchange is None and self._error is None)
            except BaseException as error:
                self._engine.tell_of_error(error)

    def abandon(self) -> None:
        """Give up the request in progress; call this only if no task waits."""
        exchange = self._forget()
        self._tells_owner = False
        if exchange is None:
            return
        # The event loop may be closed, and then accepts no calls.
        exchange.future.remove_done_callback(self._stopped)
        self._engine.abandon(exchange)

    def give_up(self, error: BaseException) -> None:
        """Give up the request in progress, if there is one, and raise `error` from `wait`."""
        exchange = self._exchange
        if exchange is None or exchange.future.done():
            return
        self._error = error
        self._forget()
        # Not cancelled: that could not be told from a cancellation of the task that waits.
        exchange.future.set_result(None)
        self._engine.abandon(exchange)

    def forget_exchange(self) -> None:
        """Let go of the exchange that could be begun again."""
        self._resting = None

    def _forget(self) -> Exchange | None:
        """Forget the request in progress, but for `abandoned`, and return its exchange."""
        exchange, self._exchange = self._exchange, None
        encoded, self._encoded = self._encoded, None
        self._hops = None
        if exchange is not None and encoded is not None:
            self.abandoned = encoded, exchange.begun_at
        return exchange

    async def wait(self) -> bool:
        """
        Wait until the relay stops; return whether there is a request for `conclude`.

        Raises:
            BaseException: What the owner raised.
        """
        exchange = self._exchange
        # None if the relay has stopped already, with nothing to conclude.
        if exchange is not None:
            try:
                await exchange.future
            except BaseException:
                self._engine.abandon(exchange)
                self._forget()
                raise
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._exchange is not None

    async def conclude(self, seconds: float | None, watch: AttemptWatch | None = None) -> Outcome:
        """
        Return the outcome of the request that the relay has stopped at.

        Args:
            seconds: The limit on its attempt.
            watch: Is told of the attempt.
        """
        exchange, self._exchange = self._exchange, None
        encoded, self._encoded = self._encoded, None
        hops, self._hops = self._hops, None
        assert exchange is not None
        assert encoded is not None
        return await self._conclude(encoded, exchange, self._limits, seconds, watch, hops)

    def _follow(self, exchange: Exchange, now: float | None = None) -> Exchange | None:
        """
        Finish a response and begin the next request, or wake the task.

        Args:
            exchange: The exchange, whose response is complete.
            now: The current time, if it is not the time at which the exchange ended.
        """
        # The task has been cancelled and has not run yet: the response is not wanted any more.
        # Without a task, there is nothing to ask for.
        if not self._tells_owner and exchange.future.done():
            return None
        encoded: Any
        try:
            encoded = self._pass_response(exchange, now)
            # Something is left of this request, perhaps only a redirect.
            if encoded is None and self._exchange is not None and self._redirect(exchange):
                return exchange
        except BaseException as error:
            self._error = error
            encoded = None
        if encoded is not None:
            if type(encoded) is tuple:
                _, _, origin_head, payload = encoded
                origin, method, closes = origin_head.origin, b"GET", origin_head.closes
            else:
                origin, method, closes = encoded.origin, encoded.method, encoded.closes
                if encoded.watch is not None and closes is exchange.closes:
                    encoded.announce()
                payload = encoded.whole()
            if closes is exchange.closes:
                self._exchange, self._encoded = exchange, encoded
                # Not the end of the last request: reading the caller's input may have taken time.
                now = monotonic()
                deadline = now + self._seconds
                if deadline > self.deadline_at:
                    deadline = self.deadline_at
                exchange.renew(origin, method, payload, deadline, now)
                return exchange
        if self._is_put_off:
            self._is_put_off = False
            return None
        if self._exchange is None and self._error is None and self._tells_owner:
            # At once: as a call of the event loop, it would cost more than all else of the end.
            self._tells_owner = False
            # Without what belongs to the last request: it may rest for long.
            exchange.connection = exchange.head = None
            exchange.payload = exchange.content = b""
            exchange.trailers = ()
            self.deadline_at = NEVER
            self._resting = exchange
            self.owner.relay_stopped(True)
        else:
            exchange.future.set_result(None)
        return None

    def _redirect(self, exchange: Exchange) -> bool:
        """Make of an exchange the next hop of its request; `False` if it is left to `conclude`."""
        if not (self.follows_redirects and leads_on(exchange)) or _log.isEnabledFor(_INFO):
            return False
        assert self._encoded is not None
        prepared = PreparedRequest.of(self._encoded, self._limits)
        hops = [] if self._hops is None else self._hops
        found = self._next_hop(exchange, prepared, len(hops))
        if found is None:
            return False
        following, hop = found
        hops.append(hop)
        self._encoded, self._hops = following, hops
        # All hops have the deadline of the first.
        exchange.renew(
            following.origin,
            following.method,
            following.whole(),
            exchange.deadline,
            monotonic(),
        )
        return True

    def _follow_later(self, exchange: Exchange) -> None:
        """Do what `_follow` does, in a turn of the event loop in which a body may be decoded."""
        if self._exchange is not exchange:  # it was given up meanwhile
            return
        now = monotonic()
        if now >= exchange.deadline:
            exchange.error = TimedOut("total")
            exchange.settle()
            return
        try:
            following = self._follow(exchange, now)
            if following is not None:
                self._engine.submit(following)
        except BaseException as error:
            self._engine.tell_of_error(error)

    def _pass_response(self, exchange: Exchange, now: float | None) -> Encoded | None:
        """Pass a finished response to the owner, and return the next request; `None` to stop."""
        encoded: Any = self._encoded
        connection: Any = exchange.connection
        # The builder of the last response on this connection can mostly be used again.
        response_builder: Any = connection.response_builder
        if (
            response_builder is None
            or response_builder.head is not exchange.head
            or type(encoded) is not tuple
            or response_builder.builder is not encoded[2].builder
            or response_builder.limits is not self._limits
        ):
            response_builder = self._response_builder_for(exchange, encoded)
        if response_builder is None or _log.isEnabledFor(_INFO):
            return None
        raw = exchange.content
        if type(raw) is not bytes:  # large, and not joined yet
            return None
        content: bytes | None = raw
        if response_builder.coding is not None:
            decoder = self._decoder
            if decoder.must_wait(raw, response_builder.coding):
                # A task would wait as well, and cost more than the body.
                decoder.put_off(self._follow_later, exchange)
                self._is_put_off = True
                return None
            content = decoder.decode_nowait(raw, response_builder.coding)
        if content is None or len(content) > self._max_body:
            return None
        if response_builder.sets_cookies and not self._take_cookies(encoded, response_builder.head):
            return None
        # The twin of `course_of`, whose call would change the file twice for each response.
        course = (
            exchange.begun_at,
            exchange.send_at,
            exchange.sent_at,
            exchange.first_byte_at,
            exchange.ended_at,
            exchange.dns,
            exchange.connect,
            exchange.tls,
            len(raw),
        )
        if self._hops is not None:
            course = course_of_all([*[hop.course for hop in self._hops], course])
            self._hops = None
        self._exchange = self._encoded = None
        return self.owner.take_response(
            response_builder, content, course, exchange.ended_at if now is None else now
        )

    def _response_builder_for(self, exchange: Exchange, encoded: Encoded) -> ResponseBuilder | None:
        """Return the builder of a response; `None` if the relay cannot finish it."""
        head, connection = exchange.head, exchange.connection
        assert head is not None
        assert connection is not None
        if head.status >= 300:
            return None
        if isinstance(encoded, PreparedRequest):
            encoded.forget_payload()
            return self._response_builders(exchange, encoded, self._hops)
        builder = encoded[2].builder
        if connection.is_closed and connection.get_extra_info("ssl_object") is None:
            return self._unconnected.of(head, builder)
        response_builder = PlainResponseBuilder(head, connection, builder, self._limits)
        if not connection.is_closed:
            connection.response_builder = response_builder
        return response_builder


class Relays:
    """
    Makes relays with the same limits, and keeps some that have ended well, to be used again.

    A relay refers to its exchange, whose future calls the relay: with these three at hand, a worker
    starts with a third less of work, and leaves less to the garbage collector.

    Args:
        new: Makes a relay.

    Attributes:
        resting: Relays that have stopped with nothing left. A worker that takes one sets its
            `owner`, which must be deleted here.
    """

    __slots__ = ("new", "resting")

    def __init__(self, new: NewRelay) -> None:
        self.new = new
        self.resting: list[Relay] = []

    def close(self) -> None:
        """Free the resting relays without the garbage collector."""
        for relay in self.resting:
            relay.forget_exchange()
        self.resting.clear()


def can_relay(prepared: PreparedRequest) -> bool:
    """Whether a relay can send a request: with the limits of all others, and in one write."""
    body = prepared.body
    if not prepared.may_relay:
        return False
    return prepared.follow_redirects is None and (body is None or len(body) <= SHORT_BODY)
