"""
A relay: plain GETs one after the other, each begun in the callback that ends the one before.

A task costs more than anything else a small request needs: its future, the turn of the
event loop until it runs, the coroutines down to the engine. A relay leaves its task asleep
for as long as requests and responses are like any other, and wakes it for everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncbatch._lanes._conditions import standing_reason_against
from asyncbatch._lanes._heads import coding_in
from asyncbatch._lanes._prepare import Prepared, Template
from asyncbatch._lanes._unbuilt import Unbuilt, UnbuiltPlain
from asyncbatch._origin import Origin
from asyncbatch._timing import Instants
from asyncbatch._transport import NEVER, EngineClosed, Exchange

if TYPE_CHECKING:
    from asyncbatch._http11 import ResponseHead
    from asyncbatch._lanes._direct import DirectLane
    from asyncbatch._outcome import Outcome
    from asyncbatch._timeouts import TimeLimits

OnAnswer: TypeAlias = Callable[[Unbuilt, Instants, float, float], str | None]
"""
Takes a response, its instants, and when its request was begun and ended; returns the URL to be
asked for next, or `None` to let the relay stop. It runs in a callback: it must not wait, nor call
what a user has written.
"""

_INFO = logging.INFO
_log = logging.getLogger("httpx")


class Relay:
    """
    The plain GETs of one worker, one at a time.

    Args:
        lane: whose requests they are.
        limits: for each of them.
        on_answer: takes each response that needs no second look.
    """

    __slots__ = (
        "_client",
        "_coding",
        "_deadline",
        "_error",
        "_exchange",
        "_lane",
        "_limits",
        "_max_body",
        "_on_answer",
        "_payload",
        "_ready",
        "_seconds",
        "_template",
        "_url",
        "_usual",
    )

    def __init__(self, lane: DirectLane, limits: TimeLimits, on_answer: OnAnswer) -> None:
        self._lane = lane
        self._client: Any = lane.client
        self._limits = limits
        self._on_answer = on_answer
        self._seconds = NEVER if limits.total is None else limits.total
        self._max_body = NEVER if lane.max_body is None else lane.max_body
        # The request under way, or the one that `conclude` is to look at.
        self._exchange: Exchange | None = None
        self._url = ""
        # Of that URL, or of the one that was looked at last and is ready to go.
        self._template: Template = None  # type: ignore[assignment]  # set with each URL
        self._payload = b""
        self._ready: str | None = None
        # The head of the last response that was like any other: mostly the next is the same.
        self._usual: ResponseHead | None = None
        self._coding: str | None = None
        # What `on_answer` raised.
        self._error: BaseException | None = None

    @property
    def has_exchange(self) -> bool:
        """Whether a request is under way, or has ended and is left for `conclude`."""
        return self._exchange is not None

    @property
    def begun_at(self) -> float:
        """When that request was begun, on the monotonic clock."""
        assert self._exchange is not None
        return self._exchange.begun_at

    def begin(self, url: str) -> bool:
        """Ask for `url` and for whatever `on_answer` names, unless it takes more than a relay."""
        if self._lane.reason_against or standing_reason_against(self._client):
            return False
        if self.look_at(url) is None:
            return False
        self._url = url
        try:
            self._exchange = self._lane.engine.begin(
                self._template.origin,
                b"GET",
                self._payload,
                None,
                self._lane.terms(self._limits),
                monotonic() + self._seconds,
                self._template.closes,
                follow=self._follow,
            )
        except (EngineClosed, RuntimeError):
            return False  # closed, or used from another event loop: the lane will say it
        return True

    async def wait(self) -> None:
        """
        Wait until the relay stops; then there is a request left for `conclude`, or none.

        Raises:
            BaseException: What `on_answer` raised.
        """
        exchange = self._exchange
        assert exchange is not None
        try:
            await exchange.future
        except BaseException:
            self._lane.engine.abandon(exchange)
            self._exchange = None
            raise
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def conclude(self) -> Outcome:
        """Return the outcome of the request that the relay has stopped at."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        prepared = Prepared.plain(self._url, b"", self._template, self._limits)
        return await self._lane.conclude(
            self._url, self._limits, self._limits.total, exchange, prepared
        )

    def look_at(self, item: object) -> Origin | None:
        """Return the origin of a request that this relay can take, with all that it takes ready."""
        if type(item) is not str:
            return None
        try:
            plain = self._lane.preparer.plain(item)
        except Exception:
            return None  # it cannot be sent; the lane will meet the same mistake, and report it
        if plain is None:
            return None
        self._ready = item
        self._template, self._payload = plain
        return self._template.key

    def _follow(self, exchange: Exchange) -> Exchange | None:
        """Take a response and go on with the next request, or wake the task."""
        # Cancelled already, but not gone yet: what has come is nobody's any more.
        if exchange.future.done():
            return None
        try:
            head = exchange.head
            content: bytes | None = None
            if (head is self._usual or self._is_usual(head)) and not _log.isEnabledFor(_INFO):
                content = exchange.content
                if self._coding is not None:
                    content = self._lane.decoded_at_once(content, self._coding)
            if content is not None and len(content) <= self._max_body:
                answer = UnbuiltPlain(exchange, content, self._url, self._template, self._limits)
                now = exchange.ended_at
                instants = (
                    exchange.send_at,
                    exchange.sent_at,
                    exchange.first_byte_at,
                    now,
                    exchange.dns,
                    exchange.connect,
                    exchange.tls,
                )
                self._exchange = None
                url = self._on_answer(answer, instants, exchange.begun_at, now)
                if url is not None and self._renew(exchange, url, now):
                    self._exchange = exchange
                    return exchange
        except BaseException as error:
            self._error = error
        exchange.future.set_result(None)
        return None

    def _is_usual(self, head: Any) -> bool:
        """Whether a response with this head needs nothing but to be decoded and kept."""
        if not self._lane.is_plain(head):
            return False
        self._usual = head
        self._coding = coding_in(head.block)
        return True

    def _renew(self, exchange: Exchange, url: str, now: float) -> bool:
        # What the lane's conditions look at, a user may change at any time.
        if self._lane.reason_against or standing_reason_against(self._client):
            return False
        if url is not self._ready and self.look_at(url) is None:
            return False
        self._ready = None
        self._url = url
        template = self._template
        if template.closes is not exchange.closes:
            return False
        exchange.renew(template.origin, self._payload, now + self._seconds, now)
        return True
