"""
A file relay sends encoded requests whose bodies go to files, one after the other, without a task.

It hands a small body that has arrived as a whole over, and sends the next request while that is
brought to the disk. Any other response is left to a task, which goes on from the exchange as it is
then.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from asyncbatch._engine import NEVER, Engine, EngineClosed, Exchange, ExchangeLimits
from asyncbatch._lanes.request._encoded_request import Plain
from asyncbatch._lanes.response._phases import course_of, restore_course
from asyncbatch._lanes.response._response_builder import PlainResponseBuilder
from asyncbatch._runtime._event_loop import running_loop
from asyncbatch._values._timeouts import shorter
from asyncbatch._values._timing import Course

if TYPE_CHECKING:
    from asyncbatch._engine.http11 import ResponseHead
    from asyncbatch._lanes.request._encoded_request import Encoded
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._request import Request
    from asyncbatch._values._sink import Sink
    from asyncbatch._values._timeouts import TimeLimits

ConcludeForFile: TypeAlias = Callable[
    ["Encoded", Exchange, "TimeLimits", float | None, "Sink"], Awaitable["Outcome"]
]
"""Returns the outcome of an exchange that a file relay has left, whose body goes to a sink."""

NewFileRelay: TypeAlias = "Callable[[FileRelayOwner], FileRelay]"
"""Returns a file relay that passes what it receives to its owner."""

_INFO = logging.INFO
_log = logging.getLogger("httpx")


class FileRelayOwner(Protocol):
    """What a file relay calls in callbacks, which must not wait, or raise."""

    def take_body(self, received: Received, /) -> Plain | None:
        """Take the body of a plain success; return the next request if `may_follow` allows it."""
        ...

    def relay_left(self) -> None:
        """Note that a response, or a failure, is left to `conclude`."""
        ...


class FileRelay:
    """
    Sends the requests of one worker by the engine, one at a time.

    Args:
        engine: Sends the requests.
        exchange_limits: Those of each exchange, which is settled when the head is there.
        limits: The time limits of each request.
        longest: Most bytes of a body that is handed over.
        take_cookies: Keeps the cookies that a head sets; returns `False` if the client must.
        conclude: Finishes the exchange that the relay has left.
        owner: Takes each body.
    """

    __slots__ = (
        "_conclude",
        "_encoded",
        "_engine",
        "_exchange",
        "_exchange_limits",
        "_limits",
        "_longest",
        "_resting",
        "_seconds",
        "_take_cookies",
        "deadline_at",
        "owner",
    )

    def __init__(
        self,
        engine: Engine,
        exchange_limits: ExchangeLimits,
        limits: TimeLimits,
        longest: int,
        take_cookies: Callable[[Encoded, ResponseHead], bool],
        conclude: ConcludeForFile,
        owner: FileRelayOwner,
    ) -> None:
        self._engine = engine
        self._exchange_limits = exchange_limits
        self._limits = limits
        self._longest = longest
        allowed = shorter(limits.total, limits.head)
        self._seconds = NEVER if allowed is None else allowed
        self._take_cookies = take_cookies
        self._conclude = conclude
        self.owner = owner
        """Takes each body; deleted while the relay rests."""
        self.deadline_at = NEVER
        """
        When the next request must have ended, if that may be before its time limit.

        On the monotonic clock; set by the worker before each request.
        """
        # The request in progress, and its exchange, until its body is handed over, or left.
        self._encoded: Plain | None = None
        self._exchange: Exchange | None = None
        # The last exchange, if it has ended well and nothing waits for it, to be begun again. The
        # future of an exchange calls `_stopped`.
        self._resting: Exchange | None = None

    @property
    def begun_at(self) -> float:
        """When the request in progress was begun, on the monotonic clock."""
        assert self._exchange is not None
        return self._exchange.begun_at

    def begin(self, encoded: Plain) -> bool:
        """Send a request; return `False` if it cannot be sent."""
        _, _, origin_head, payload = encoded
        origin, closes = origin_head.origin, origin_head.closes
        deadline = min(self.deadline_at, monotonic() + self._seconds)
        exchange, self._resting = self._resting, None
        if (
            exchange is None
            or closes is not exchange.closes
            or not self._engine.begin_again(exchange, origin, b"GET", payload, deadline)
        ):
            try:
                exchange = self._engine.begin(
                    origin,
                    b"GET",
                    payload,
                    None,
                    self._exchange_limits,
                    deadline,
                    closes,
                    follow=self._follow,
                )
            except (EngineClosed, RuntimeError):
                return False  # closed, or used from another event loop: the lane will report it
            exchange.future.add_done_callback(self._stopped)
        self._exchange, self._encoded = exchange, encoded
        return True

    def may_follow(self, encoded: Plain) -> bool:
        """Whether a request can be sent by the exchange whose body is being handed over."""
        exchange = self._resting
        return exchange is not None and encoded[2].closes is exchange.closes

    async def conclude(self, tried: Request, seconds: float | None, sink: Sink) -> Outcome:
        """
        Return the outcome of the request in progress, which has been left.

        Args:
            tried: It, with the field that asks for a body that is not encoded.
            seconds: The limit on its attempt.
            sink: Takes the body from the beginning.
        """
        exchange, self._exchange = self._exchange, None
        encoded, self._encoded = self._encoded, None
        assert exchange is not None
        assert encoded is not None
        exchange.follow = None  # from now on, the end of the body wakes its reader
        exchange.future.remove_done_callback(self._stopped)
        encoded = (tried, *encoded[1:])
        return await self._conclude(encoded, exchange, self._limits, seconds, sink)

    async def conclude_received(
        self, received: Received, tried: Request, seconds: float | None, sink: Sink
    ) -> Outcome:
        """Return the outcome of a request whose body has been handed over, as `conclude` does."""
        exchange = received.exchange(self._exchange_limits)
        encoded = (tried, *received.encoded[1:])
        return await self._conclude(encoded, exchange, self._limits, seconds, sink)

    def close(self) -> None:
        """Let go of what refers to this, after the last request."""
        exchange, self._resting = self._resting, None
        if exchange is not None:
            exchange.follow = None
            exchange.future.remove_done_callback(self._stopped)

    def abandon(self) -> None:
        """Give up the request in progress; call this only if no task concludes it."""
        exchange, self._exchange = self._exchange, None
        self._encoded = None
        if exchange is not None:
            # The event loop may be closed, and then accepts no calls.
            exchange.future.remove_done_callback(self._stopped)
            self._engine.abandon(exchange)

    def _stopped(self, _: object) -> None:
        if self._exchange is not None:  # not abandoned meanwhile
            try:
                self.owner.relay_left()
            except BaseException as error:
                self._engine.tell_of_error(error)

    def _follow(self, exchange: Exchange) -> Exchange | None:
        """Hand a body over that has arrived as a whole, and send the next request, or stop."""
        # Its head was there before the rest: the response has been left already.
        if exchange.future.done():
            return None
        received = self._whole_response(exchange)
        if received is None:
            exchange.future.set_result(None)
            return None
        self._exchange = self._encoded = None
        self._resting = exchange
        encoded = self.owner.take_body(received)
        if encoded is not None:
            _, _, origin_head, payload = encoded
            self._resting = None
            self._exchange, self._encoded = exchange, encoded
            # Not the end of the last request: reading the caller's input may have taken time.
            now = monotonic()
            deadline = min(self.deadline_at, now + self._seconds)
            exchange.renew(origin_head.origin, b"GET", payload, deadline, now)
            return exchange
        # Without what belongs to the last request: it may rest for long. If the owner has begun
        # another request meanwhile, which this exchange cannot send, it is not needed any more.
        exchange.connection = exchange.head = None
        exchange.payload = exchange.content = b""
        return None

    def _whole_response(self, exchange: Exchange) -> Received | None:
        """Return a whole response that is the file that was asked for, and nothing else."""
        head, encoded, content = exchange.head, self._encoded, exchange.content
        assert head is not None
        assert encoded is not None
        if (
            type(content) is not bytes
            or head.length != len(content)
            or len(content) > self._longest
            or _log.isEnabledFor(_INFO)
        ):
            return None
        connection: Any = exchange.connection
        # The builder of the last response on this connection can mostly be used again, and if its
        # requests ask for files, its head has been found to be one of a file.
        builder: Any = connection.response_builder
        if (
            builder is None
            or builder.head is not head
            or builder.builder is not encoded[2].builder
            or builder.limits is not self._limits
        ):
            if not _is_of_file(head):
                return None
            builder = PlainResponseBuilder(head, connection, encoded[2].builder, self._limits)
            if not connection.is_closed:
                connection.response_builder = builder
        if builder.sets_cookies and not self._take_cookies(encoded, head):
            return None
        return Received(encoded, builder, content, course_of(exchange))


def _is_of_file(head: ResponseHead) -> bool:
    """Whether a head is that of a whole file, which is not encoded."""
    return (
        head.status == 200 and not head.is_coded and b"\ncontent-range:" not in head.block.lower()
    )


class Received:
    """
    A response whose body has been handed over.

    Args:
        encoded: The request.
        response_builder: Builds the response.
        content: The body.
        course: The times of the exchange.
    """

    __slots__ = ("content", "course", "encoded", "response_builder")

    def __init__(
        self,
        encoded: Plain,
        response_builder: PlainResponseBuilder,
        content: bytes,
        course: Course,
    ) -> None:
        self.encoded = encoded
        self.response_builder = response_builder
        self.content = content
        self.course = course

    @property
    def begun_at(self) -> float:
        """When the request was begun, on the monotonic clock."""
        return self.course[0]

    def exchange(self, limits: ExchangeLimits) -> Exchange:
        """Return the exchange as it was when it had ended, to read the body of."""
        future = running_loop().create_future()
        future.set_result(None)
        origin_head = self.encoded[2]
        exchange = Exchange(
            future,
            origin_head.origin,
            b"GET",
            b"",
            None,
            limits,
            NEVER,
            origin_head.closes,
            self.begun_at,
        )
        restore_course(exchange, self.course)
        exchange.head = self.response_builder.head
        exchange.connection = self.response_builder.connection
        exchange.content = self.content
        return exchange
