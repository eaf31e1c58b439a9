"""
A file relay sends encoded requests whose bodies go to files, one after the other, without a task.

It hands a small body that has arrived as a whole over, and rests until that is on the disk. Any
other response is left to a task, which goes on from the exchange as it is then.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncbatch._engine import NEVER, Engine, EngineClosed, Exchange, ExchangeLimits
from asyncbatch._lanes.request._encoded_request import Plain
from asyncbatch._lanes.response._response_builder import (
    PlainResponseBuilder,
    ResponseBuilder,
    course_of,
)
from asyncbatch._values._timeouts import shorter
from asyncbatch._values._timing import Course

if TYPE_CHECKING:
    from asyncbatch._engine.http11 import ResponseHead
    from asyncbatch._lanes.request._encoded_request import Encoded
    from asyncbatch._values._outcome import Outcome
    from asyncbatch._values._request import Request
    from asyncbatch._values._sink import Sink
    from asyncbatch._values._timeouts import TimeLimits

OnBody: TypeAlias = Callable[[bytes], None]
"""Takes the whole body of a plain success. It runs in a callback and must not wait, or raise."""

ConcludeForFile: TypeAlias = Callable[
    ["Encoded", Exchange, "TimeLimits", float | None, "Sink"], Awaitable["Outcome"]
]
"""Returns the outcome of an exchange that a file relay has left, whose body goes to a sink."""

NewFileRelay: TypeAlias = "Callable[[OnBody, Callable[[], None]], FileRelay]"
"""Returns a file relay that calls two functions: with a body, and when it leaves a response."""

_INFO = logging.INFO
_log = logging.getLogger("httpx")


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
        on_body: Takes a body. Afterwards `end` or `conclude` is called.
        on_left: Called when the relay leaves a response, or a failure, to `conclude`.
    """

    __slots__ = (
        "_conclude",
        "_encoded",
        "_engine",
        "_exchange",
        "_exchange_limits",
        "_limits",
        "_longest",
        "_on_body",
        "_on_left",
        "_resting",
        "_seconds",
        "_take_cookies",
    )

    def __init__(
        self,
        engine: Engine,
        exchange_limits: ExchangeLimits,
        limits: TimeLimits,
        longest: int,
        take_cookies: Callable[[Encoded, ResponseHead], bool],
        conclude: ConcludeForFile,
        on_body: OnBody,
        on_left: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._exchange_limits = exchange_limits
        self._limits = limits
        self._longest = longest
        allowed = shorter(limits.total, limits.head)
        self._seconds = NEVER if allowed is None else allowed
        self._take_cookies = take_cookies
        self._conclude = conclude
        self._on_body = on_body
        self._on_left = on_left
        # The request in progress, and its exchange: until the body is on the disk, or left.
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

    def begin(self, encoded: Plain, deadline: float) -> bool:
        """
        Send a request.

        Args:
            encoded: The request.
            deadline: When it must have ended, on the monotonic clock.

        Returns:
            `False` if it cannot be sent.
        """
        _, _, origin_head, payload = encoded
        origin, closes = origin_head.origin, origin_head.closes
        deadline = min(deadline, monotonic() + self._seconds)
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

    def end(self) -> tuple[ResponseBuilder, Course]:
        """Let go of a request whose body is on the disk; return what its result is made of."""
        exchange, self._exchange = self._exchange, None
        encoded, self._encoded = self._encoded, None
        assert exchange is not None
        assert exchange.head is not None
        assert encoded is not None
        head, connection = exchange.head, exchange.connection
        ended = (
            PlainResponseBuilder(head, connection, encoded[2].builder, self._limits),
            course_of(exchange),
        )
        # Without what belongs to the last request: it may rest for long.
        exchange.connection = exchange.head = None
        exchange.payload = exchange.content = b""
        self._resting = exchange
        return ended

    async def conclude(self, tried: Request, seconds: float | None, sink: Sink) -> Outcome:
        """
        Return the outcome of the request in progress, which has been left, or not been written.

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
        if not exchange.future.done():  # its body has been handed over
            exchange.future.set_result(None)
        encoded = (tried, *encoded[1:])
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
            if not exchange.is_over:  # otherwise its body is being written
                self._engine.abandon(exchange)

    def _stopped(self, _: object) -> None:
        if self._exchange is not None:  # not abandoned meanwhile
            self._on_left()

    def _follow(self, exchange: Exchange) -> Exchange | None:
        """Hand a body over that has arrived as a whole, or leave the response."""
        # Its head was there before the rest: the response has been left already.
        if exchange.future.done():
            return None
        content: Any = exchange.content
        if self._is_plain(exchange, content):
            self._on_body(content)
        else:
            exchange.future.set_result(None)
        return None

    def _is_plain(self, exchange: Exchange, content: Any) -> bool:
        """Whether a whole response is the file that was asked for, and nothing else."""
        head, encoded = exchange.head, self._encoded
        assert head is not None
        assert encoded is not None
        if (
            head.status != 200
            or head.is_coded
            or head.length != len(content)
            or type(content) is not bytes
            or len(content) > self._longest
        ):
            return False
        lowered = head.block.lower()
        if b"\ncontent-range:" in lowered or _log.isEnabledFor(_INFO):
            return False
        return b"\nset-cookie" not in lowered or self._take_cookies(encoded, head)
